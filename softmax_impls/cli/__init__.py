"""The command line. Thin: what it prints is made in `report`, what it decides in `choice`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from softmax_impls import __version__
from softmax_impls.checks import gate
from softmax_impls.cli import options
from softmax_impls.cli.choose import choose
from softmax_impls.cli.compare import compare
from softmax_impls.cli.report import report
from softmax_impls.cli.tune import tune
from softmax_impls.report.terminal import tables
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines

PROGRAM = "softmax-impls"
RECORD = ("family", "summary", "accurate_for", "in_place", "requires", "threaded")  # what `list --json` tells


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if something is wrong, 2 for a bad command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # one that takes ASCII only
    try:
        status = int(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0)
        print(end="", flush=True)  # what can't be written is to be told here
        return status
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        message = " ".join(error.format_message().split())
        print(f"{PROGRAM}: error: {message} (see '{command} --help')", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # how click takes that one
            raise
        return _without_output()
    except BrokenPipeError:  # `| head`
        return _without_output()
    except OSError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        _without_output()
        return 1


def _without_output() -> int:
    """Send what was not written yet nowhere, so that Python does not complain in the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, invoke_without_command=True
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Softmax backward, many ways: which are there, are they right, and which one to use.

    \b
    Examples:
      softmax-impls compare
      softmax-impls choose --batch 256 --dim 1000 --dtype float32
      softmax-impls compare --batch 64 --dim 1000 --dtype float32 --budget 10
      softmax-impls check --impl mypackage.kernels:my_backward
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command("list")
@options.impl
@options.peers
@options.as_json
def list_command(specs: tuple[str, ...], peers: bool, as_json: bool) -> None:
    """List the implementations: what each is, and the temporary memory it takes."""
    usable, unusable = options.chosen(specs, peers)
    if as_json:
        records = {name: {key: getattr(one, key) for key in RECORD} for name, one in usable.items()}
        print_json({"implementations": records, "not_available": unusable})
    else:
        console().print(tables.listing(usable, unusable))


@cli.command()
@options.impl
@options.peers
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the inputs.")
@options.as_json
def check(specs: tuple[str, ...], peers: bool, seed: int, as_json: bool) -> int:
    """Check implementations against an exact oracle, numeric gradients and each other; exit 1 if one is wrong.

    \b
    Example:
      softmax-impls check --impl mypackage.kernels:my_backward
    """  # noqa: D301
    usable, unusable = options.chosen(specs, peers)
    with console(stderr=True).status(f"checking {len(usable)} implementations"), kernels_to_stderr():
        found = gate.judge(usable, seed)
        forward = gate.judge_softmax(seed=seed)
    wrong = tables.failures([*found.values(), forward])
    if as_json:
        verdicts = {name: one.as_dict() for name, one in {**found, "softmax (forward)": forward}.items()}
        print_json({"verdicts": verdicts, "not_available": unusable})
    else:
        console().print(tables.verdicts(found, forward))
        print_lines(wrong or ["All right."])
        print_lines([f"{name} not available: {why}" for name, why in unusable.items()])
    return 1 if wrong else 0


for command in (compare, choose, report, tune):
    cli.add_command(command)
