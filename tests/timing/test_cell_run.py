"""A cell is measured: which kernels take part, which are eliminated, and what the record says."""

import gc
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.registry import describe
from softmax_impls.timing import cell_run
from softmax_impls.timing.cell_run import CellRun
from softmax_impls.timing.kernel import Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.statistics import compare_samples
from softmax_impls.timing.workloads import CellKey
from tests.timing.kernels import delayed, spin, textbook

SMALL = CellKey("test", 8, 16, "float64", 1)
ONE_PASS = SamplingPolicy(passes=1, admission_share=0.2)
LARGE = SamplingPolicy(large_from=1, pair_rounds_from=1, admission_share=0.2)  # every cell counts as large
SHORT_STEPS = SamplingPolicy(max_rounds=12, admission_share=0.2)


def run(kernels, seconds=0.5, key=SMALL, policy=ONE_PASS, steps=1, memory=LARGEST_TEMPORARIES):
    cell = CellRun(key, kernels, memory, 0, policy)
    for _ in range(steps):
        cell.measure(seconds)
    return cell


def record(cell):
    return cell.record({}, {})


def measured(kernels, **options):
    cell = record(run(kernels, **options))
    assert msgspec.json.decode(msgspec.json.encode(cell), type=Cell) == cell
    return cell


def comparison(cell):
    kernels = [kernel for kernel in cell.kernels if kernel.ranked]
    eliminated = [kernel.name for kernel in kernels if kernel.status == "eliminated"]
    return compare_samples({kernel.name: kernel.samples for kernel in kernels}, eliminated=eliminated)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_the_faster_kernel_is_found_and_the_control_is_its_copy(policy):
    cell = measured([delayed("fast", 1e-4), delayed("slow", 4e-4)], policy=policy)
    assert comparison(cell).best == "fast"
    assert "slow" not in comparison(cell).ties
    assert cell.control.name == "fast"
    assert 0 < len(cell.control.samples) <= ONE_PASS.reference_rounds
    assert 0 < len(cell.roofline.samples) <= ONE_PASS.reference_rounds
    assert all(sample > 1e-4 for sample in cell.by_name["fast"].samples)


def test_short_calls_are_repeated_in_a_sample():
    assert measured([describe(textbook)]).by_name["textbook"].calls_per_sample > 1


def test_a_slow_kernel_is_eliminated_and_its_samples_are_kept():
    cell = measured([delayed("fast", 1e-4), delayed("slow", 1e-3)])
    slow, fast = cell.by_name["slow"], cell.by_name["fast"]
    assert (slow.status, slow.verified) == ("eliminated", True)
    assert ONE_PASS.first_look <= len(slow.samples) < len(fast.samples)


def test_a_very_slow_kernel_is_called_once_after_its_verification():
    cell = measured([describe(textbook), delayed("slow", 5e-3)], policy=replace(ONE_PASS, admission_share=10.0))
    assert cell.by_name["slow"].status == "eliminated"
    assert len(cell.by_name["slow"].samples) == 1
    assert cell.by_name["slow"].seconds > 4e-3


def test_no_kernel_is_eliminated_before_the_first_look():
    policy = replace(ONE_PASS, first_look=20)
    cell = measured([delayed("fast", 1e-4), delayed("slow", 1e-3)], policy=policy, seconds=0.6)
    assert len(cell.by_name["slow"].samples) >= 6


def test_a_kernel_that_may_be_fastest_on_another_placement_stays_while_there_are_steps_to_come():
    kernels = [delayed("fast", 4e-4), delayed("slow", 4.4e-4)]
    first = run(kernels, policy=replace(ONE_PASS, passes=3))
    assert len(first.active) == 2
    first.measure(0.2)
    first.measure(0.2)
    assert not first.is_open


def test_there_is_time_for_samples_even_if_everything_before_was_slow(monkeypatch):
    """Another process has the processor while the arrays are made, for longer than the step."""
    seen = []
    monkeypatch.setattr(cell_run.CellRun, "_take_blocks", lambda self, arrays: seen.append(self._deadline) or True)
    make = cell_run.CellArrays
    monkeypatch.setattr(cell_run, "CellArrays", lambda *arguments: [spin(0.1), make(*arguments)][1])
    run([describe(textbook)], seconds=0.05)
    now = time.perf_counter()
    assert now - 0.02 < seen[0] <= now + 0.05 * ONE_PASS.sampling_share


def test_small_cells_are_measured_in_blocks_on_arrays_that_are_placed_anew():
    placements = set()

    def noting(probs, grad_output, out):
        textbook(probs, grad_output, out)
        placements.add(out.ctypes.data)

    cell = measured([describe(noting)])
    assert len(cell.blocks) >= ONE_PASS.min_blocks
    assert sum(cell.blocks) == len(cell.kernels[0].samples)
    assert len(placements) > 1


def test_large_cells_have_no_blocks():
    cell = measured([describe(textbook)], policy=LARGE)
    assert cell.blocks == ()
    assert len(cell.kernels[0].samples) >= LARGE.min_rounds


def test_further_steps_add_samples():
    cell = CellRun(SMALL, [delayed("a", 1e-4), delayed("b", 1e-4)], LARGEST_TEMPORARIES, 0, SamplingPolicy())
    cell.measure(0.1)
    earlier = record(cell)
    cell.measure(0.1)
    later = record(cell)
    for name in "ab":
        samples = earlier.by_name[name].samples
        assert later.by_name[name].samples[: len(samples)] == samples
        assert len(later.by_name[name].samples) > len(samples)
    assert later.blocks[: len(earlier.blocks)] == earlier.blocks
    assert sum(later.blocks) == len(later.by_name["a"].samples)


def test_a_kernel_that_answers_from_memory_is_found_wrong_on_the_inputs_of_the_next_step():
    seen = {}

    def remembering(probs, grad_output, out):
        key = probs.shape, probs.dtype
        if key not in seen:
            seen[key] = np.empty_like(out)
            textbook(probs, grad_output, seen[key])
        out[...] = seen[key]

    cell = record(run([describe(textbook), describe(remembering)], steps=2, policy=SamplingPolicy(passes=2)))
    assert cell.by_name["remembering"].status == "wrong"
    assert not cell.by_name["remembering"].verified
    assert cell.by_name["textbook"].ranked


def test_a_kernel_may_be_named_roofline():
    def roofline(probs, grad_output, out):
        textbook(probs, grad_output, out)

    cell = measured([describe(roofline)])
    assert cell.by_name["roofline"].ranked
    assert cell.by_name["roofline"].samples != cell.roofline.samples


def wrong_after(calls, name="cheat"):
    """A fast kernel whose result is wrong after some calls."""
    count = []

    def kernel(probs, grad_output, out):
        count.append(1)
        textbook(probs, grad_output, out)
        out.flat[0] += len(count) > calls

    return describe(kernel, name=name)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_kernels_that_were_eliminated_by_a_wrong_kernel_are_timed_again(policy):
    """The wrong kernel looks at least five times as fast as the others, which are equal."""
    kernels = [wrong_after(300), delayed("a", 3e-4), delayed("b", 3e-4)]
    cell = measured(kernels, seconds=0.5, policy=policy)
    assert cell.by_name["cheat"].status == "wrong"
    assert cell.by_name["cheat"].samples == ()
    assert {"a", "b"} == {kernel.name for kernel in cell.kernels if kernel.ranked}
    assert max(len(cell.by_name[name].samples) for name in "ab") >= 6
    assert cell.control.name in "ab"


def test_a_cell_whose_only_kernel_turns_wrong_has_no_samples():
    cell = measured([wrong_after(300)])
    assert (cell.kernels[0].status, cell.kernels[0].samples, cell.blocks, cell.control) == ("wrong", (), (), None)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
@pytest.mark.parametrize("after", [3, 50, 150])  # calls: while it is verified, calibrated, or timed
def test_a_kernel_that_raises_after_some_calls_has_failed_and_the_others_are_timed(after, policy):
    calls = []

    def flaky(probs, grad_output, out):
        textbook(probs, grad_output, out)
        calls.append(1)
        if len(calls) > after:
            raise RuntimeError("out of\nluck\x1b[31m")

    cell = measured([delayed("slow", 1e-4), describe(flaky)], seconds=1.0, policy=policy)
    flaky = cell.by_name["flaky"]
    assert (flaky.status, flaky.note, flaky.verified) == ("failed", "RuntimeError: out of luck [31m", False)
    assert cell.by_name["slow"].status == "timed"
    assert len(cell.by_name["slow"].samples) >= 6


def test_a_kernel_that_modifies_its_inputs_is_wrong_and_the_others_are_right():
    def modifying(probs, grad_output, out):
        textbook(probs, grad_output, out)
        if len(probs) == 8:  # not the probes, which are copies
            grad_output[0, 0] = 7

    cell = measured([describe(modifying), describe(textbook)])
    assert (cell.by_name["modifying"].status, cell.by_name["modifying"].note) == ("wrong", "modified its inputs")
    assert cell.by_name["textbook"].ranked


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_a_kernel_that_modifies_its_inputs_while_timed_does_not_spoil_the_others(policy):
    calls = []

    def modifying(probs, grad_output, out):
        calls.append(1)
        textbook(probs, grad_output, out)
        if len(calls) > 200:
            probs[-1, 0] *= 2

    cell = measured([delayed("first", 0), describe(modifying), describe(textbook)], policy=policy)
    assert (cell.by_name["modifying"].status, cell.by_name["modifying"].note) == ("wrong", "modified its inputs")
    assert cell.by_name["first"].ranked
    assert cell.by_name["textbook"].ranked


def test_a_kernel_that_would_take_too_much_of_the_time_is_extrapolated():
    def slow(probs, grad_output, out):
        time.sleep(0.004 * len(probs))

    cell = measured([describe(slow), describe(textbook)], key=CellKey("test", 256, 4, "float64", 1))
    slow = cell.by_name["slow"]
    assert (slow.status, slow.verified, slow.samples) == ("extrapolated", False, ())
    assert 0.5 < slow.seconds < 5  # 1.02 s, if no other process disturbs all calls of a probe


def test_a_kernel_that_needs_too_much_memory_is_not_started():
    def hungry(probs, grad_output, out):
        raise AssertionError("must not run")

    kernel = describe(hungry, temporaries=lambda batch, dim, itemsize: 8_600_000_000)
    hungry = measured([kernel, describe(textbook)]).by_name["hungry"]
    assert (hungry.status, hungry.note, hungry.seconds) == ("pruned", "needs 8.6 GB", None)
    assert hungry.temporary_bytes == 8_600_000_000


def test_a_record_whose_memory_cannot_be_predicted_has_failed():
    def temporaries(batch, dim, itemsize):
        return 0 if dim == 1 else 1 // 0

    kernel = describe(textbook, temporaries=temporaries)
    assert measured([kernel, delayed("other", 0)]).by_name["textbook"].status == "failed"


def test_wrong_results_and_exceptions_are_recorded_and_not_timed():
    def off(probs, grad_output, out):
        textbook(probs, grad_output, out)
        out[-1, 5] += 1e-9

    def lazy(probs, grad_output, out):
        """Writes nothing: the result of an earlier kernel must not pass for its own."""

    def raising(probs, grad_output, out):
        raise RuntimeError("out of luck")

    cell = measured([describe(textbook), describe(off), describe(lazy), describe(raising)])
    assert {name: kernel.status for name, kernel in cell.by_name.items()} == {
        "textbook": "timed",
        "off": "wrong",
        "lazy": "wrong",
        "raising": "failed",
    }
    assert "row 7" in cell.by_name["off"].note
    assert cell.by_name["raising"].note == "RuntimeError: out of luck"
    assert comparison(cell).ratios == {}


def test_a_cell_without_a_right_kernel_is_recorded():
    def lazy(probs, grad_output, out):
        pass

    cell = measured([describe(lazy)])
    assert (cell.kernels[0].status, cell.control, cell.roofline) == ("wrong", None, None)


@pytest.fixture(scope="module")
def ours():
    return implementations()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (7, 33)])
def test_every_implementation_of_this_package_is_verified_in_small_cells(ours, dtype, shape):
    cell = measured(ours.values(), key=CellKey("test", *shape, dtype, 1), policy=SHORT_STEPS)
    for kernel in cell.kernels:
        assert (kernel.status in ("timed", "eliminated", "extrapolated"), kernel.note) == (True, kernel.note)
        assert kernel.status == "extrapolated" or (kernel.verified and kernel.discrepancy <= 1)


def test_the_time_of_a_step_is_kept():
    cell = CellRun(SMALL, [delayed(name, 1e-4) for name in "abcd"], LARGEST_TEMPORARIES, 0, ONE_PASS)
    start = time.perf_counter()
    cell.measure(0.3)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_long_calls_end_a_step_after_a_few_rounds(policy):
    kernel = delayed("long", 0.02)
    policy = replace(policy, admission_share=10.0)
    assert 3 <= len(measured([kernel], seconds=0.05, policy=policy).kernels[0].samples) <= 12


@pytest.mark.parametrize(("call", "disturbed"), [(call, 0.01) for call in range(8)])
def test_a_disturbed_sample_does_not_shorten_all_later_samples(monkeypatch, call, disturbed):
    seconds = [1e-6] * 8  # of the verification; of samples of 1, 4, 16, 64 and 256 calls; of two more
    seconds[call] = disturbed
    samples = iter(seconds)
    monkeypatch.setattr(Participant, "sample", lambda self: next(samples))
    participant = Participant(describe(textbook), seconds=next(samples))
    participant.calibrate(500e-6, ONE_PASS)
    assert participant.calls_per_sample == 500


def test_ctrl_c_restores_garbage_collection():
    calls = []

    def interrupted(probs, grad_output, out):
        textbook(probs, grad_output, out)
        calls.append(1)
        if len(calls) > 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([describe(interrupted)])
    assert gc.isenabled()
