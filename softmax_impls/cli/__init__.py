"""The command line. It computes nothing itself: `choice` decides, `report` prints.

The modules of the commands import little, so that --help and errors of usage are quick. A command imports what it needs
when it runs.
"""

import io
import os
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace

import click
from click.shell_completion import shell_complete

from softmax_impls import __version__
from softmax_impls.cli.check import check, list_command
from softmax_impls.cli.choose import choose
from softmax_impls.cli.compare import compare
from softmax_impls.cli.history import history
from softmax_impls.cli.report import report

PROGRAM = "softmax-impls"
COMMANDS = [list_command, check, compare, choose, report, history]
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}
COMPLETION = "_SOFTMAX_IMPLS_COMPLETE"  # the environment variable by which a shell asks for completions


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments, by default with `sys.argv`, and return the exit status.

    The status is 1 if something is wrong, 2 for a bad command line, and 130 after Ctrl-C. It is 0 if the program
    that reads the output closes the pipe, as `head` does.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would receive its output
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not have all characters
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        print(end="", flush=True)  # raises here if not all could be written, instead of when Python exits
        return status
    except BrokenPipeError:
        status = 0
    except OSError as error:  # a full disk, for instance
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # discard the text: otherwise Python tries to write it again when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def _run(arguments: list[str]) -> int:
    """Run `cli` and return the exit status. An error that click reports is printed as one line.

    If the reader of the output closed the pipe, BrokenPipeError is raised; `main` of click would exit with status 1.
    """
    if COMPLETION in os.environ:
        return shell_complete(cli, {}, PROGRAM, COMPLETION, os.environ[COMPLETION])
    try:
        given = SimpleNamespace(start=time.perf_counter(), arguments=list(arguments))  # `make_context` empties the list
        with cli.make_context(PROGRAM, arguments, obj=given) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as end:  # --help and --version
        return end.exit_code
    except click.ClickException as error:
        failed = getattr(error, "ctx", None)
        command = failed.command_path if failed else PROGRAM
        message = " ".join(error.format_message().split())
        print(f"{PROGRAM}: error: {message} (see '{command} --help')", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130


@click.group(commands=COMMANDS, context_settings=SETTINGS, invoke_without_command=True)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Check, time and choose implementations of the softmax backward pass.

    \b
    Examples:
      softmax-impls compare
      softmax-impls choose --batch 256 --dim 1000 --dtype float32
      softmax-impls compare --batch 64 --dim 1000 --dtype float32 --budget 10
      softmax-impls check --impl mypackage.kernels:my_backward
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
