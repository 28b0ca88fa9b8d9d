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
    from softmax_impls.report.terminal.console import console, print_json

    usable, unusable = options.select(specs, peers)
    if as_json:
        records = {name: {field: getattr(usable[name], field) for field in JSON_FIELDS} for name in usable}
        print_json({"implementations": records, "not_available": unusable})
    else:
        console().print(tables.listing(usable, unusable))


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
    from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
    from softmax_impls.report.terminal.progress import progress_line

    with progress_line(text=f"checking {len(usable)} implementations"), kernels_to_stderr():
        verdicts = gate.judge(usable, seed)
        forward = gate.judge_softmax(seed=seed)
    by_name = {**verdicts, "softmax (forward)": forward}
    failures = tables.failures(by_name.values())
    if as_json:
        as_dicts = {name: verdict.as_dict() for name, verdict in by_name.items()}
        print_json({"verdicts": as_dicts, "not_available": unusable})
    else:
        console().print(tables.verdicts(verdicts, forward))
        print_lines(failures or ["All implementations are right."])
        print_lines([f"{name} not available: {why}" for name, why in unusable.items()])
    return 1 if failures else 0
