"""Compare two commits by asv's results, of one machine or of several."""

import subprocess
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from softmax_impls.commands.arguments import several
from softmax_impls.results.slowdowns import CommitComparison, Recorded, compare_commits, read_commit

ASV_RESULTS = Path(".asv/results")


def history(
    base: str,
    head: str,
    results: str | Path | Iterable[str | Path] = ASV_RESULTS,
    *,
    warn: Callable[[str], object] = warnings.warn,
) -> list[CommitComparison]:
    """Return which benchmarks are slower or faster at `head` than at `base`, as ``softmax-impls history`` does.

    Parameters
    ----------
    base, head : str
        The commits: hashes, branches or tags of the git repository in the current folder.
    results : path or iterable of paths, optional
        The folders of asv's results, with recorded samples: one folder, or the folders of several machines.
    warn : callable, optional
        Called with a line for each file that can't be read.

    Returns
    -------
    list of CommitComparison
        A comparison for each machine and environment that both commits were measured on. Its attributes `slower` and
        `faster` are the changes. `softmax_impls.results.slowdowns.by_kind` states on which kinds of machines a
        benchmark is slower.

    Raises
    ------
    ValueError
        If a commit does not exist or has no samples, or if no benchmark was measured at both commits.
    """
    folders = [Path(folder) for folder in several("results", results, (str, Path))]
    sides = [_recorded(folders, name, warn) for name in (base, head)]
    comparisons = [found for in_folder in zip(*sides, strict=True) for found in compare_commits(*in_folder)]
    if not any(comparison.compared for comparison in comparisons):
        raise ValueError(f"{base} and {head} have no benchmark in common on any machine and environment")
    return comparisons


def _recorded(folders: list[Path], name: str, warn: Callable[[str], object]) -> list[list[Recorded]]:
    """Return, for each folder of asv's results, what asv recorded for the commit `name` (a hash, branch or tag).

    Raise ValueError if there is no such commit, or if no folder has samples of it. In the second case, the message
    states the asv command that records them. Call `warn` with a line for each file that cannot be read.
    """
    try:
        command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except FileNotFoundError:
        raise ValueError("git is not installed") from None
    except subprocess.CalledProcessError:
        raise ValueError(f"{name!r} is not a commit of a git repository here") from None
    found = [read_commit(folder, commit) for folder in folders]
    for line in (line for _, problems in found for line in problems):
        warn(line)
    advice, recorded = f"run 'asv run --record-samples -a rounds=6 {name}^!'", [sides for sides, _ in found]
    if not any(recorded):
        raise ValueError(f"no results of {name} in {', '.join(map(str, folders))}: {advice}")
    if not any(side.samples for sides in recorded for side in sides):
        raise ValueError(f"asv recorded no samples of {name}: {advice}, with --record-samples")
    return recorded
