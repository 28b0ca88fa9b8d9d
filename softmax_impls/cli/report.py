"""softmax-impls report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from softmax_impls.cli import options
from softmax_impls.report.files import write
from softmax_impls.report.terminal.console import console, print_json, print_lines
from softmax_impls.results.frame import load


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@options.output("report.html and the folder of figures")
@options.as_json
def report(paths: tuple[Path, ...], output: Path, as_json: bool) -> int:
    """Make a page of results that opens anywhere, and a PNG and an SVG of each figure.

    A PATH is a file of results, by compare, asv or pytest-benchmark, or a folder of them. The page is one file that
    needs no network: maps of winners, times, errors, memory, samples, raw rows, and the ranking for a shape of yours.
    What can't be read is told, and costs the other files nothing.

    \b
    Examples:
      softmax-impls report softmax-impls-report
      softmax-impls report results.jsonl .asv/results --output report
      softmax-impls report here.jsonl elsewhere.jsonl --json
    """  # noqa: D301
    loaded = load(paths)
    for line in loaded.problems:
        print(line, file=sys.stderr)
    if loaded.frame.empty:
        raise click.UsageError(f"no results in {', '.join(map(str, paths))}")
    with console(stderr=True).status(f"drawing {len(loaded.frame)} rows"):
        try:
            page, figures, notes = write(loaded, output)
        except OSError as error:
            raise click.BadParameter(str(error), param_hint="--output") from None
    if as_json:
        found = {"page": str(page), "figures": [str(path) for path in figures]}
        print_json({**found, "rows": len(loaded.frame), "problems": loaded.problems, "notes": notes})
    else:
        print_lines([str(page), *(str(path) for path in figures), *notes])
    return 0
