"""A new file in backward/ is found everywhere, and rejected everywhere if its kernel is wrong.

The file is the example in CONTRIBUTING. A copy of the package receives it twice, right and with the sign flipped.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from .conftest import ROOT

IN_THE_COPY = """
import contextlib, io, json, sys
import pytest
import softmax_impls
from benchmarks import backward
from softmax_impls.cli import run

def output(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        status = function(list(arguments))
    return status, text.getvalue()

class Outcomes:
    def __init__(self):
        self.collected, self.failed, self.passed = [], [], []

    def pytest_collection_finish(self, session):
        self.collected += [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and not report.skipped:
            (self.failed if report.failed else self.passed).append(report.nodeid)

def tests(names, *arguments):
    outcomes = Outcomes()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", "-k", names, *arguments], plugins=[outcomes])
    return vars(outcomes)

few = ["--impl", "two_pass", "--impl", "two_pass_flipped", "--impl", "closed_form", "--json"]
print(json.dumps({
    "file": softmax_impls.__file__,
    "list": output(run, "list", "--json"),
    "check": output(run, "check", *few),
    "compare": output(run, "compare", "--batch", "4", "--dim", "8", "--dtype", "float64", "--budget", "1", *few),
    "asv": backward.NAMES,
    "collected": tests("two_pass", "--collect-only", "tests/checks/test_gate.py", "tests/checks/test_properties.py"),
    "benchmarks": tests("two_pass and not imagenet and not channels", "tests/benchmarks"),
    "properties": tests("two_pass_flipped", "tests/checks/test_properties.py"),
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each part of a copy of the package says about the two files."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("softmax_impls", "tests", "benchmarks"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    path, code = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.S).groups()
    assert path == "softmax_impls/backward/two_pass.py"
    (copy / path).write_text(code, encoding="utf-8")
    flipped = code.replace("(out, probs, out=out)", "(out, -probs, out=out)").replace("two_pass", "two_pass_flipped")
    assert flipped.count("-probs") == 1
    (copy / path).with_stem("two_pass_flipped").write_text(flipped, encoding="utf-8")
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}  # compiling the copy would take half a minute
    command = [sys.executable, "-c", IN_THE_COPY]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["file"] == str(copy / "softmax_impls" / "__init__.py")
    return found


def as_json(found, command):
    return json.loads(found[command][1])


def test_list_has_it(found):
    assert {"two_pass", "two_pass_flipped"} <= set(as_json(found, "list")["implementations"])


def test_check_passes_it_and_rejects_the_flipped_sign(found):
    verdicts = as_json(found, "check")["verdicts"]
    assert found["check"][0] == 1
    assert {name for name, verdict in verdicts.items() if not verdict["right"]} == {"two_pass_flipped"}


def test_compare_times_it_and_does_not_rank_the_flipped_sign(found):
    result = as_json(found, "compare")
    kernels = result["cells"][0]["implementations"]
    assert found["compare"][0] == 1
    assert kernels["two_pass"]["status"] in ("timed", "eliminated")
    assert (kernels["two_pass_flipped"]["status"], kernels["two_pass_flipped"]["rounds"]) == ("wrong", 0)
    assert any(line.startswith("Do not use two_pass_flipped: value: ") for line in result["recommendation"])


def test_asv_suite_has_it(found):
    assert {"two_pass", "two_pass_flipped"} <= set(found["asv"])


@pytest.mark.parametrize("module", ["test_gate", "test_properties"])
def test_checks_in_the_tests_include_it(found, module):
    ids = [nodeid for nodeid in found["collected"]["collected"] if nodeid.startswith(f"tests/checks/{module}.py")]
    assert any("two_pass" in nodeid and "two_pass_flipped" not in nodeid for nodeid in ids)
    assert any("two_pass_flipped" in nodeid for nodeid in ids)


def test_checks_in_the_tests_reject_the_flipped_sign(found):
    assert found["properties"]["failed"]


@pytest.mark.parametrize("module", ["test_backward", "test_asv_suite"])
def test_benchmarks_run_it_and_reject_the_flipped_sign(found, module):
    outcomes = found["benchmarks"]
    passed, failed = ([n for n in outcomes[key] if f"/{module}.py" in n] for key in ("passed", "failed"))
    assert passed
    assert failed
    assert not any("two_pass_flipped" in nodeid for nodeid in passed)
    assert all("two_pass_flipped" in nodeid for nodeid in failed)
