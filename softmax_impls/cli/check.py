"""The commands ``softmax-impls list`` and ``softmax-impls check``."""

import click

from softmax_impls.cli import options

JSON_FIELDS = ("family", "summary", "accurate_for", "in_place", "requires", "threaded")


@click.command("list")
@options.impl
@options.peers
@options.as_json
def list_command(specs: tuple[str, ...], peers: bool, as_json: bool) -> None:
    """List the implementations, with a description and the temporary memory of each.

    \b
    Examples:
      softmax-impls list
      softmax-impls list --peers --json
    """  # noqa: D301
    from softmax_impls.report.terminal import tables
    from softmax_impls.report.terminal.console import show

    usable, unusable = options.select(specs, peers)
    records = {name: {field: getattr(record, field) for field in JSON_FIELDS} for name, record in usable.items()}
    data = {"implementations": records, "not_available": unusable}
    show(as_json, data, [tables.listing(usable, unusable)], [])


@click.command()
@options.impl
@options.peers
@options.seed("the inputs")
@options.as_json
def check(specs: tuple[str, ...], peers: bool, seed: int, as_json: bool) -> int:
    """Check that the implementations are right.

    Each result is compared with an exact reference, with numeric gradients, and with the results of all other
    implementations. Exit status 1 if an implementation is wrong.

    \b
    Examples:
      softmax-impls check
      softmax-impls check --impl mypackage.kernels:my_backward
    """  # noqa: D301
    usable, unusable = options.select(specs, peers)
    from softmax_impls.checks import gate
    from softmax_impls.report.terminal import tables
    from softmax_impls.report.terminal.console import kernels_to_stderr, show
    from softmax_impls.report.terminal.progress import progress_line

    with progress_line(text=f"checking {len(usable)} implementations"), kernels_to_stderr():
        verdicts = gate.judge(usable, seed)
        forward = gate.judge_softmax(seed=seed)
    by_name = {**verdicts, "softmax (forward)": forward}
    data = {"verdicts": {name: verdict.as_dict() for name, verdict in by_name.items()}, "not_available": unusable}
    failures = tables.failures(by_name.values())
    lines = failures or ["All implementations are right."]
    lines += [f"{name} not available: {why}" for name, why in unusable.items()]
    show(as_json, data, [tables.verdicts(verdicts, forward)], lines)
    return 0 if all(verdict.right for verdict in by_name.values()) else 1
