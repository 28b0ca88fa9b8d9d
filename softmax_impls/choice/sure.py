"""When a single winner is sure: it is much faster than all others, and the machine was quiet.

If a call has several threads, the machine must also have run the threads at the same time.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from softmax_impls.simd.sizes import SHARED_FROM
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.timing.records import Cell, KernelResult
from softmax_impls.timing.statistics import Ratio

# Share of the threads that have to run at the same time. Two threads on one core do the work of 1.4 threads, and two
# threads that take turns the work of 1 thread.
SIDE_BY_SIDE = 0.6
# Up to these relative differences, a verdict is not sure, because another run may reverse it. The second number is for
# fewer than `SURE_ROUNDS` rounds. In ten runs of `compare`, half of them beside a load, the ratios 1.06 from 173 rounds
# and 1.26 from 7 rounds were reversed.
SURE_LEAD, LEAD_OF_FEW = 0.08, 0.3
SURE_ROUNDS = DEFAULT.min_rounds


def sure_lead(rounds: int) -> float:
    """Return the relative difference up to which a verdict from that many rounds is not sure."""
    return SURE_LEAD if rounds >= SURE_ROUNDS else LEAD_OF_FEW


def is_well_ahead(every_round: Cell, quiet: Mapping[str, KernelResult], best: str, name: str, ratio: Ratio) -> bool:
    """Whether three ratios of the time of `name` to the time of `best` are all larger than 1 + `sure_lead`.

    They are `ratio`, and the ratios of the medians over all rounds (`every_round`) and over quiet rounds (`quiet`).
    While other programs run, one kernel may be faster in the quieter rounds, and another kernel in the usual round.
    """
    usual = []
    for kernels in (every_round.by_name, quiet):
        pairs = list(zip(kernels[name].samples, kernels[best].samples, strict=False))
        usual += [float(np.divide(*np.median(pairs, axis=0)))] if pairs else []
    rounds = len(every_round.by_name[name].samples)
    return min(ratio.value, *usual) > 1 + sure_lead(rounds)


def disturbances(cell: Cell) -> Iterator[str]:
    """Yield the reasons why another kernel may win on a quiet machine: busy rounds, and threads on one processor."""
    if cell.is_busy:
        yield "Other programs used the processor in most rounds of the measurement."
    threads, ran = cell.threads, cell.concurrency
    if threads == 1 or cell.key.moved_bytes < SHARED_FROM:
        return
    if ran is None:
        yield f"It is not known whether this machine ran {threads} threads side by side during the measurement."
    elif ran < SIDE_BY_SIDE * threads:
        yield (
            f"The machine did not run {threads} threads side by side during the measurement ({ran:.1f} of {threads}): "
            "another implementation may be the fastest when it does."
        )
