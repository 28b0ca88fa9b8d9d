"""The environment, the versions, the commit, and threads held."""

import subprocess

import numba
import pytest
from threadpoolctl import threadpool_info

from softmax_impls.timing import environment


def test_machine_and_versions():
    assert environment.machine()["cores"] >= 1
    assert environment.machine()["memory_bytes"] > 1e8
    assert {"python", "numpy", "numba"} <= environment.versions().keys()
    assert 0 < environment.largest_temporaries() <= 4e9


def test_commit_is_the_checkouts_and_nobody_elses(tmp_path, monkeypatch):
    def git(*arguments):
        done = subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    inside = tmp_path / "softmax_impls" / "timing" / "machine.py"
    monkeypatch.setattr(environment, "__file__", str(inside))
    commit = environment.commit.__wrapped__
    assert commit() is None
    git("init")
    inside.parent.mkdir(parents=True)
    inside.write_text("")
    git("add", ".")
    git("commit", "-m", "somebody else's project")
    assert commit() is None
    (inside.parents[1] / "__init__.py").write_text("")
    git("add", ".")
    git("commit", "-m", "ours")
    assert commit() == git("rev-parse", "HEAD")
    inside.write_text("# edited")
    assert commit() == git("rev-parse", "HEAD") + "+changes"


@pytest.mark.parametrize("threads", [1, environment.cores()])
def test_pinned(threads):
    before = numba.get_num_threads()
    with environment.limit_all_threads(threads):
        assert all(pool["num_threads"] == threads for pool in threadpool_info())
        assert numba.get_num_threads() == threads
    assert numba.get_num_threads() == before
