"""A comparison on a fleet: real schedulers and workers on this machine, two of which pretend to be other hosts."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import msgspec
import pytest

import softmax_impls
from softmax_impls.cli import run
from softmax_impls.commands.fleet import host, sending, tasks
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.kernels import select_kernels
from softmax_impls.report import figures
from softmax_impls.results import store
from softmax_impls.threads import available_cores
from softmax_impls.timing.workloads import CellKey
from tests.tools.scripts import ROOT

KERNEL = """
import os

if os.path.basename(os.getcwd()) == "elsewhere":  # the folder of the worker
    {there}

def mine(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
"""
FEW = ["--impl", "closed_form", "--impl", "pivoted", "--dtype", "float64", "--budget", "1"]
THREE = ["--batch", "4,8,16", "--dim", "8", *FEW]


# ---------------------------------------------------------------- without Dask


def test_the_folder_is_deleted_if_the_worker_dies_before_it_sends_the_request(tmp_path):
    folder = tmp_path / "modules"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "softmax_impls.commands.fleet.host", folder], stdin=subprocess.DEVNULL, check=False
    )
    assert not folder.exists()


@pytest.mark.parametrize("last", ["Started", "Ended"])
def test_the_folder_is_deleted_if_the_worker_dies_after_a_message(tmp_path, last):
    folder = tmp_path / "modules"
    order = Order(keys=[CellKey("custom", 4, 8, "float64", 1)], specs=["pivoted"], budget=0.1)
    with subprocess.Popen(
        [sys.executable, "-m", "softmax_impls.commands.fleet.host", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
        while f'"type":"{last}"'.encode() not in process.stdout.readline():
            assert process.poll() is None
        folder.mkdir(exist_ok=True)
        process.stdout.close()  # the kernel closes the pipes of a dead process one after the other
        time.sleep(1.0)
        process.stdin.close()
    assert not folder.exists()


def carried_out(*keys, spec="pivoted", **options):
    messages = []
    host.carry_out(Order(keys=list(keys), specs=[spec], budget=1.0, **options), messages.append)
    return messages


def test_cells_of_more_threads_than_processors_are_not_measured():
    started, skipped, ended = carried_out(CellKey("custom", 4, 8, "float64", available_cores() + 1))
    assert started.sources.keys() == {"pivoted"}
    assert skipped.why.startswith("this kind has ")
    assert ended.failures == []


def test_an_implementation_that_is_lacking_is_named():
    (refused,) = carried_out(spec="no_such_module:mine")
    assert refused.why.startswith("impl 'no_such_module:mine' can't be loaded: ModuleNotFoundError")


def test_beside_a_users_function_only_the_chosen_implementations_take_part():
    started, _ = carried_out(spec="tests.commands.test_comparison:mine", only=["mine"])
    assert started.sources.keys() == {"mine"}


def test_functions_that_a_worker_cannot_import_under_their_name_are_refused():
    selected, _ = select_kernels(["pivoted", "tests.commands.test_comparison:mine"], peers=False)
    assert sending.specs_of(selected) == ["pivoted", "tests.commands.test_comparison:mine"]
    for kernels in ([lambda p, g, out: None], {"other": "tests.commands.test_comparison:mine"}):
        selected, _ = select_kernels(kernels, peers=False)
        with pytest.raises(ValueError, match=r"^kernels: '(kernel|other)' must be a function of this name in a module"):
            sending.specs_of(selected)


def test_a_worker_that_has_restarted_says_so():
    with pytest.raises(RuntimeError, match="the worker has restarted"):
        tasks.next_message()


def test_the_module_of_a_users_function_is_sent_with_its_package(tmp_path, monkeypatch):
    package = tmp_path / "sent_package" / "inner"
    package.mkdir(parents=True)
    for file in (tmp_path / "sent_module.py", package.parent / "__init__.py", package / "kernels.py"):
        file.write_text("number = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import sent_module  # noqa: F401
    import sent_package  # noqa: F401

    files = sending.files_of(["sent_module:f", "sent_package.inner.kernels:g", "pivoted", "numpy:dot", "os.path:join"])
    assert files.keys() == {"sent_module.py", "sent_package/__init__.py", "sent_package/inner/kernels.py"}
    monkeypatch.setattr(sending, "LARGEST", 10)
    with pytest.raises(ValueError, match="install them on the workers' machines"):
        sending.files_of(["sent_module:f"])


def test_installed_parts_of_a_namespace_package_are_not_sent(tmp_path, monkeypatch):
    for folder, name in (("site-packages", "installed.py"), ("own", "mine.py")):
        file = tmp_path / folder / "sent_names" / name
        file.parent.mkdir(parents=True)
        file.touch()
        monkeypatch.syspath_prepend(tmp_path / folder)
    import sent_names.installed
    import sent_names.mine  # noqa: F401

    assert sending.files_of(["sent_names.installed:f"]).keys() == {"sent_names/mine.py"}


class NoClient:
    """A client whose tasks are never done."""

    def submit(self, *call, workers, pure):
        return workers


def test_a_host_measures_for_one_kind_at_a_time_however_many_workers_it_has():
    kinds = pytest.importorskip("softmax_impls.commands.fleet.kinds")
    key = CellKey("custom", 4, 8, "float64", 1)
    first, second = (kinds.KindRun(name, (name, ()), [key], {f"{name}-1": "a", f"{name}-2": "a"}) for name in "xy")
    second.workers["y-3"] = "b"
    order = Order(keys=[key], specs=[], budget=1.0)
    first.start(NoClient(), order, busy=[""])
    second.start(NoClient(), order, busy=[first.busy_host])
    assert (first.message, second.message) == (["x-1"], ["y-3"])
    third = kinds.KindRun("z", ("z", ()), [key], {"z-1": "b"})
    third.start(NoClient(), order, busy=[first.busy_host, second.busy_host])
    assert third.message is None


def test_a_cell_in_which_two_workers_died_is_skipped():
    kinds = pytest.importorskip("softmax_impls.commands.fleet.kinds")
    cells = [CellKey("custom", batch, 8, "float64", 1) for batch in (4, 8)]
    kind = kinds.KindRun("x", ("x", ()), list(cells), {"x-1": "a"})
    kind.now = cells[0]
    assert kind.lose("its worker is gone") == ""
    kind.now = cells[0]
    assert kind.lose("its worker is gone") == "x: custom 4×8 float64 not measured: its worker is gone"
    assert (kind.missing, kind.finished) == (cells[1:], False)


# ---------------------------------------------------------------- on a cluster


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return tmp_path


class Fleet:
    """A scheduler and workers in processes of their own, started by the commands of the document."""

    def __init__(self, folder):
        self.folder, self.temporary, self.processes = folder, folder / "temporary", {}
        self.temporary.mkdir()
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self._start("scheduler", [*command_of("dask scheduler"), *options])
        while not (file.exists() and file.read_text().endswith("}")):
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]

    def _start(self, name, command, processors=None, **variables):
        command, usual = [sys.executable, "-m", *command], os.sched_getaffinity(0)
        os.sched_setaffinity(0, processors or usual)  # the process inherits it
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **variables}, stdout=log, stderr=log
            )
        os.sched_setaffinity(0, usual)

    def worker(self, name, processors=None):
        """Start a worker on a host of this name, which has some of the processors of this machine."""
        command = [*command_of("dask worker", self.address), "--no-nanny", "--no-dashboard"]
        self._start(name, command, processors, SOFTMAX_IMPLS_MACHINE=name, TMPDIR=str(self.temporary))

    def wait_for(self, workers):
        """Wait until the scheduler knows this number of workers."""
        from distributed import Client

        with Client(self.address) as client:
            client.wait_for_workers(workers)

    def kill(self, name, number=signal.SIGKILL):
        self.processes[name].send_signal(number)
        self.processes.pop(name).wait()


def command_of(start, address=""):
    """Return the command of docs/beyond-one-machine.md that begins so, with the address of a scheduler."""
    text = (ROOT / "docs" / "beyond-one-machine.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- fleet -->\n```sh\n(.*?)```", text, re.DOTALL)
    (line,) = (line for line in block.splitlines() if line.startswith(start))
    words = shlex.split(line.partition("  #")[0])
    return [address if word.startswith("tcp://") else word for word in words]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Two kinds of machines: host-a has all processors, host-b and host-c have one each."""
    pytest.importorskip("distributed")
    if available_cores() < 2:
        pytest.skip("two kinds need two processors")
    processors = sorted(os.sched_getaffinity(0))
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.worker("host-a")
    fleet.worker("host-b", {processors[0]})
    fleet.worker("host-c", {processors[1]})
    fleet.wait_for(3)
    yield fleet
    for name in list(fleet.processes):
        fleet.kill(name, signal.SIGTERM)


def hosts_of(file):
    """Return the host of each cell, by number of processors and batch."""
    cells, problems = store.read(file)
    assert problems == []
    return {(cell.environment.machine.split(", ")[1], cell.batch): cell.environment.host for cell in cells}


@pytest.fixture
def appended(monkeypatch):
    """Call a function after each cell that is appended to the results."""

    def call(function):
        append = store.append

        def both(path, cell):
            append(path, cell)
            function(cell)

        monkeypatch.setattr(store, "append", both)

    return call


@pytest.mark.slow
def test_from_two_kinds_to_the_page_though_workers_die(fleet, folder, capsys, monkeypatch, appended):
    monkeypatch.setattr("softmax_impls.commands.fleet.kinds.GONE", 0.5)
    killed = []

    def kill_twice(cell):
        if ", 1 core, " in cell.environment.machine and len(killed) < 2:
            killed.append(cell.environment.host)
            fleet.kill(killed[-1])

    appended(kill_twice)
    file = folder / "fleet" / "results.jsonl"
    assert run([*command_of("softmax-impls compare", fleet.address)[1:], *THREE]) == 1
    out, err = capsys.readouterr()
    assert set(killed) == {"host-b", "host-c"}
    end = time.monotonic() + 10
    while list(fleet.temporary.glob("tmp*")) and time.monotonic() < end:  # folders of the killed workers' modules
        time.sleep(0.05)
    assert not list(fleet.temporary.glob("tmp*"))
    assert all(f"its worker on {host} is gone" in err for host in killed)
    hosts = hosts_of(file)
    assert len(hosts) == 5
    assert [host for (kind, _), host in hosts.items() if kind == "1 core"] == killed
    assert ", 1 core is gone: 2 of 3 cells are measured." in out

    (command,) = re.findall(r"To continue: softmax-impls (.*)", out)
    fleet.worker("host-d", {0})
    fleet.wait_for(2)
    assert run([*shlex.split(command), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(kind["cells"]) for kind in found["kinds"]] == [3, 3]  # whichever hosts measured them
    assert [cell["for_all"] for cell in found["fleet"]] == ["pivoted"] * 3
    assert re.fullmatch(r"pivoted serves all 2 kinds in . of 3 cells: fastest or tied .*", found["recommendation"][0])
    assert len(hosts_of(file)) == 6
    assert hosts.items() <= hosts_of(file).items()

    shapes, options = [(4, 8), (8, 8), (16, 8)], {"dtypes": ["float64"], "output": "fleet", "resume": True}
    results = softmax_impls.compare(["closed_form", "pivoted"], shapes, scheduler=fleet.address, **options)
    assert [len(ranked.cells) for ranked in results.runs] == [3, 3]
    assert list(results.recommendation) == found["recommendation"]
    assert [answer.best_for_all for answer in results.fleet.values()] == ["pivoted"] * 3

    monkeypatch.setattr(figures, "KINDS", ("winners",))  # the others take seconds
    assert run(command_of("softmax-impls report")[1:]) == 0
    page = (folder / "fleet" / "report.html").read_text(encoding="utf-8")
    assert ">for all kinds<" in page
    question = " ".join(command_of("softmax-impls choose")[1:]).replace("256", "4").replace("1000", "8")
    assert run(question.replace("float32", "float64").split()) == 0
    assert "On all kinds of machines in these results: pivoted on 2 of 2 kinds" in capsys.readouterr().out


@pytest.mark.slow
def test_a_users_kernel_is_sent_and_what_a_worker_lacks_is_named(folder, capsys, monkeypatch, appended):
    distributed = pytest.importorskip("distributed")
    (folder / "elsewhere").mkdir()
    # Dask sets a variable for its workers that makes kernels slower.
    there = "assert 'MALLOC_TRIM_THRESHOLD_' not in os.environ"
    (folder / "sent_kernels.py").write_text(KERNEL.format(there=there))
    (folder / "lacking_kernels.py").write_text(KERNEL.format(there="import no_such_package"))
    monkeypatch.chdir("elsewhere")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        monkeypatch.chdir(folder)
        arguments = ["compare", "--scheduler", cluster.scheduler_address, "--batch", "4,8", "--dim", "8", *FEW]

        def interrupt(cell):
            raise KeyboardInterrupt

        appended(interrupt)
        assert run([*arguments, "--impl", "sent_kernels:mine"]) == 130
        assert "Interrupted: 1 of 2 cells are measured." in capsys.readouterr().out
        (cell,), _ = store.read(folder / "softmax-impls-report" / "results.jsonl")
        assert {kernel.name: kernel.verified for kernel in cell.kernels}["mine"]
        results = softmax_impls.compare(["lacking_kernels:mine"], [(4, 8)], scheduler=cluster.scheduler_address)
        assert results.runs == ()
        assert "can't be loaded: ModuleNotFoundError: No module named 'no_such_package'" in results.problems[0]
        with distributed.Client(cluster), distributed.Lock("softmax-impls compare"):
            assert run(arguments) == 2
        assert "another comparison uses the workers" in capsys.readouterr().err
        monkeypatch.setattr("softmax_impls.__version__", "9.9")
        assert run(arguments) == 2
        assert re.search(
            r"worker tcp://\S+ refused: it has softmax-impls \S+, and this process 9.9", capsys.readouterr().err
        )


def test_an_address_without_a_scheduler_is_an_error(folder, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("softmax_impls.commands.fleet.comparison.CONNECT", 0.1)
    assert run(["compare", "--scheduler", "tcp://127.0.0.1:9", *THREE]) == 2
    assert "--scheduler" in capsys.readouterr().err
