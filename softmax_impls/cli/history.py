"""The command ``softmax-impls history``."""

from pathlib import Path

import click

from softmax_impls.cli import options


@click.command()
@click.argument("base")
@click.argument("head")
@click.option(
    "--results",
    type=options.FOLDER_PATH,
    multiple=True,
    default=[".asv/results"],
    metavar="FOLDER",
    help="Results of asv. May be repeated, for the results of several machines.",
)
@options.as_json
def history(base: str, head: str, results: tuple[Path, ...], as_json: bool) -> int:
    """Say which benchmarks are slower or faster at commit HEAD than at commit BASE; exit 1 if one is slower.

    It reads the samples that asv recorded, and compares the fastest sample of each benchmark. asv itself compares
    medians, which other processes on the machine change. With results of several kinds of machines, it also says which
    slowdowns all kinds have, and which only some.

    \b
    Examples:
      asv continuous --record-samples -a rounds=6 HEAD~1 HEAD
      softmax-impls history HEAD~1 HEAD
      softmax-impls history v1.0 main --results elsewhere/.asv/results --json
      softmax-impls history v1.0 main --results lab-1/results --results lab-2/results
    """  # noqa: D301
    from softmax_impls.commands.history import history as compare
    from softmax_impls.report.terminal.changes import changes
    from softmax_impls.report.terminal.console import show
    from softmax_impls.results.slowdowns import by_kind

    with options.rejecting(ValueError):
        comparisons = compare(base, head, results, warn=options.say)
    kinds = [slowdown.as_dict() for slowdown in by_kind(comparisons)]
    data = {"comparisons": [comparison.as_dict() for comparison in comparisons], "slower_by_kind": kinds}
    show(as_json, data, [], changes(comparisons))
    return 1 if any(comparison.slower for comparison in comparisons) else 0
