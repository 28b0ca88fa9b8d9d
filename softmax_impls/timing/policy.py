"""The tunable numbers of timing; `softmax_impls.timing.statistics` has the numbers for the comparison of samples."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingPolicy:
    """How many samples a cell gets and how long they are, when kernels are eliminated, and how a budget is divided.

    Each field states its unit and its reason. The effects were measured with ``tools/verdicts.py``.
    """

    # Samples. Short calls are repeated until a sample takes `min_sample` seconds. A sample takes longer, up to
    # `max_sample` seconds, if the step still has time for `target_rounds` rounds. The longer a sample, the more often
    # another process disturbs it.
    min_sample: float = 200e-6
    max_sample: float = 500e-6
    target_rounds: int = 30
    calibration_samples: int = 3  # the fastest counts: a disturbed sample must not make all later samples short
    settling: float = 0.015  # seconds of untimed calls before a sample in several threads: threads of peers may spin

    # Rounds. 12 blocks of 6 rounds found a slowdown of 5 % in 97 % of small cells; rounds without blocks found it in 80
    # to 88 %.
    block_rounds: int = 6  # rounds on one placement of the arrays
    first_look: int = 3  # rounds before the first decision: a single slow call may be a disturbance
    min_rounds: int = 20  # rounds before a large cell can be settled: with fewer, only a long lead is sure
    min_blocks: int = 4  # fewest blocks of a step of a small cell, and of a small cell that is settled
    max_rounds: int = 400  # rounds of a step
    reference_rounds: int = 24  # rounds of the A/A control and of the roofline, half as many in a large cell

    # Elimination. A ratio is the time of a kernel divided by the time of the fastest kernel.
    # A kernel takes part in no round if its ratio exceeds `too_slow` and its call takes more than `too_long`. This
    # doubled the number of rounds.
    too_slow: float = 3.0
    too_long: float = 0.01  # share of the step's time
    # Small cells use `too_slow` instead of `early_ratio`: with 2.0, a kernel that was a third slower was eliminated
    # while other programs used the shared cache (4096×256 float64).
    early_ratio: float = 2.0  # in every round, while rounds are few: a placement can slow a kernel down by a third
    # The ratio before the last step of a cell. Other programs may use the memory during a whole step: in a step of
    # 4096×256 float32, the kernel that was the fastest in most runs took 1.4 times as long as another kernel. With 1.3,
    # it was eliminated.
    later_ratio: float = 2.0

    # The roofline's time divided by a kernel's time; beyond, the kernel must skip work. numba_simd reached 1.13, and in
    # three rounds beside another process 1.35 (4096×4096 float64, Zen 1).
    impossible: float = 1.6

    # Small cells have several passes: load on the machine often lasts for seconds and changes which kernel is fastest.
    # Their arrays are placed anew between blocks, and blocks are compared instead of rounds: placement alone can
    # reverse a difference of 3 % (16×65536 float32). In large cells this would take most of the time.
    passes: int = 3
    large_from: int = 2**22  # fewest elements of a large cell

    # A kernel is extrapolated if its probes and first call would take more than this share of a cell's time, unless it
    # may be the fastest.
    admission_share: float = 0.04
    # In a large cell of the grid, all predictions were too long: of five kernels, only the second fastest was timed.
    fastest_share: float = 0.1  # of a cell's time, for one call of a kernel that may be the fastest
    near_fastest: float = 2.0  # a kernel may be the fastest up to this multiple of the shortest prediction
    sampling_share: float = 0.5  # share of a step's time, for samples even if admission took longer than planned

    # Schedule. The budget is divided in proportion to the costs of the cells. A cell of a named workload costs 1, plus
    # `byte_cost` for each byte that it moves.
    grid_cost: float = 0.4  # of a cell of the grid, instead of 1: named workloads are measured more closely
    byte_cost: float = 1e-8  # cost of each byte moved
    setup_cost: float = 4e-8  # seconds per element for making the arrays and verifying the kernels
    min_step: float = 0.1  # shortest extra step of an open cell in seconds, without set-up
    min_share: float = 0.4  # share of its planned time that a cell has even if earlier cells took longer
    timing_share: float = 1 / 3  # share of the budget, for timing even after long checks and compilation
    check_seconds: float = 3.0  # seconds for the checks of all implementations in each dtype, on znver3
    late: float = 1.2  # a run that will take more than this multiple of its budget says so


DEFAULT = SamplingPolicy()
