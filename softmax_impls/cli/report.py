"""The command ``softmax-impls report``."""

from pathlib import Path

import click

from softmax_impls.cli import options
from softmax_impls.formatting import format_count


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path))
@options.output("report.html and the figures")
@options.as_json
def report(paths: tuple[Path, ...], output: Path, as_json: bool) -> int:
    """Write results as an HTML page, and each figure as PNG and SVG.

    A PATH is a results file of compare, asv or pytest-benchmark, or a folder of such files. Runs are shown, and named
    A, B, …, in the order of the paths; those of a folder, the newest first. The page is a single file and needs no
    network. It shows maps of the fastest implementations, times, errors, memory, samples and raw results, and ranks
    the implementations for a shape that you enter. A file that cannot be read is skipped with a message.

    \b
    Examples:
      softmax-impls report softmax-impls-report    # the folder that compare writes
      softmax-impls report results.jsonl .asv/results --output report
      softmax-impls report here.jsonl elsewhere.jsonl --json
    """  # noqa: D301
    from softmax_impls.choice.fleet import at_cells, rank_runs, summary
    from softmax_impls.report.terminal.cells import runs_table
    from softmax_impls.report.terminal.console import show
    from softmax_impls.report.terminal.progress import progress_line
    from softmax_impls.results.runs import load

    loaded = load(paths)
    for line in loaded.problems:
        options.say(line)
    cells = sum(len(run.cells) for run in loaded.runs)
    if not cells:
        raise click.UsageError(f"no results in {', '.join(map(str, paths))}")
    with progress_line(text=f"drawing {format_count(cells, 'cell')}"):
        from softmax_impls.report.files import write  # it imports matplotlib

        runs = rank_runs(loaded.runs)
        with options.rejecting(OSError, option="--output"):
            page, figures, notes = write(loaded, runs, output)
    paths_of = {"page": str(page), "figures": list(map(str, figures))}
    data = paths_of | {"cells": cells, "problems": loaded.problems, "notes": notes}
    show(as_json, data, runs_table(runs), [*summary(at_cells(runs)), str(page), *map(str, figures), *notes])
    return 0
