"""Compiled code is cached on disk; the cache is right after any change, and not needed."""

import concurrent.futures
import errno
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from numba.core import caching

from softmax_impls.simd import jit, objects
from tests.simd.problems import ROOT, compiled_only, run_program

pytestmark = compiled_only

HITS_AND_MISSES = """
import numpy as np
from softmax_impls.backward.numba_rows import numba_rows
numba_rows(*np.ones((3, 2, 5)))
print(sum(numba_rows.stats.cache_hits.values()), sum(numba_rows.stats.cache_misses.values()))
"""
FIRST_SMALL_CALL = """
import sys
import numpy as np
from softmax_impls import softmax_backward
probs = np.full((1, 10), 0.1, "float32")
softmax_backward(probs, probs)
print(*(name in sys.modules for name in ("numba.np.arrayobj", "numba")))
"""


def output_of(program, package, cache):
    """Return what a program prints in a new process, with the package in a folder and a folder for the cache."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=cache.parent, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("helper", ["simd/passes.py", "threads.py"])
def test_a_changed_helper_file_invalidates_the_cache_of_kernels_in_other_files(helper, tmp_path):
    copy = tmp_path / "softmax_impls"
    shutil.copytree(ROOT / "softmax_impls", copy, ignore=shutil.ignore_patterns("__pycache__"))

    def hits_and_misses():
        return output_of(HITS_AND_MISSES, tmp_path, tmp_path / "cache").split()

    assert hits_and_misses() == ["0", "1"]
    assert hits_and_misses() == ["1", "0"]
    with (copy / helper).open("a") as file:
        file.write("\n# changed\n")
    assert hits_and_misses() == ["0", "1"]


@pytest.mark.parametrize("changed", ["stamp", "processor", "setting", "source"])
def test_machine_code_is_read_from_its_file_only_by_the_same_sources_and_settings(changed, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "surroundings", objects.surroundings.__wrapped__)
    source, code = tmp_path / "kernel.py", ("its_name", b"\0machine\0code")
    source.write_text("def kernel(): pass\n")
    exec(compile(source.read_text(), source, "exec"), names := {"__name__": "kernel"})
    objects.write(names["kernel"], "float32", code)
    assert objects.read(names["kernel"], "float32") == code
    assert objects.read(names["kernel"], "float64") is None
    if changed == "stamp":
        monkeypatch.setattr(objects, "STAMP", ())
    elif changed == "processor":
        monkeypatch.setattr(objects.binding, "get_host_cpu_name", lambda: "another")
    elif changed == "setting":
        monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    else:
        source.write_text("def kernel(): return\n")
    assert objects.read(names["kernel"], "float32") is None


def test_a_damaged_file_of_machine_code_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    objects.write(output_of, None, ("its_name", b"code"))
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for length in (0, 20, len(content) - 10, len(content) - 1):
        file.write_bytes(content[:length])
        assert objects.read(output_of, None) is None


def test_threads_that_need_a_function_at_once_load_its_machine_code_once(monkeypatch):
    loaded = []

    def load(code):
        time.sleep(0.01)
        return len(loaded) or loaded.append(code) or 1

    monkeypatch.setattr(jit, "objects", SimpleNamespace(read=lambda function, dtype: ("its_name", b""), load=load))
    task = jit.Task(lambda: None, {})
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert list(executor.map(task.address, ["float32"] * 4)) == [1] * 4
    assert len(loaded) == 1


def test_a_disk_without_space_for_the_cache_is_no_error(monkeypatch):
    def save(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", save)
    assert jit.jit()(lambda x: x + 1)(1) == 2


@pytest.mark.slow
def test_a_first_small_call_compiles_three_functions_without_arrays_and_then_loads_them_without_numba(tmp_path):
    cache = tmp_path / "cache"
    assert output_of(FIRST_SMALL_CALL, ROOT, cache) == "False True\n"
    compiled = sorted(file.name.split("-")[0] for file in cache.iterdir())
    assert compiled == ["pool.enter", "small_rows.tiny_rows", "tasks.choose"]
    assert output_of(FIRST_SMALL_CALL, ROOT, cache) == "False False\n"


@pytest.mark.slow
def test_two_processes_may_compile_at_once(tmp_path):
    def run(_):
        return run_program("print(all_paths_are_right())", NUMBA_CACHE_DIR=str(tmp_path))

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        assert list(executor.map(run, range(2))) == ["True\n"] * 2


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run_program("print(all_paths_are_right())", NUMBA_CACHE_DIR=str(blocked)) == "True\n"
