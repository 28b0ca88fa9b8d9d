"""The commands as Python calls, which are attributes of `softmax_impls`."""

from pathlib import Path

FOLDER = Path("softmax-impls-report")  # the default folder of results
LARGEST_SEED = 2**62  # the largest that a results file can hold
