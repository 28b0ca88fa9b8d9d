"""asv and `softmax-impls history` find a slowdown that a commit adds, and nothing in a commit that adds a comment."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# These kernels use NumPy only, so that nothing is compiled.
CELLS = r"Workload.*'(closed_form|closed_form_vecdot|pivoted)', '(digits|sample-1000)', 'float64'"
SLOWED = "closed_form"

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
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}  # compiling takes minutes, and these kernels need none
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment)
    assert done.returncode in rc, done.stdout + done.stderr
    return done.stdout


def commit(clone, file, change):
    text = file.read_text()
    changed = change(text)
    assert changed != text
    file.write_text(changed)
    run(clone, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "change")
    return run(clone, "git", "rev-parse", "HEAD").strip()


def slower(clone, base, head):
    """Return the parameters of the benchmarks that are slower at `head`."""
    output = run(clone, sys.executable, "-m", "softmax_impls", "history", base, head, "--json", rc=(0, 1))
    (comparison,) = json.loads(output)["comparisons"]
    return {tuple(change["params"]) for change in comparison["slower"]}


@pytest.mark.slow
def test_a_slowdown_is_found_and_a_comment_is_not(tmp_path):
    pytest.importorskip("asv")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(ROOT), str(clone))
    run(clone, "git", "checkout", "-q", "-B", "main")
    asv = (sys.executable, "-m", "asv")
    run(clone, *asv, "machine", "--yes")
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
    # On a busy machine, every sample of asv's usual 10 ms is interrupted; some of 1 ms are not.
    recording = ("--record-samples", "-a", "rounds=6", "-a", "sample_time=0.001", "--bench", CELLS)
    run(clone, *asv, "run", *recording, f"{first}^!")
    output = run(clone, *asv, "continuous", *recording, commented, slowed, rc=(0, 1))
    assert re.search(rf"^\| \+ .*'{SLOWED}'", output, re.MULTILINE), output

    planted = {(SLOWED, workload, "float64") for workload in ("digits", "sample-1000")}
    if slower(clone, first, commented) or slower(clone, commented, slowed) != planted:
        # One comparison in a hundred gives a false alarm. As a user would, measure again and join the samples.
        for name in (first, commented, slowed):
            run(clone, *asv, "run", "--append-samples", *recording, f"{name}^!")
    assert slower(clone, first, commented) == set()
    assert slower(clone, commented, slowed) == planted
