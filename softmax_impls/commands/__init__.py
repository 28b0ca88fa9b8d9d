"""What the commands do, as Python calls. They are attributes of `softmax_impls`."""

from pathlib import Path

FOLDER = Path("softmax-impls-report")  # the default folder of results
