"""The command line as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmax_impls import implementations
from softmax_impls.cli import run
from softmax_impls.results import store
from softmax_impls.timing import workloads
from softmax_impls.timing.workloads import Cell

GOOD = """
def mine(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
"""
QUICK = ["compare", "--batch", "4", "--dim", "8", "--budget", "10"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of the user's own, with a kernel that is right and one that is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    for name in ("good_kernels", "flipped_kernels"):
        sys.modules.pop(name, None)
    Path("good_kernels.py").write_text(GOOD)
    Path("flipped_kernels.py").write_text(GOOD.replace("out[...] = probs", "out[...] = -probs"))
    return tmp_path


def output(capsys, *arguments, status=0):
    assert run(arguments) == status
    return capsys.readouterr().out


@pytest.mark.parametrize("module", ["softmax_impls"])
def test_as_a_module_and_as_a_command(module):
    command = Path(sys.executable).with_name("softmax-impls")
    for start in ([sys.executable, "-m", module], [str(command)]):
        done = subprocess.run([*start, "--help"], capture_output=True, text=True, check=True)
        assert "Examples:" in done.stdout
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize("command", ["list", "check", "compare", "choose", "tune", "report"])
def test_help(capsys, command):
    text = output(capsys, command, "--help")
    assert f"softmax-impls {command} [OPTIONS]" in text
    assert "--json" in text


def test_help_is_laid_out_and_bare_command_shows_it(capsys):
    text = output(capsys)
    assert "Examples:\n    softmax-impls compare\n" in text
    assert "\b" not in text
    assert "\\b" not in text


def test_version(capsys):
    from softmax_impls import __version__

    assert __version__ in output(capsys, "--version")


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    from softmax_impls.__main__ import main

    monkeypatch.delitem(sys.modules, "softmax_impls.cli")
    monkeypatch.setitem(sys.modules, "click", None)
    assert main() == 2
    error = capsys.readouterr().err
    assert error == "softmax-impls: error: the command line needs click: pip install 'softmax-impls[compare]'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["compare", "--bach", "3"], "No such option '--bach'"),
        (["compare", "--batch", "3"], "--batch and --dim go together"),
        (["compare", "--batch", "3", "--dim", "x"], "'--dim': 'x' is not a whole number"),
        (["compare", "--batch", "0", "--dim", "3"], "'--batch': 0 is less than 1"),
        (["compare", "--batch", "100000", "--dim", "100000"], "an array would take more than 2 GB"),
        (["compare", "--dtype", "float16"], "'float16' is not one of float32, float64"),
        (["compare", "--workload", "mnist"], "'mnist' is not one of sample-10"),
        (["compare", "--threads", "1000"], "--threads: 1000 threads, but this process has"),
        (["compare", "--budget", "0"], "'--budget': 0.0 is not in the range"),
        (["compare", "--max-memory", "much"], "'much' is not a size like 8GB"),
        (["compare", "--output", "good_kernels.py"], "'--output': Directory 'good_kernels.py' is a file"),
        (["compare", "--budget", "nan"], "nan is not a number"),
        (["compare", "--max-memory", "1TG"], "'1TG' is not a size like 8GB"),
        (["list", "two\nlines"], "unexpected extra argument"),
        (["compare", "--seed", "-1"], "'--seed': -1 is not in the range"),
        (["compare", "--impl", "fastest"], "--impl: impl must be one of closed_form"),
        (["check", "--impl", "good_kernels:his"], "impl 'good_kernels:his' can't be loaded: AttributeError"),
        (["list", "--impl", "no_such_module:f"], "can't be loaded: ModuleNotFoundError"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(capsys, arguments, message):
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("softmax-impls: error: ")
    assert message in error
    assert error.count("\n") == 1


# ---------------------------------------------------------------- list and check


def test_list(capsys):
    text = output(capsys, "list")
    assert all(name in text for name in implementations())
    assert "8.6 GB" in text
    found = json.loads(output(capsys, "list", "--json", "--impl", "good_kernels:mine"))
    assert found["implementations"].keys() == {*implementations(), "mine"}
    assert found["implementations"]["pivoted"]["accurate_for"] == "logits"
    assert found["not_available"] == {}


def test_check_all_right(capsys):
    text = output(capsys, "check", "--impl", "good_kernels:mine")
    assert "mine" in text
    assert text.rstrip().endswith("All right.")


def test_check_rejects_a_flipped_sign(capsys):
    text = output(capsys, "check", "--impl", "flipped_kernels:mine", status=1)
    assert "WRONG" in text
    assert "mine: value: uniform, as in the source float32: off by" in text
    found = json.loads(output(capsys, "check", "--impl", "flipped_kernels:mine", "--json", status=1))["verdicts"]
    assert found["mine"]["right"] is False
    assert {"value", "numeric", "pairs"} <= {one["check"] for one in found["mine"]["failures"]}
    assert all(one["right"] for name, one in found.items() if name != "mine")
    assert found["pivoted"]["errors"]["float64"]["saturated"] < 1e-15


# ---------------------------------------------------------------- compare


def test_compare_ends_in_a_table_a_rule_and_files(capsys, monkeypatch):
    monkeypatch.setattr(workloads, "grid", lambda: [workloads.Workload(workloads.GRID, b, 16, "") for b in (1, 16)])
    text = output(
        capsys, "compare", "--workload", "sample-10,grid", "--impl", "numba_rows", "--impl", "pivoted", "--budget", "20"
    )
    assert "sample-10" in text
    assert "Winners over the grid, float32, 1 thread" in text
    assert "Use " in text
    rows = [row for rows in store.read(Path("softmax-impls-report/store.jsonl")).values() for row in rows]
    assert {row["implementation"] for row in rows} == {"numba_rows", "pivoted", "limit"}
    for key in ("machine", "versions", "commit", "threads", "samples", "time"):
        assert all(key in row for row in rows)
    assert Path("softmax-impls-report/winners.png").read_bytes().startswith(b"\x89PNG")


def test_compare_json_and_details(capsys):
    found = json.loads(output(capsys, *QUICK, "--dtype", "float32", "--json"))
    (cell,) = found["cells"]
    assert (cell["batch"], cell["dim"], cell["dtype"], cell["threads"]) == (4, 8, "float32", 1)
    assert set(cell["implementations"]) == set(implementations())
    assert set(cell["winners"]) <= set(implementations())
    assert found["rule"][0].startswith("Use ")
    text = output(capsys, *QUICK, "--resume", "--details", "--dtype", "float32")
    assert all(name in text for name in implementations())


def test_users_function_takes_part_and_names_narrow(capsys):
    found = json.loads(output(capsys, *QUICK, "--impl", "good_kernels:mine", "--impl", "pivoted", "--json"))
    assert all(set(cell["implementations"]) == {"mine", "pivoted"} for cell in found["cells"])
    assert all(one["status"] in ("timed", "dropped") for one in found["cells"][0]["implementations"].values())


SNEAKY = """
state = {"calls": 0}

def memo(probs, grad_output, out):
    key = (id(probs), id(grad_output), id(out))
    if state.get("key") != key:
        out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
    state["key"] = key

def lazy(probs, grad_output, out):
    state["calls"] += len(probs) == 600
    if state["calls"] <= 3:
        out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))

def greedy(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
    if len(probs) == 600:
        grad_output *= 2

def infs(probs, grad_output, out):
    out.fill(float("inf"))

def leaves(probs, grad_output, out):
    raise SystemExit(0)
"""


@pytest.mark.parametrize("name", ["memo", "lazy", "greedy"])
def test_kernels_that_cheat_are_not_ranked(capsys, name):
    Path("sneaky_kernels.py").write_text(SNEAKY)
    sys.modules.pop("sneaky_kernels", None)
    arguments = ["--impl", "pivoted", "--impl", f"sneaky_kernels:{name}", "--dtype", "float64", "--json"]
    found = json.loads(
        output(capsys, "compare", "--batch", "600", "--dim", "8", "--budget", "10", *arguments, status=1)
    )
    (cell,) = found["cells"]
    assert cell["implementations"][name]["status"] in ("wrong", "failed")
    assert cell["winners"] == ["pivoted"]


@pytest.mark.parametrize("name", ["infs", "leaves"])
def test_kernels_of_the_worst_kind_are_wrong_and_stop_nobody(capsys, name):
    Path("sneaky_kernels.py").write_text(SNEAKY)
    sys.modules.pop("sneaky_kernels", None)
    both = ["--impl", f"sneaky_kernels:{name}", "--json"]
    assert json.loads(output(capsys, "check", *both, status=1))["verdicts"][name]["right"] is False
    found = json.loads(output(capsys, *QUICK, *both, "--dtype", "float64", status=1))
    assert found["cells"][0]["implementations"][name]["status"] == "wrong"
    assert found["cells"][0]["winners"]


def test_two_modules_with_one_function_name_are_both_checked(capsys):
    text = output(capsys, "check", "--impl", "flipped_kernels:mine", "--impl", "good_kernels:mine", status=1)
    assert "WRONG" in text
    assert "good_kernels:mine" in text


def test_resume_does_not_trust_results_of_other_code(capsys):
    arguments = [*QUICK, "--impl", "pivoted", "--impl", "good_kernels:mine"]
    output(capsys, *arguments)
    Path("good_kernels.py").write_text(GOOD + "# edited\n")
    assert run([*arguments, "--resume"]) == 2
    assert "made with other implementations, or other versions of them: mine" in capsys.readouterr().err
    assert run([*arguments, "--resume", "--seed", "3"]) == 2
    assert "made with another seed: 0, now 3" in capsys.readouterr().err


def test_wrong_is_told_even_if_no_cell_fits_the_budget(capsys):
    arguments = ["compare", "--workload", "gpt2", "--impl", "flipped_kernels:mine", "--budget", "1", "--json"]
    found = json.loads(output(capsys, *arguments, status=1))
    assert found["cells"] == []
    assert any(note.startswith("mine: value:") for note in found["notes"])
    assert not Path("softmax-impls-report/winners.png").exists()


def test_what_kernels_print_does_not_get_into_the_answer(capsys):
    Path("noisy_kernels.py").write_text("print('hello')\n" + GOOD + "    print('called')\n")
    for command in (["list"], ["check"], QUICK):
        found = output(capsys, *command, "--impl", "noisy_kernels:mine", "--json")
        assert json.loads(found)
        sys.modules.pop("noisy_kernels")


def test_module_that_exits_when_imported(capsys):
    Path("leaving_kernels.py").write_text("import sys; sys.exit(0)\n")
    assert run(["check", "--impl", "leaving_kernels:mine"]) == 2
    assert "impl 'leaving_kernels:mine' can't be loaded: SystemExit: 0" in capsys.readouterr().err


def test_wrong_function_is_listed_and_not_ranked(capsys):
    found = json.loads(output(capsys, *QUICK, "--impl", "flipped_kernels:mine", "--json", status=1))
    for cell in found["cells"]:
        assert cell["implementations"]["mine"]["status"] == "wrong"
        assert cell["implementations"]["mine"]["times_the_fastest"] is None
        assert "mine" not in cell["winners"]
    assert any(line.startswith("Don't use mine: value:") for line in found["rule"])


def test_resume_measures_only_what_is_missing(capsys):
    output(capsys, *QUICK, "--dtype", "float32")
    path = Path("softmax-impls-report/store.jsonl")
    before = path.read_text()
    output(capsys, *QUICK, "--resume")
    assert path.read_text().startswith(before)
    dtypes = [cell.dtype for cell in store.read(path)]
    assert sorted(dtypes) == ["float32", "float64"]
    whole = path.read_text()
    output(capsys, *QUICK, "--resume")
    assert path.read_text() == whole


def test_a_new_run_keeps_the_previous_results(capsys):
    output(capsys, *QUICK, "--dtype", "float32")
    before = Path("softmax-impls-report/store.jsonl").read_text()
    output(capsys, *QUICK, "--dtype", "float64")
    assert Path("softmax-impls-report/store.previous.jsonl").read_text() == before


def test_resume_of_a_broken_file(capsys):
    Path("softmax-impls-report").mkdir()
    Path("softmax-impls-report/store.jsonl").write_text("nonsense\n")
    assert run([*QUICK, "--resume"]) == 2
    assert "results.jsonl, line 1: not a row of store" in capsys.readouterr().err
    assert Path("softmax-impls-report/store.jsonl").read_text() == "nonsense\n"


def test_budget_too_small_for_a_cell_says_so(capsys):
    arguments = ["compare", "--workload", "sample-10,gpt2", "--dtype", "float64", "--budget", "1.5", "--json"]
    start = time.perf_counter()
    found = json.loads(output(capsys, *arguments, "--impl", "numba_rows"))
    assert time.perf_counter() - start < 10
    assert [cell["workload"] for cell in found["cells"]] == ["sample-10"]
    assert any("gpt2 512×50257 float64 not measured: the budget leaves it" in note for note in found["notes"])


def test_max_memory_prunes(capsys):
    found = json.loads(output(capsys, *QUICK, "--max-memory", "1kB", "--json"))
    for cell in found["cells"]:
        assert cell["implementations"]["einsum_jacobian"]["status"] == "pruned"
        assert cell["implementations"]["einsum_jacobian"]["note"].startswith("needs ")
        assert cell["implementations"]["numba_rows"]["status"] in ("timed", "dropped")


def test_interrupt_keeps_the_cells_that_are_done():
    """Ctrl-C in the middle of a long run: a table of what there is, status 130, and --resume goes on."""
    command = [sys.executable, "-m", "softmax_impls", "compare", "--workload", "sample-10,gpt2", "--dtype", "float64"]
    process = subprocess.Popen(
        [*command, "--budget", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    path = Path("softmax-impls-report/store.jsonl")
    for _ in range(600):
        if path.exists() and path.read_text().count("\n") >= 8:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "Interrupted: 1 of 2 cells are done; --resume goes on from there." in out
    assert list(store.read(path)) == [Cell("sample-10", 1, 10, "float64", 1)]


def shell(line, **environment):
    command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m softmax_impls {line}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.parametrize("line", ["list | head -1", "list --json | head -1", "list | true"])
def test_output_into_a_closed_pipe(line):
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("options", ["", "--json"])
def test_output_onto_a_full_disk(options):
    done = shell(f"list {options} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "softmax-impls: error: [Errno 28] No space left on device\n")


def test_output_in_ascii():
    done = shell("list", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "numba_simd" in done.stdout
