"""The command line as a whole: help, errors, and output that cannot be written."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import softmax_impls
from softmax_impls.__main__ import main
from softmax_impls.cli import run

from .conftest import RIGHT

COMMANDS = ["list", "check", "compare", "choose", "report", "history"]


def test_installed_command_shows_help_without_colours_in_a_pipe():
    command = Path(sys.executable).with_name("softmax-impls")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout
    assert "\x1b" not in done.stdout


def test_version_is_printed(output):
    assert softmax_impls.__version__ in output("--version")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples_and_names_the_json_option(output, command):
    text = output(command, "--help")
    assert f"softmax-impls {command} [OPTIONS]" in text
    assert f"Examples:\n    {'asv' if command == 'history' else f'softmax-impls {command}'}" in text
    assert "--json" in text


def test_without_a_command_the_help_lists_all_commands(output):
    text = output()
    assert "Examples:\n    softmax-impls compare\n" in text
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "\b" not in text
    assert "\\b" not in text


def test_without_the_extra_a_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "softmax_impls.cli")
    monkeypatch.setitem(sys.modules, "click", None)
    assert main() == 2
    error = capsys.readouterr().err
    assert error == "softmax-impls: error: the command line needs click: pip install 'softmax-impls[compare]'\n"


def test_shells_can_ask_for_completions(output, monkeypatch):
    monkeypatch.setenv("_SOFTMAX_IMPLS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "softmax-impls ch")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert output() == "plain,check\nplain,choose\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["list", "two\nlines"], "unexpected extra argument"),
        (["compare", "--bach", "3"], "No such option '--bach'"),
        (["compare", "--batch", "3"], "--batch and --dim must be given together"),
        (["compare", "--batch", "3", "--dim", "x"], "'--dim': 'x' is not a valid whole number"),
        (["compare", "--batch", "8x12", "--dim", "3"], "whole number: pass the product of the sizes, 96"),
        (["compare", "--batch", "0", "--dim", "3"], "'--batch': 0 is not in the range 1<=x<=1099511627776"),
        (["compare", "--batch", "100000", "--dim", "100000"], "arrays of at most 2 GB; got 100000×100000"),
        (["compare", "--dtype", "float16"], "'float16' is not one of 'float32', 'float64'"),
        (["compare", "--workload", "mnist"], "'mnist' is not one of 'sample-10'"),
        (["compare", "--workload", "gpt2,imagnet"], "'columns'; did you mean 'imagenet'?"),
        (["compare", "--threads", "1000"], "--threads: 1000 threads, but this process has"),
        (["compare", "--budget", "0"], "'--budget': 0.0 is not in the range"),
        (["compare", "--budget", "nan"], "nan is not a number"),
        (["compare", "--max-memory", "much"], "'much' is not a size like 8GB"),
        (["compare", "--max-memory", "1TG"], "'1TG' is not a size like 8GB"),
        (["compare", "--seed", "-1"], "'--seed': -1 is not in the range"),
        (["compare", "--seed", str(2**63)], "'--seed': 9223372036854775808 is not in the range"),
        (["compare", "--output", "right_kernels.py"], "'--output': Directory 'right_kernels.py' is a file"),
        (["compare", "--impl", "fastest"], "--impl: impl must be one of auto, closed_form"),
        (["check", "--impl", "right_kernels:his"], "impl 'right_kernels:his' can't be loaded: AttributeError"),
        (["check", "--impl", "exiting_kernels:mine"], "impl 'exiting_kernels:mine' can't be loaded: SystemExit: 0"),
        (["list", "--impl", "no_such_module:f"], "can't be loaded: ModuleNotFoundError"),
        (["choose"], "either --batch and --dim, or --workload"),
        (["choose", "--batch", "3"], "either --batch and --dim, or --workload"),
        (["choose", "--batch", "3", "--workload", "gpt2"], "either --batch and --dim, or --workload"),
        (["choose", "--batch", "3", "--dim", "3", "--workload", "gpt2"], "either --batch and --dim, or --workload"),
        (["choose", "--batch", "0", "--dim", "3"], "0 is not in the range 1<=x<=1099511627776"),
        (["choose", "--batch", str(10**400), "--dim", "3"], "is not in the range 1<=x<=1099511627776"),
        (["choose", "--batch", "100000", "--dim", "100000"], "arrays of at most 2 GB; got 100000×100000"),
        (["choose", "--workload", "nothing"], "'nothing' is neither a shape like 256x1000 nor one of"),
        (["choose", "--workload", "imagnet:2"], "did you mean 'imagenet'?"),
        (["choose", "--workload", "8x12x256"], "has 3 sizes: pass the product of all but the last, as 96x256"),
        (["choose", "--workload", "gpt2:nan"], "sizes and weight must be positive numbers"),
        (["choose", "--workload", "3x0"], "sizes and weight must be positive numbers"),
        (["choose", "--batch", "3", "--dim", "3", "--threads", "999"], "this process has"),
        (["choose", "--batch", "3", "--dim", "3", "--max-error", "nan"], "nan is not a number"),
        (["choose", "--batch", "3", "--dim", "3", "--measure", "--from", "."], "--measure and --from exclude each"),
        (["choose", "--workload", "16x16", "--startup"], "--startup needs --batch and --dim instead of --workload"),
        (["choose", "--batch", "3", "--dim", "3", "--from", "nowhere"], "'nowhere' does not exist"),
        (["report", "nowhere"], "'nowhere' does not exist"),
        (["report"], "Missing argument 'PATH...'"),
        (["report", "right_kernels.py"], "no results in right_kernels.py"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(kernels, module, capsys, arguments, message):
    module("exiting_kernels", "import sys; sys.exit(0)\n")
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    line = error.splitlines()[-1]
    assert line.startswith("softmax-impls: error: ")
    assert message in line
    assert error.count("\n") == 1 or arguments[0] == "report"  # which also names the files that it can't read


def without_a_reader(buffer_size):
    """Return a stream to a pipe whose reader has closed it. Writing fails when the buffer is full."""
    reader, writer = os.pipe()
    os.close(reader)
    file = io.BufferedWriter(io.FileIO(writer, "w"), buffer_size)
    return io.TextIOWrapper(file, encoding="utf-8", write_through=True)


@pytest.mark.parametrize("buffer_size", [16, 2**20])  # the command itself fails to write, or the flush after it
@pytest.mark.parametrize("arguments", [["list", "--json"], ["list"], ["--help"], ["list", "--help"]])
def test_closed_pipe_ends_quietly_with_status_0(monkeypatch, capsys, arguments, buffer_size):
    with without_a_reader(buffer_size) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(arguments) == 0
        stream.flush()  # as Python does when it exits
    assert capsys.readouterr().err == ""


def test_closed_pipe_of_standard_error_ends_quietly(monkeypatch):
    with without_a_reader(16) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert run(["nothing"]) == 0
        stream.flush()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_closed_stream_receives_nothing(monkeypatch, capsys, name):
    monkeypatch.setattr(sys, name, None)
    assert run(["list", "--json"] if name == "stdout" else ["nothing"]) == (0 if name == "stdout" else 2)
    getattr(sys, name).close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_head_of_a_list_always_exits_0():
    line = (
        f"for i in $(seq 5); do {sys.executable} -m softmax_impls list --json | head -1 >/dev/null || echo failed; done"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"]])
def test_full_disk_exits_1_with_one_line(monkeypatch, capsys, arguments):
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(arguments) == 1
    assert capsys.readouterr().err == "softmax-impls: error: [Errno 28] No space left on device\n"


def test_terminal_that_has_ascii_only(monkeypatch):
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["list"]) == 0
        text = stream.buffer.getvalue()
    assert b"numba_simd" in text
    assert b"4096?512" in text


@pytest.mark.parametrize("command", ["list", "check", "compare --batch 4 --dim 8 --dtype float64 --budget 1"])
def test_output_of_a_users_module_does_not_mix_with_the_json(output, module, command):
    module("noisy_kernels", "print('hello')\n" + RIGHT + "    print('called')\n")
    options = ["--impl", "closed_form", "--impl", "noisy_kernels:mine", "--json"]
    assert json.loads(output(*command.split(), *options))
