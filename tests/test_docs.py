"""Documents: their links lead somewhere, their commands exist, the maps are complete, the limits are those of the code.

The example of CONTRIBUTING is tested in tests/cli/test_new_implementation.py.
"""

import functools
import re
import shlex
import subprocess
import tomllib

import click
import pytest
import yaml

import softmax_impls
from softmax_impls.choice import sure
from softmax_impls.choice.fleet import SERVES
from softmax_impls.choice.ranking import PREDICTED_NEAR
from softmax_impls.cli import cli
from softmax_impls.simd.sizes import BYTES_PER_THREAD, SHARED_FROM
from softmax_impls.threads import MAX_THREADS
from softmax_impls.timing import pasted_code, statistics
from softmax_impls.timing.policy import DEFAULT
from tests.test_layers import ORDER
from tests.tools.scripts import ROOT, script

DOCUMENTS = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("measurements/*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def name_of(document):
    return str(document.relative_to(ROOT))


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def code_of(document):
    """Return the lines of a document's code blocks and the code within its sentences, without generated output."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def words_of(line):
    return shlex.split(line.partition("  #")[0], comments=False)


@pytest.mark.parametrize(
    ("mark", "end"), [("main", "softmax-impls compare"), ("test", "python -m pytest -n auto --dist loadfile")]
)
def test_ci_runs_the_commands_of_the_readme(mark, end):
    function = re.search(r"^command_of\(\) .*?^}$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M | re.S)
    bash = ["bash", "-euc", f"{function[0]}\ncommand_of {mark}"]
    line = subprocess.run(bash, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert line.endswith(end)
    assert f"<!-- {mark} -->\n```sh\n{line}\n```" in README


def anchors_of(document):
    """Return the names that links give to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


@pytest.mark.parametrize("document", [*DOCUMENTS, *ROOT.glob("docs/*.ipynb"), *ROOT.glob("docs/*.rst")], ids=name_of)
def test_no_path_of_a_machine_and_no_package_registry_is_named(document):
    text = document.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|opt|usr|work|Users)/\S*", text)
    assert not re.findall(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)", text)


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_commands_of_the_package_exist_with_their_options(document):
    for line in code_of(document):
        if "softmax-impls " in line and not line.startswith("$"):
            check_command(cli, words_of(line.partition("softmax-impls ")[2]))


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_options_in_sentences_are_of_the_package(document):
    parameters = [parameter for command in cli.commands.values() for parameter in command.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    known.add("--check")  # of cog
    named = {line.split()[0] for line in code_of(document) if line.startswith("--")}
    assert named <= known


@each_document
def test_scripts_exist_with_their_commands(document):
    for line in code_of(document):
        if found := re.search(r"python (?:\./)?((?:tools|examples)/\w+\.py)(.*)", line):
            path, arguments = ROOT / found[1], words_of(found[2])
            assert path.exists(), line
            if path.parent.name == "tools" and arguments:
                check_command(main_of(path), arguments)


@functools.cache
def main_of(path):
    if path.stem.startswith("history"):
        pytest.importorskip("asv")
    return script(path).main


def check_command(command, words):
    """Check that click knows the subcommand and the options of a line."""
    if isinstance(command, click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]):
        assert words[0] in command.commands, f"{command.name} has no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{command.name} has no option {word}"


def test_a_removed_command_would_be_noticed():
    with pytest.raises(AssertionError, match="no command tune"):
        check_command(cli, ["tune"])
    with pytest.raises(AssertionError, match="no option --impll"):
        check_command(cli, ["compare", "--impll", "x"])


def test_version_and_license_are_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["version"]["path"] == "softmax_impls/__init__.py"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == softmax_impls.__version__
    assert citation["license"] == project["project"]["license"] == "BSD-3-Clause"


def test_map_in_contributing_has_every_module_and_folder():
    package = ROOT / "softmax_impls"
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert {name for name in modules | folders if f"`{name}`" not in CONTRIBUTING} == set()


def test_folders_in_contributing_have_the_order_in_which_they_import():
    (line,) = re.findall(r"^    (implementation → .*)$", CONTRIBUTING, re.M)
    places = [ORDER.index(name) for name in re.findall(r"\w+", line)]
    assert places == sorted(places)


def text_of(name):
    """Return a document in a single line, with percentages as Python formats them."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split()).replace(" %", "%")


def test_limits_in_how_the_numbers_are_made_are_those_of_the_code():
    for stated in (
        f"a sample takes {DEFAULT.min_sample * 1e3:g} to {DEFAULT.max_sample * 1e3:g} ms",
        f"at least {statistics.MIN_QUIET_ROUNDS} were quiet",
        f"At least {statistics.MIN_QUIET_ROUNDS} rounds were quiet",
        f"more than {DEFAULT.too_slow:g} times as long as the fastest kernel in every round",
        f"(in large cells, {DEFAULT.early_ratio:g} times)",
        f"must lie above {DEFAULT.later_ratio:g}, and in the end above 1 plus twice the margin",
        "fewer than 2²² elements" if DEFAULT.large_from == 2**22 else "another size",
        f"new memory after every {DEFAULT.block_rounds} rounds",
        f"exceeds {DEFAULT.impossible:.0%} cannot have moved its bytes",
        f"measured {DEFAULT.passes} times, spread over the run",
        f"pairs of neighbouring rounds from {statistics.PAIR_FROM} rounds on",
        f"Its {statistics.DIFFERENCE_CONFIDENCE:.0%} interval",
        f"With fewer than {statistics.FEW_ROUNDS} rounds",
        f"The **margin** is {statistics.MIN_MARGIN:.1%}",
        f"takes more than {sure.SURE_LEAD:.0%} longer",
        f"or {sure.LEAD_OF_FEW:.0%} if there were fewer than {sure.SURE_ROUNDS} rounds",
        f"at least {PREDICTED_NEAR:g} times the time of the winner",
        f"runs untimed for {DEFAULT.settling * 1e3:g} ms before each sample",
        f"It begins {1 - pasted_code.FASTER:.0%} below the fastest sample",
        f"With fewer than {pasted_code.FEWEST_QUIET} quiet samples",
    ):
        assert stated in text_of("how-the-numbers-are-made.md")


def test_limits_in_other_documents_are_those_of_the_code():
    assert f"takes at most {SERVES - 1:.0%} longer than the fastest" in text_of("beyond-one-machine.md")
    threads = text_of("how-to-choose.md")
    assert f"never more than {MAX_THREADS}" in threads
    assert f"moves less than {SHARED_FROM / 1e6:g} MB runs in one thread" in threads
    assert f"one thread for each {BYTES_PER_THREAD / 1e6:g} MB" in threads


def test_how_to_choose_names_the_implementations_that_use_several_threads():
    section = text_of("how-to-choose.md").partition("## Threads")[2].partition("<!--")[0]
    named = {name for name, record in softmax_impls.implementations().items() if record.threaded}
    assert set(re.findall(r"`(\w+)`", section)) == named


def test_every_file_of_measurements_is_described():
    folder = ROOT / "measurements"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.json*")}
    described = set(re.findall(r"`([\w/-]+\.jsonl?)`", (folder / "README.md").read_text(encoding="utf-8")))
    assert described == files
