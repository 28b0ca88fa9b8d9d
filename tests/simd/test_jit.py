"""Compiled code is cached on disk; the cache is right after any change, and not needed."""

import concurrent.futures
import os
import shutil
import subprocess
import sys

import pytest

from tests.simd.problems import ROOT, compiled_only, run_program

pytestmark = compiled_only

HITS_AND_MISSES = """
import numpy as np
from softmax_impls.backward.numba_rows import numba_rows
numba_rows(*np.ones((3, 2, 5)))
print(sum(numba_rows.stats.cache_hits.values()), sum(numba_rows.stats.cache_misses.values()))
"""


@pytest.mark.parametrize("helper", ["simd/passes.py", "threads.py"])
def test_a_changed_helper_file_invalidates_the_cache_of_kernels_in_other_files(helper, tmp_path):
    copy = tmp_path / "softmax_impls"
    shutil.copytree(ROOT / "softmax_impls", copy, ignore=shutil.ignore_patterns("__pycache__"))

    def hits_and_misses():
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
        program = [sys.executable, "-c", HITS_AND_MISSES]
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert hits_and_misses() == ["0", "1"]
    assert hits_and_misses() == ["1", "0"]
    with (copy / helper).open("a") as file:
        file.write("\n# changed\n")
    assert hits_and_misses() == ["0", "1"]


FIRST_SMALL_CALL = """
import sys
probs = np.full((1, 10), 0.1, "float32")
softmax_backward(probs, probs)
print(*(name in sys.modules for name in ("numba.np.arrayobj", "numba.cpython.rangeobj")))
"""


@pytest.mark.slow
def test_a_first_small_call_compiles_three_functions_without_arrays_and_then_loads_them_without_the_compiler(tmp_path):
    assert run_program(FIRST_SMALL_CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "False True\n"
    compiled = sorted(file.name.split("-")[0] for file in tmp_path.rglob("*.nbc"))
    assert compiled == ["pool.enter", "rows.tiny_rows", "tasks.choose"]
    assert run_program(FIRST_SMALL_CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "False False\n"


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
