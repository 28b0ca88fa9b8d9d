"""Every tunable number of timing. The numbers of the comparison of samples are in `softmax_impls.timing.statistics`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingPolicy:
    """Each field states its unit and its reason; effects were measured with ``tools/verdicts.py``."""

    # Samples. Short calls are repeated until a sample takes `min_sample` seconds. It takes more, up to `max_sample`, if
    # the time suffices for `target_rounds` rounds. The longer a sample, the more often another process disturbs it.
    min_sample: float = 200e-6
    max_sample: float = 500e-6
    target_rounds: int = 30
    calibration_samples: int = 3  # the fastest counts: a disturbed sample must not make all later samples short
    settling: float = 0.015  # seconds of calls before a sample of several threads: threads of peers may still spin

    # Rounds. 12 blocks of 6 rounds found a slowdown of 5 % in 97 % of small cells; without blocks, 80 to 88 %.
    block_rounds: int = 6  # rounds on one placement of the arrays
    first_look: int = 3  # rounds before the first decision: a single slow call may be a disturbance
    min_rounds: int = 12  # rounds before a large cell can be settled
    min_blocks: int = 4  # blocks of each step of a small cell, and before it can be settled
    max_rounds: int = 400  # rounds of a step
    reference_rounds: int = 24  # rounds of the A/A control and of the roofline, half as many in a large cell

    # Elimination. The ratio is a kernel's time over the fastest kernel's.
    # A kernel that is `too_slow`, and whose call is `too_long`, takes part in no round: this doubled the rounds.
    too_slow: float = 3.0
    too_long: float = 0.01  # share of the step's time
    # In small cells, `too_slow` takes the place of `early_ratio`: beside programs that used the shared cache, a kernel
    # that was a third slower was eliminated at 2.0 (4096×256 float64).
    early_ratio: float = 2.0  # in every round, while there are few: a placement can slow a kernel down by a third
    # Before the last step of a cell: other programs may use the memory during a whole step. In a step of 4096×256
    # float32, the kernel that was the fastest in most runs took 1.4 times as long as another. At 1.3 it was eliminated.
    later_ratio: float = 2.0

    impossible: float = 1.25  # ratio of the roofline's time to a kernel's, from which the kernel must skip work

    # Small cells have several passes: load on the machine often lasts for seconds and changes which kernel is fastest.
    # Their arrays are placed anew between blocks, and blocks are compared instead of rounds: placement alone can
    # reverse a difference of 3 % (16×65536 float32). In large cells this would take most of the time.
    passes: int = 3
    large_from: int = 2**22  # elements

    admission_share: float = 0.04  # of a cell's time, for a kernel's probes and first call; beyond, it is extrapolated
    # In a large cell of the grid, all predictions were too long: of five kernels, only the second fastest was timed.
    fastest_share: float = 0.1  # of a cell's time, for one call of a kernel that may be the fastest
    near_fastest: float = 2.0  # ratio to the shortest prediction, up to which a kernel may be the fastest
    sampling_share: float = 0.5  # of a step's time, for samples even if admission took longer than planned

    # Schedule. A cell of a named workload costs 1, plus its bytes.
    grid_cost: float = 0.4  # of a cell of the grid, plus its bytes: named workloads are measured more closely
    byte_cost: float = 1e-8  # for each byte moved
    setup_cost: float = 4e-8  # seconds per element for making the arrays and verifying the kernels
    min_step: float = 0.1  # seconds, besides set-up, of an extra step of an open cell
    min_share: float = 0.4  # of its planned time, for a cell even if earlier cells took longer, as on a busy machine
    timing_share: float = 1 / 3  # of the budget, for timing even after long checks and compilation
    check_seconds: float = 3.0  # seconds for the checks of all implementations in each dtype, on znver3
    late: float = 1.2  # a run that takes more than this multiple of its budget says so


DEFAULT = SamplingPolicy()
