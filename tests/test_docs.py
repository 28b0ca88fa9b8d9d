"""Documents say what is so: their commands, examples, tables and numbers."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import softmax_impls
from tests.scripts import ROOT, script

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def refresh():
    return script(ROOT / "docs" / "refresh.py")


def test_history_is_what_its_results_say():
    pytest.importorskip("asv")
    history = script(ROOT / "docs" / "history.py")
    text = history.PAGE.read_text(encoding="utf-8")
    assert history.page(text, history.read()) == text, "run: python docs/history.py report"


def test_performance_is_what_its_results_say():
    performance = script(ROOT / "docs" / "performance.py")
    made = performance.page(*performance.read(performance.RESULTS))
    assert made == performance.PAGE.read_text(encoding="utf-8"), "run: python docs/performance.py --report"


@pytest.fixture(scope="module")
def verdicts():
    return script(ROOT / "docs" / "verdicts.py")


def test_verdicts_are_what_their_results_say(verdicts):
    text = verdicts.PAGE.read_text(encoding="utf-8")
    assert verdicts.page(text, verdicts.read()) == text, "run: python docs/verdicts.py report"


@pytest.mark.parametrize(
    ("winners", "two", "apart"),
    [
        (["a", "a", "ab"], False, False),
        (["a", "b", "ab"], True, True),
        (["ab", "c", "a"], True, True),
        (["ab", "cd", "ac"], False, True),
        (["ab", "bc", "ca"], False, False),
    ],
)
def test_contradictions_are_counted(verdicts, winners, two, apart):
    assert verdicts.contradictions(winners) == (two, apart)


def test_a_slower_twin_is_found_if_it_is_said_to_be_slower(verdicts):
    def cell(best, low):
        return {"slower": {"best": best, "interval": [1.05, low, 1.1], "margin": 0.02}}

    assert verdicts.found(cell("one", 1.03))
    assert not verdicts.found(cell("one", 1.01))
    assert not verdicts.found(cell("slower", 1.03))


def test_places_are_what_their_results_say():
    places = script(ROOT / "docs" / "places.py")
    text = places.PAGE.read_text(encoding="utf-8")
    assert places.page(text, places.read()) == text, "run: python docs/places.py report"


def test_how_to_choose_is_what_its_results_say():
    choosing = script(ROOT / "docs" / "choosing.py")
    assert choosing.page() == choosing.PAGE.read_text(encoding="utf-8"), "run: python docs/choosing.py report"


def test_readme_is_what_its_results_say(refresh):
    assert refresh.readme(README) == README, "run: python docs/refresh.py"


def test_readme_without_its_blocks_is_noticed(refresh):
    with pytest.raises(SystemExit, match="there is no block <!-- output -->"):
        refresh.readme("# empty")


def test_both_commands_are_there_for_ci_to_copy():
    for mark, last in (("main", "softmax-impls compare"), ("test", "python -m pytest")):
        (command,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*)\n```", README)
        assert command.endswith(last)
        assert (
            f"<!-- {mark} -->" in (ROOT / ".ci" / "run").read_text() or "$1 -->" in (ROOT / ".ci" / "run").read_text()
        )


def test_links_in_documents_lead_somewhere():
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"]["path"] == "softmax_impls/__init__.py"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == softmax_impls.__version__
    assert citation["license"] == project["project"]["license"] == "BSD-3-Clause"


# ---------------------------------------------------------------- a ninth implementation


def ninth(flipped=False):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    path, code = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.S).groups()
    return path, code.replace("(out, probs, out=out)", "(out, -probs, out=out)") if flipped else code


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a contributor edits and runs."""
    for folder in ("softmax_impls", "tests", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def python(checkout, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, capture_output=True, text=True, check=False, timeout=300
    )


COMPARE = ("-m", "softmax_impls", "compare", "--batch", "4", "--dim", "8", "--budget", "10", "--details")


@pytest.mark.slow
def test_a_ninth_implementation_is_one_file(checkout):
    path, code = ninth()
    (checkout / path).write_text(code, encoding="utf-8")
    name = Path(path).stem
    for command in (["list"], ["check"]):
        done = python(checkout, "-m", "softmax_impls", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert name in done.stdout
    done = python(checkout, *COMPARE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{name} +[\d.]+ .s", done.stdout)
    done = python(checkout, "-m", "softmax_impls.source", "--impl", name)
    assert done.stdout.count("grad diff = ") == 2
    done = python(
        checkout,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        f"{name} or every_implementation",
        "--ignore=tests/test_docs.py",
        "tests",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40


@pytest.mark.slow
def test_with_its_sign_flipped_it_is_refused_everywhere(checkout):
    path, code = ninth(flipped=True)
    (checkout / path).write_text(code, encoding="utf-8")
    name = Path(path).stem
    done = python(checkout, "-m", "softmax_impls", "check")
    assert done.returncode == 1
    assert f"{name}: value: " in done.stdout
    assert done.stdout.count("WRONG") == 1
    done = python(checkout, *COMPARE)
    assert done.returncode == 1
    assert f"Don't use {name}: value: " in done.stdout
    done = python(checkout, "-m", "softmax_impls.source", "--impl", name)
    assert all(float(line.rpartition(" ")[2]) > 1e-6 for line in done.stdout.splitlines())
    for suite in ("tests/checks/test_gate.py", "tests/checks/test_properties.py", "tests/benchmarks"):
        done = python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", name, suite)
        assert done.returncode == 1, (suite, done.stdout[-3000:])
