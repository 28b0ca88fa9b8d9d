"""Compare two commits by asv's results."""

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

from softmax_impls.results.slowdowns import CommitComparison, Recorded, compare_commits, read_commit

ASV_RESULTS = Path(".asv/results")


def history(
    base: str, head: str, results: str | Path = ASV_RESULTS, *, warn: Callable[[str], object] = warnings.warn
) -> list[CommitComparison]:
    """Say which benchmarks are slower or faster at a commit than at another, as ``softmax-impls history`` does.

    Parameters
    ----------
    base, head : str
        The commits: hashes, branches or tags of the git repository in the current folder.
    results : path, optional
        The folder of asv's results, with recorded samples.
    warn : callable, optional
        Called with a line for each file that can't be read.

    Returns
    -------
    list of CommitComparison
        One for each machine and environment that both were measured on, with the changes `slower` and `faster`.

    Raises
    ------
    ValueError
        If there is no such commit, no samples of it, or no benchmark that both commits have.
    """
    comparisons = list(compare_commits(*(_recorded(Path(results), name, warn) for name in (base, head))))
    if not any(comparison.compared for comparison in comparisons):
        raise ValueError(f"{base} and {head} have no benchmark in common on any machine and environment")
    return comparisons


def _recorded(folder: Path, name: str, warn: Callable[[str], object]) -> list[Recorded]:
    """Return what asv recorded of a commit; a ValueError has the command that records it."""
    try:
        command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except FileNotFoundError:
        raise ValueError("git is not installed") from None
    except subprocess.CalledProcessError:
        raise ValueError(f"{name!r} is not a commit of a git repository here") from None
    recorded, problems = read_commit(folder, commit)
    for line in problems:
        warn(line)
    advice = f"run 'asv run --record-samples -a rounds=6 {name}^!'"
    if not recorded:
        raise ValueError(f"no results of {name} in {folder}: {advice}")
    if not any(side.samples for side in recorded):
        raise ValueError(f"asv recorded no samples of {name}: {advice}, with --record-samples")
    return recorded
