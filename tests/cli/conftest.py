"""A user's folder with kernels, and a function that runs the command line there."""

import sys
from pathlib import Path

import pytest

from softmax_impls.cli import run

ROOT = Path(__file__).parents[2]
RIGHT = """
def mine(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return tmp_path


@pytest.fixture
def module(folder):
    """Write a module of kernels into the current folder, and forget it after the test."""
    written = []

    def module(name, code):
        (folder / f"{name}.py").write_text(code)
        sys.modules.pop(name, None)
        written.append(name)

    yield module
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def kernels(module):
    """Two modules with a kernel `mine`: one is right, the other has the wrong sign."""
    module("right_kernels", RIGHT)
    module("flipped_kernels", RIGHT.replace("out[...] = probs", "out[...] = -probs"))


@pytest.fixture
def output(capsys):
    """Run the command line, check its exit status, and return what it writes to standard output."""

    def output(*arguments, status=0):
        assert run([str(argument) for argument in arguments]) == status
        return capsys.readouterr().out

    return output


@pytest.fixture
def error(capsys):
    """Run the command line, check its exit status, and return what it writes to standard error."""

    def error(*arguments, status=2):
        assert run([str(argument) for argument in arguments]) == status
        return capsys.readouterr().err

    return error
