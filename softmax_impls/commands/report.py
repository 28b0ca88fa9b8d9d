"""Write a report of results."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from softmax_impls.choice.fleet import rank_runs
from softmax_impls.commands import FOLDER
from softmax_impls.commands.arguments import several
from softmax_impls.report.notebook import existing
from softmax_impls.results.runs import load


def write_report(paths: str | Path | Iterable[str | Path] = FOLDER, output: str | Path = FOLDER) -> Path:
    """Write results as an HTML page, and each figure as PNG and SVG, as ``softmax-impls report`` does.

    Parameters
    ----------
    paths : path or iterable of paths, optional
        Results files of `compare`, asv or pytest-benchmark, or folders of them. A file that can't be read causes
        a warning.
    output : path, optional
        The folder to write to.

    Returns
    -------
    Path
        The path of the HTML page.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If there are no results in the files.
    """
    from softmax_impls.report.files import write  # it imports matplotlib

    loaded = load(existing(several("paths", paths, (str, Path))))
    for line in loaded.problems:
        warnings.warn(line, stacklevel=2)
    if not loaded.runs:
        raise ValueError("no results there")
    return write(loaded, rank_runs(loaded.runs), Path(output))[0]
