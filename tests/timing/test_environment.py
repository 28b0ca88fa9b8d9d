"""The environment of a measurement, limits of threads, and fingerprints of kernels."""

import hashlib
import subprocess
from pathlib import Path

import numba
import pytest
from threadpoolctl import threadpool_info

from softmax_impls.threads import available_cores
from softmax_impls.timing import environment


def test_the_environment_names_the_machine_and_the_versions():
    found = environment.environment()
    assert f", {available_cores()} cores, " in found.machine
    assert found.memory_bytes > 1e8
    assert {"python", "numpy", "numba"} <= found.versions.keys()
    assert 0 < environment.largest_temporaries() <= 4e9


def test_the_commit_is_that_of_a_checkout_of_this_package_only(tmp_path):
    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "softmax_impls"
    assert environment.commit(tmp_path) is None
    git("init")
    package.mkdir()
    (package / "other.py").write_text("")
    git("add", ".")
    git("commit", "-m", "another project")
    assert environment.commit(tmp_path) is None
    (package / "__init__.py").write_text("")
    git("add", ".")
    git("commit", "-m", "this package")
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("# edited")
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD") + "+changes"


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
