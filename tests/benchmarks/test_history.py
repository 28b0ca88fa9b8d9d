"""asv notices a slowdown, where it is, and nothing where there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELLS = r"Workload.*'(closed_form|closed_form_vecdot|pivoted|numba_rows)', '(digits|imagenet)'"
SLOWED = "closed_form"
FACTOR = "1.25"  # docs/history.md has what it is worth

COMMENT = "\n# A comment.\n"
HALF_AS_LONG_AGAIN = """

def _half_as_long_again(kernel):
    import functools
    import time

    @functools.wraps(kernel)
    def slower(probs, grad_output, out):
        begin = time.perf_counter_ns()
        kernel(probs, grad_output, out)
        until = begin + (time.perf_counter_ns() - begin) * 3 // 2
        while time.perf_counter_ns() < until:
            pass

    return slower


@register("""


def run(clone, *command, rc=(0,)):
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode in rc, done.stdout + done.stderr
    return done.stdout


def commit(clone, file, change):
    text = file.read_text()
    changed = change(text)
    assert changed != text
    file.write_text(changed)
    run(clone, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "change")
    return run(clone, "git", "rev-parse", "HEAD").strip()


def changed(clone, before, after):
    """Return the implementations that `asv continuous` calls slower, and those that it calls faster."""
    asv = (sys.executable, "-m", "asv", "continuous", "--factor", FACTOR, "--bench", CELLS, before, after)
    told = run(clone, *asv, rc=(0, 1))
    rows = re.findall(r"^\| (\+|-) .*Workload\.time_kernel\('(\w+)', '(\w+)', '(\w+)'\)", told, re.MULTILINE)
    assert ("PERFORMANCE DECREASED" in told) == any(sign == "+" for sign, *_ in rows), told
    return [{tuple(cell) for sign, *cell in rows if sign == which} for which in "+-"]


@pytest.mark.slow
def test_asv_flags_what_a_commit_made_slower_and_nothing_else(tmp_path):
    pytest.importorskip("asv")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(ROOT), str(clone))
    run(clone, "git", "checkout", "-q", "-B", "main")
    run(clone, sys.executable, "-m", "asv", "machine", "--yes")
    file = clone / "softmax_impls" / "backward" / f"{SLOWED}.py"
    first = run(clone, "git", "rev-parse", "HEAD").strip()
    commented = commit(clone, file, lambda text: text + COMMENT)
    slowed = commit(
        clone,
        file,
        lambda text: text.replace("\n\n@register(", HALF_AS_LONG_AGAIN, 1).replace(
            "\n)\ndef ", "\n)\n@_half_as_long_again\ndef ", 1
        ),
    )
    assert changed(clone, first, commented) == [set(), set()]
    assert changed(clone, commented, slowed) == [
        {(SLOWED, workload, dtype) for workload in ("digits", "imagenet") for dtype in ("float32", "float64")},
        set(),
    ]
