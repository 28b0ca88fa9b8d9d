"""The environment of a measurement, limits of threads, and fingerprints of kernels."""

import hashlib
import linecache
import os
import re
import subprocess
from pathlib import Path

import numba
import pytest
from threadpoolctl import threadpool_info

from softmax_impls.formatting import format_count
from softmax_impls.threads import available_cores
from softmax_impls.timing import environment


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    return subprocess.run(command, check=True, capture_output=True, errors="surrogateescape").stdout.strip()


def test_the_environment_names_the_machine_and_the_versions():
    found = environment.environment()
    assert f", {format_count(available_cores(), 'core')}, " in found.machine
    assert found.memory_bytes > 1e8
    assert {"python", "numpy", "numba"} <= found.versions.keys()
    assert 0 < environment.largest_temporaries() <= 4e9


@pytest.fixture
def not_cached():
    """Let `environment` look again, in this test and after it."""
    environment.environment.cache_clear()
    yield
    environment.environment.cache_clear()


def test_a_package_whose_installation_is_damaged_has_an_unknown_version(monkeypatch, not_cached):
    monkeypatch.setattr(environment.importlib.metadata, "version", lambda package: None)
    assert environment.environment().versions["numpy"] == "unknown"


def test_the_host_is_the_machines_name_or_a_given_name_or_a_hash(monkeypatch, not_cached):
    node = environment.platform.node()
    monkeypatch.delenv("SOFTMAX_IMPLS_MACHINE", raising=False)
    assert environment.environment().host == node
    assert environment.environment("lab").host == "lab"
    hashed = environment.environment("hash").host
    assert re.fullmatch("[0-9a-f]{8}", hashed)
    assert hashed not in node
    monkeypatch.setenv("SOFTMAX_IMPLS_MACHINE", "lab")
    environment.environment.cache_clear()
    assert environment.environment().host == "lab"
    machine = environment.environment().machine
    assert all(environment.is_here(machine, host) for host in ("", "lab", node, hashed))
    assert not environment.is_here(machine, "another")
    assert not environment.is_here("another cpu", "lab")


def test_commits_are_put_in_the_order_of_their_history(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init")
    history = []
    for number in range(3):
        git(tmp_path, "commit", "--allow-empty", "-m", str(number))
        history.append(git(tmp_path, "rev-parse", "HEAD"))
    commits = [*history[::-1], "--output=x", "f" * 40, "", "c0ffee+changes"]
    assert environment.from_old_to_new(commits) == history
    assert environment.from_old_to_new([]) == []
    assert list(tmp_path.iterdir()) == [tmp_path / ".git"]


def test_the_commit_is_that_of_a_checkout_of_this_package_only(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")  # not UTF-8
    package = folder / "softmax_impls"
    package.mkdir(parents=True)
    assert environment.commit(folder) is None
    git(folder, "init")
    (package / "other.py").write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "another project")
    assert environment.commit(folder) is None
    (package / "__init__.py").write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "this package")
    assert environment.commit(folder) == git(folder, "rev-parse", "HEAD")
    (package / "__init__.py").write_text("# edited")
    assert environment.commit(folder) == git(folder, "rev-parse", "HEAD") + "+changes"


@pytest.mark.parametrize("threads", [1, available_cores()])
def test_threads_of_all_libraries_are_limited_temporarily(threads):
    before = numba.get_num_threads()
    with environment.limit_all_threads(threads):
        assert all(pool["num_threads"] == threads for pool in threadpool_info())
        assert numba.get_num_threads() == threads
    assert numba.get_num_threads() == before


def test_a_fingerprint_is_that_of_the_kernels_file():
    def kernel():
        pass

    assert environment.fingerprint(kernel) == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    assert environment.fingerprint(numba.njit(kernel)) == environment.fingerprint(kernel)
    assert environment.fingerprint(len) == "?"


def test_a_fingerprint_of_a_kernel_in_a_notebook_changes_with_its_lines():
    def define(number, line):
        source, file = f"def kernel():\n    {line}\n", f"<cell {number}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # as IPython does
        names = {}
        exec(compile(source, file, "exec"), names)
        return environment.fingerprint(names["kernel"])

    first = define(1, "return 1")
    assert first == define(2, "return 1")
    assert first not in ("?", define(3, "return 2"))
