"""A cell is measured: which kernels take part, which are eliminated, and what the record says."""

import gc
import itertools
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.registry import describe
from softmax_impls.timing import cell_run, extrapolation, workloads
from softmax_impls.timing import kernel as kernel_module
from softmax_impls.timing.cell_run import CellRun
from softmax_impls.timing.kernel import Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.statistics import compare_samples
from softmax_impls.timing.workloads import HEADER, PAGE, CellKey
from tests.timing.kernels import textbook

SMALL = CellKey("test", 8, 16, "float64", 1)
ONE_PASS = SamplingPolicy(passes=1, admission_share=0.2)
LARGE = SamplingPolicy(large_from=1, admission_share=0.2)  # every cell counts as large
SHORT_STEPS = SamplingPolicy(max_rounds=12, admission_share=0.2)


def run(kernels, seconds=0.5, key=SMALL, policy=ONE_PASS, steps=1, memory=LARGEST_TEMPORARIES):
    cell = CellRun(key, kernels, memory, 0, policy)
    for _ in range(steps):
        cell.measure(seconds)
    return cell


def record(cell):
    return cell.record()


def measured(kernels, **options):
    cell = record(run(kernels, **options))
    assert msgspec.json.decode(msgspec.json.encode(cell), type=Cell) == cell
    return cell


def comparison(cell):
    kernels = [kernel for kernel in cell.kernels if kernel.ranked]
    eliminated = [kernel.name for kernel in kernels if kernel.status == "eliminated"]
    return compare_samples({kernel.name: kernel.samples for kernel in kernels}, eliminated=eliminated)


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by a simulated clock, which only kernels of `taking` advance; the roofline takes 20 µs."""
    clock = SimpleNamespace(now=0.0)
    simulated = SimpleNamespace(
        perf_counter=lambda: clock.now, perf_counter_ns=lambda: int(clock.now * 1e9), sleep=lambda seconds: None
    )
    for module in (cell_run, kernel_module, extrapolation):
        monkeypatch.setattr(module, "time", simulated)
    monkeypatch.setattr(cell_run, "ROOFLINE", taking(clock, "roofline", 2e-5))
    monkeypatch.setattr(cell_run, "LAST_LEVEL_CACHE", 0)  # the roofline takes part in every cell
    monkeypatch.setattr(cell_run, "is_quiet", lambda after_threads: True)
    return clock


def taking(clock, name, seconds, misbehave=lambda call, *arrays: None):
    """Return a right kernel that takes a simulated time and then misbehaves, depending on the number of the call."""
    calls = []

    def kernel(probs, grad_output, out):
        textbook(probs, grad_output, out)
        clock.now += seconds
        calls.append(1)
        misbehave(len(calls), probs, grad_output, out)

    return describe(kernel, name=name)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_the_faster_kernel_is_found_and_the_control_is_its_copy(clock, policy):
    cell = measured([taking(clock, "fast", 1e-4), taking(clock, "slow", 1.5e-4)], policy=policy)
    assert comparison(cell).best == cell.control.name == "fast"
    assert comparison(cell).ties == ()
    assert comparison(cell).ratios["slow"].value == pytest.approx(1.5)
    assert 0 < len(cell.control.samples) <= ONE_PASS.reference_rounds
    assert 0 < len(cell.roofline.samples) <= ONE_PASS.reference_rounds
    assert cell.by_name["fast"].samples[0] == pytest.approx(1e-4)
    assert cell.by_name["fast"].calls_per_sample > 1
    assert len(cell.by_name["fast"].samples) >= policy.min_rounds
    assert sum(cell.blocks) == (0 if policy is LARGE else len(cell.by_name["fast"].samples))


@pytest.mark.parametrize(("seconds", "first_look", "samples"), [(1e-3, 3, 3), (1e-3, 20, 6), (5e-3, 3, 1)])
def test_a_slow_kernel_is_eliminated_and_its_samples_are_kept(clock, seconds, first_look, samples):
    """It takes part up to the first look or the end of the block; in no round if it takes much longer."""
    policy = replace(ONE_PASS, admission_share=10.0, first_look=first_look)
    cell = measured([taking(clock, "fast", 1e-4), taking(clock, "slow", seconds)], policy=policy, seconds=0.4)
    slow = cell.by_name["slow"]
    assert (slow.status, slow.verified, len(slow.samples)) == ("eliminated", True, samples)
    assert slow.seconds == pytest.approx(seconds)
    assert len(cell.by_name["fast"].samples) >= samples


def test_a_kernel_that_may_be_fastest_on_another_placement_stays_while_there_are_steps_to_come(clock):
    cell = run([taking(clock, "fast", 4e-4), taking(clock, "slow", 4.4e-4)], policy=replace(ONE_PASS, passes=3))
    assert len(cell.active) == 2
    cell.measure(0.2)
    cell.measure(0.2)
    assert len(cell.active) == 1
    assert not cell.is_open


def test_there_is_time_for_samples_even_if_everything_before_was_slow(clock, monkeypatch):
    """Another process has the processor while the arrays are made, for longer than the step."""

    class SlowArrays(cell_run.CellArrays):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            clock.now += 10.0

    monkeypatch.setattr(cell_run, "CellArrays", SlowArrays)
    (kernel,) = measured([taking(clock, "a", 1e-4)], seconds=0.05).kernels
    assert len(kernel.samples) >= ONE_PASS.block_rounds * ONE_PASS.min_blocks


def test_further_steps_add_samples(clock):
    cell = run([taking(clock, "a", 1e-4), taking(clock, "b", 1e-4)], seconds=0.1, policy=SamplingPolicy())
    earlier = record(cell)
    cell.measure(0.1)
    later = record(cell)
    for name in "ab":
        samples = earlier.by_name[name].samples
        assert later.by_name[name].samples[: len(samples)] == samples
        assert len(later.by_name[name].samples) > len(samples)
    assert later.blocks[: len(earlier.blocks)] == earlier.blocks
    assert sum(later.blocks) == len(later.by_name["a"].samples)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_the_time_of_a_step_is_kept(clock, policy):
    measured([taking(clock, name, 1e-4) for name in "abcd"], seconds=0.3, policy=policy)
    assert clock.now < 0.6
    (long,) = measured([taking(clock, "long", 0.02)], seconds=0.05, policy=replace(policy, admission_share=10)).kernels
    assert 3 <= len(long.samples) <= 12


def turn_wrong(call, probs, grad_output, out):
    out.flat[0] += call > 100


def modify(call, probs, grad_output, out):
    if call > 100:
        probs[-1, 0] *= 2


def modify_the_last_gradient(call, probs, grad_output, out):
    if call > 100:
        grad_output[-1, -1] *= 2


def modify_at_once(call, probs, grad_output, out):
    if len(probs) == 8:  # not the probes, which are copies
        grad_output[0, 0] = 7


def fail(after):
    def misbehave(call, *arrays):
        if call > after:
            raise RuntimeError("out of\nluck\x1b[31m")

    return misbehave


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
@pytest.mark.parametrize(
    ("misbehave", "status", "note"),
    [
        (turn_wrong, "wrong", "row 0"),
        (modify, "wrong", "modified its inputs"),
        (modify_the_last_gradient, "wrong", "modified its inputs"),
        (modify_at_once, "wrong", "modified its inputs"),
        *((fail(after), "failed", "RuntimeError: out of luck [31m") for after in (3, 12, 150)),
    ],
)
def test_kernels_are_timed_again_if_a_kernel_that_eliminated_them_misbehaves(clock, policy, misbehave, status, note):
    """The kernel looks five times as fast; it misbehaves when it is verified, calibrated, or timed."""
    kernels = [taking(clock, "a", 3e-4), taking(clock, "bad", 6e-5, misbehave), taking(clock, "b", 3e-4)]
    cell = measured(kernels, policy=policy)
    bad = cell.by_name["bad"]
    assert (bad.status, bad.verified, bad.samples) == (status, False, ())
    assert note in bad.note
    assert {"a", "b"} == {kernel.name for kernel in cell.kernels if kernel.status == "timed" and kernel.ranked}
    assert min(len(cell.by_name[name].samples) for name in "ab") >= 6
    assert cell.control.name in "ab"


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_an_eliminated_kernel_that_modified_the_inputs_is_wrong(clock, policy):
    calls = itertools.count()

    def modify_always(call, probs, grad_output, out):
        if len(out) == SMALL.batch and next(calls):  # not yet when it is verified
            probs[-1, 0] *= 2

    cell = measured([taking(clock, "fast", 1e-4), taking(clock, "bad", 1e-3, modify_always)], policy=policy)
    assert (cell.by_name["bad"].status, cell.by_name["bad"].note) == ("wrong", "modified its inputs")
    assert cell.by_name["fast"].ranked


@pytest.mark.parametrize(
    ("misbehave", "status"), [(turn_wrong, "wrong"), *((fail(after), "failed") for after in (3, 12, 150))]
)
def test_a_cell_whose_only_kernel_misbehaves_has_no_samples(clock, misbehave, status):
    cell = measured([taking(clock, "cheat", 1e-4, misbehave)])
    assert (cell.kernels[0].status, cell.kernels[0].samples, cell.blocks, cell.control) == (status, (), (), None)


def test_a_kernel_that_would_take_too_much_of_the_time_is_extrapolated(clock):
    cell = measured([taking(clock, "slow", 0.3), taking(clock, "fast", 1e-4)])
    slow = cell.by_name["slow"]
    assert (slow.status, slow.verified, slow.samples) == ("extrapolated", False, ())
    assert 0.3 < slow.seconds < 5


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(0.04, 0.045, "timed"), (0.04, 0.06, "extrapolated"), (0.01, 0.035, "extrapolated")],  # too long; not the fastest
)
def test_kernels_that_may_be_fastest_take_part_in_a_cell_that_is_short_of_time(clock, first, second, status):
    key = CellKey("test", 1, 16, "float64", 1)
    cell = measured([taking(clock, "first", first), taking(clock, "second", second)], key=key)  # in 0.5 s
    assert {name: kernel.status for name, kernel in cell.by_name.items()} == {"first": "timed", "second": status}


def test_small_cells_are_measured_in_blocks_on_arrays_that_are_placed_anew(clock):
    placements = set()

    def note(call, probs, grad_output, out):
        if len(out) == SMALL.batch:  # not the probes, which are copies
            placements.add(out.ctypes.data)

    cell = measured([taking(clock, "a", 1e-4, note)])
    assert len(cell.blocks) >= ONE_PASS.min_blocks
    assert sum(cell.blocks) == len(cell.kernels[0].samples)
    assert len(placements) > 1


def test_a_kernel_that_returns_at_once_where_out_looks_right_has_to_compute_each_call():
    looked_right = []

    def looking(probs, grad_output, out):
        if out.ctypes.data % PAGE == HEADER:  # not the probes, which are copies
            looked_right.append(out[0, 0] == probs[0, 0] * (grad_output[0, 0] - (probs[0] * grad_output[0]).sum()))
        textbook(probs, grad_output, out)

    cell = measured([describe(looking), describe(textbook)], seconds=0.1)
    assert cell.by_name["looking"].ranked
    assert len(looked_right) > 100
    assert not any(looked_right)


@pytest.mark.parametrize("policy", [ONE_PASS, LARGE])
def test_a_kernel_that_skips_work_on_known_arrays_is_wrong_and_eliminates_no_other(clock, policy):
    known = set()

    def skipping(probs, grad_output, out):
        arrays = probs.ctypes.data, grad_output.ctypes.data, out.ctypes.data
        if arrays not in known:
            known.add(arrays)
            textbook(probs, grad_output, out)
        clock.now += 1e-5

    kernels = [taking(clock, "a", 3e-4), describe(skipping), taking(clock, "b", 3e-4)]
    cell = measured(kernels, policy=policy)
    assert cell.by_name["skipping"].status == "wrong"
    assert {cell.by_name[name].status for name in "ab"} == {"timed"}
    assert min(len(cell.by_name[name].samples) for name in "ab") >= policy.min_rounds


def test_a_kernel_that_skips_a_call_after_its_own_call_is_wrong(clock):
    """It skips a call if `out` still has its last result; the results of other kernels differ in the last bits."""
    kept = {}

    def keeping(probs, grad_output, out):
        clock.now += 1e-4
        if not np.array_equal(kept.get(out.ctypes.data), out):
            textbook(probs, grad_output, out)
            out *= 1 + np.finfo(out.dtype).eps
            kept[out.ctypes.data] = out.copy()

    cell = measured([taking(clock, "a", 1e-4), describe(keeping)])
    assert {name: kernel.status for name, kernel in cell.by_name.items()} == {"a": "timed", "keeping": "wrong"}


def test_a_kernel_that_is_faster_than_memory_is_wrong(clock):
    cell = measured([taking(clock, "impossible", 1e-5), taking(clock, "right", 3e-4)])
    assert cell.by_name["impossible"].status == "wrong"
    assert cell.by_name["impossible"].note == "takes 0.50 of the time that moving its bytes takes"
    assert cell.by_name["right"].status == "timed"


def test_a_kernel_that_is_faster_than_a_disturbed_roofline_is_not_wrong(clock):
    cell = measured([taking(clock, "fast", 2e-5 / 1.4), taking(clock, "right", 3e-4)])
    assert cell.by_name["fast"].status == "timed"


def test_the_roofline_takes_part_only_where_the_arrays_do_not_fit_a_cache(clock, monkeypatch):
    monkeypatch.setattr(cell_run, "LAST_LEVEL_CACHE", SMALL.moved_bytes)
    assert measured([taking(clock, "a", 1e-4)]).roofline is None


def test_the_record_states_how_many_threads_ran_side_by_side(clock, monkeypatch):
    monkeypatch.setattr(cell_run, "running_side_by_side", lambda threads: 0.6 * threads)
    two_threads = replace(SMALL, threads=2)
    assert measured([taking(clock, "a", 1e-4)], key=two_threads).concurrency is None  # a small call runs in one
    monkeypatch.setattr(cell_run, "SHARED_FROM", 0)
    assert measured([taking(clock, "a", 1e-4)], key=two_threads).concurrency == 1.2
    assert measured([taking(clock, "a", 1e-4)]).concurrency is None


def test_rounds_beside_a_busy_program_are_marked_and_do_not_decide(clock, monkeypatch):
    """Whenever the processor is not quiet, the kernel that is faster otherwise takes twice as long."""
    quiet = SimpleNamespace(now=True)

    def is_quiet(after_threads):
        quiet.now = not quiet.now
        return quiet.now or clock.now < 0.05

    monkeypatch.setattr(cell_run, "is_quiet", is_quiet)
    slowed = taking(clock, "slowed", 1e-4, lambda *_: setattr(clock, "now", clock.now + (0 if quiet.now else 1e-4)))
    cell = measured([slowed, taking(clock, "steady", 1.5e-4)], seconds=0.1)
    assert cell.disturbed
    assert comparison(cell.undisturbed()).best == "slowed"
    assert not cell.is_busy


def test_beside_threads_of_another_library_no_round_is_marked(clock, monkeypatch):
    """These threads may still be busy after a call, so it is not known whether another program is."""
    monkeypatch.setattr(cell_run, "is_quiet", lambda after_threads: False)
    monkeypatch.setattr(cell_run, "running_side_by_side", lambda threads: 2.0)
    peer = replace(taking(clock, "peer", 1e-3), family="peer")
    kernels = [peer, taking(clock, "a", 1e-3)]
    assert measured(kernels, seconds=0.1, key=replace(SMALL, threads=2)).disturbed == ()
    assert measured(kernels, seconds=0.1).disturbed


def test_all_steps_of_a_measurement_have_the_time_of_its_start(clock):
    cell = run([taking(clock, "a", 1e-4)], policy=SamplingPolicy())
    before = record(cell).time
    cell.measure(0.1)
    assert record(cell).time == before


def test_a_kernel_that_answers_from_memory_is_wrong():
    seen = {}

    def remembering(probs, grad_output, out):
        key = probs.shape, probs.dtype
        if key not in seen:
            seen[key] = np.empty_like(out)
            textbook(probs, grad_output, seen[key])
        out[...] = seen[key]

    cell = record(run([describe(textbook), describe(remembering)]))
    assert cell.by_name["remembering"].status == "wrong"
    assert not cell.by_name["remembering"].verified
    assert cell.by_name["textbook"].ranked


def test_a_kernel_may_be_named_roofline(monkeypatch):
    monkeypatch.setattr(cell_run, "LAST_LEVEL_CACHE", 0)

    def roofline(probs, grad_output, out):
        textbook(probs, grad_output, out)

    cell = measured([describe(roofline)])
    assert cell.by_name["roofline"].ranked
    assert cell.by_name["roofline"].samples != cell.roofline.samples


def test_a_kernel_that_needs_too_much_memory_is_not_started():
    def hungry(probs, grad_output, out):
        raise AssertionError("must not run")

    kernel = describe(hungry, temporaries=lambda batch, dim, itemsize: 8_600_000_000)
    hungry = measured([kernel, describe(textbook)]).by_name["hungry"]
    assert (hungry.status, hungry.note, hungry.seconds) == ("pruned", "needs 8.6 GB", None)
    assert hungry.temporary_bytes == 8_600_000_000


def test_copies_of_rows_count_as_memory_that_a_call_needs():
    key = CellKey("channels", *workloads.sizes("channels"), "float32", 1)
    (copying,) = measured([describe(textbook)], key=key, memory=10**5).kernels
    assert (copying.status, copying.note) == ("pruned", "needs 384.0 kB")  # 32 of 64 steps at a time


def test_a_record_whose_memory_cannot_be_predicted_has_failed():
    def temporaries(batch, dim, itemsize):
        return 0 if dim == 1 else 1 // 0

    kernel = describe(textbook, temporaries=temporaries)
    assert measured([kernel, describe(textbook, name="other")]).by_name["textbook"].status == "failed"


def test_wrong_results_and_exceptions_are_recorded_and_not_timed():
    def off(probs, grad_output, out):
        textbook(probs, grad_output, out)
        out[-1, 5] += 1e-9

    def lazy(probs, grad_output, out):
        """Writes nothing: the result of an earlier kernel must not pass for its own."""

    def raising(probs, grad_output, out):
        raise RuntimeError("out of luck")

    cell = measured([describe(textbook), describe(lazy), describe(off), describe(raising)], policy=LARGE)
    assert [kernel.status for kernel in cell.kernels] == ["timed", "wrong", "wrong", "failed"]
    assert "row 7" in cell.by_name["off"].note
    assert cell.by_name["raising"].note.startswith("RuntimeError: out of luck (test_cell_run.py:")
    assert comparison(cell).ratios == {}
    alone = measured([describe(lazy)])
    assert (alone.kernels[0].status, alone.control, alone.roofline) == ("wrong", None, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (7, 33)])
def test_every_implementation_of_this_package_is_verified_in_small_cells(dtype, shape):
    cell = measured(implementations().values(), key=CellKey("test", *shape, dtype, 1), policy=SHORT_STEPS)
    for kernel in cell.kernels:
        assert (kernel.status in ("timed", "eliminated", "extrapolated"), kernel.note) == (True, kernel.note)
        assert kernel.status == "extrapolated" or (kernel.verified and kernel.discrepancy <= 1)


def test_kernels_and_the_roofline_are_timed_where_the_classes_are_not_on_the_last_axis(monkeypatch):
    monkeypatch.setitem(workloads.OTHER_AXES, "other", ((2, 3, 5, 4), 1))
    monkeypatch.setattr(cell_run, "LAST_LEVEL_CACHE", 0)

    def wrong(probs, grad_output, out):
        textbook(probs, grad_output, out)
        out[0, 0] = 7

    kernels = [*implementations().values(), describe(textbook), describe(wrong)]
    key = CellKey("other", *workloads.sizes("other"), "float32", 1)
    # A call takes longer than moving 120 elements, so the roofline is none here: nothing is impossible.
    cell = measured(kernels, key=key, policy=replace(SHORT_STEPS, impossible=1e9))
    results = cell.by_name
    assert (str(key), key.elements) == ("other 2×3×5×4 axis=1 float32", 120)
    assert results["wrong"].status == "wrong"
    notes = {kernel.name: (kernel.status, kernel.note) for kernel in cell.kernels}
    assert {name for name, kernel in results.items() if kernel.ranked} == {*implementations(), "textbook"}, notes
    assert results["numba_simd"].temporary_bytes == 0
    assert results["numba_rows"].temporary_bytes == 3 * 120 * 4  # the inputs and the result as rows
    assert cell.roofline


@pytest.mark.parametrize("disturbed", range(8))
def test_a_disturbed_sample_does_not_shorten_all_later_samples(monkeypatch, disturbed):
    seconds = [1e-6] * 8  # of the verification; of samples of 1, 4, 16, 64 and 256 calls; of two more
    seconds[disturbed] = 0.01
    samples = iter(seconds)
    monkeypatch.setattr(Participant, "sample", lambda self: next(samples))
    participant = Participant(describe(textbook), seconds=next(samples))
    participant.calibrate(500e-6, ONE_PASS)
    assert participant.calls_per_sample == 500


@pytest.mark.parametrize("was_collecting", [True, False])
def test_ctrl_c_restores_garbage_collection(clock, was_collecting):
    enabled = []

    def interrupt(call, *arrays):
        if call > 100:
            enabled.append(gc.isenabled())
            raise KeyboardInterrupt

    try:
        if not was_collecting:
            gc.disable()
        with pytest.raises(KeyboardInterrupt):
            run([taking(clock, "interrupted", 1e-4, interrupt)])
        assert enabled == [False]
        assert gc.isenabled() == was_collecting
    finally:
        gc.enable()
