"""Decisions in a cell: which kernels are admitted and eliminated, and whether the cell is settled."""

from collections.abc import Collection, Mapping, Sequence

from softmax_impls.timing.kernel import CellArrays, Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.statistics import Decision, decide, quiet_ratio

Reference = tuple[Participant, list[float]]  # the A/A control: a kernel, and its second samples


class Rounds:
    """The rounds of a cell so far: how many each block has, and in which of them another program was busy."""

    def __init__(self) -> None:
        self.blocks: list[int] = []
        self.disturbed: list[int] = []
        self._was_quiet = True  # at the end of the last round

    @property
    def total(self) -> int:
        """All rounds."""
        return sum(self.blocks)

    @property
    def quiet(self) -> int:
        """Rounds that were not disturbed."""
        return self.total - len(self.disturbed)

    def add(self, is_quiet: bool) -> None:
        """Add a round to the last block. It was disturbed unless the processor was quiet before and after it."""
        if not (self._was_quiet and is_quiet):
            self.disturbed.append(self.total)
        self._was_quiet = is_quiet
        self.blocks[-1] += 1

    def clear(self) -> None:
        """Forget all rounds."""
        self.blocks.clear()
        self.disturbed.clear()


def admit(
    kernels: Sequence[Participant], arrays: CellArrays, seconds: float, memory: int, policy: SamplingPolicy
) -> None:
    """Stop kernels that need more than `memory` bytes, or too large a share of `seconds`.

    A kernel that may be the fastest is allowed a larger share.
    """
    for kernel in kernels:
        kernel.admit(arrays, policy.admission_share * seconds, memory)
    predicted = [kernel for kernel in kernels if kernel.status == "timed"]
    near = policy.near_fastest * min((kernel.prediction.at_least for kernel in predicted), default=0.0)
    for kernel in predicted:
        may_be_fastest = kernel.prediction.at_least <= min(near, policy.fastest_share * seconds)
        if not (kernel.prediction.fits or may_be_fastest):
            kernel.stop("extrapolated", "one call would take too much of the budget")


def too_slow(kernels: Sequence[Participant], seconds: float, policy: SamplingPolicy) -> list[Participant]:
    """Return the kernels that are too slow to take part in the rounds of a step of `seconds`.

    A single call may have been disturbed, so the prediction has to agree.
    """
    times = [min(kernel.seconds, kernel.prediction.seconds) for kernel in kernels]
    fastest = min((kernel.seconds for kernel in kernels), default=0.0)
    longest = max(policy.too_slow * fastest, policy.too_long * seconds)
    return [kernel for kernel, least in zip(kernels, times, strict=True) if least > longest]


def impossible(kernel: Participant, roofline: Participant, policy: SamplingPolicy) -> str:
    """Return a reason if a kernel is clearly faster than moving its bytes, so that it must skip work; else ""."""
    if not (roofline.samples and kernel.samples):
        return ""
    ratio = quiet_ratio(roofline.samples, kernel.samples)
    return (
        f"takes {1 / ratio.value:.2f} of the time that moving its bytes takes" if ratio.low > policy.impossible else ""
    )


def decisions(
    kernels: Mapping[str, Participant],
    control: Reference | None,
    rounds: Rounds,
    policy: SamplingPolicy,
    *,
    with_blocks: bool,
    min_rounds: int,
    last: bool,
) -> list[Decision]:
    """Decide among the kernels that stay accurate on saturated rows, and then among all kernels.

    The second decision eliminates only kernels that are not accurate. If `with_blocks`, blocks of samples are compared,
    else rounds. With fewer rounds than `min_rounds`, the cell is not settled. `last` is true in the last step of the
    cell.
    """
    early = policy.too_slow if with_blocks else policy.early_ratio
    sampled = {name: kernel for name, kernel in kernels.items() if kernel.samples}
    accurate = {name for name, kernel in sampled.items() if kernel.implementation.accurate_for == "logits"}

    def decide_among(names: Collection[str]) -> Decision:
        return decide(
            {name: kernel.samples for name, kernel in sampled.items() if name in names},
            control and (control[0].name, control[1]),
            [name for name in names if kernels[name].status != "timed"],
            rounds.blocks if with_blocks else (),
            rounds.disturbed,
            early=early if rounds.total < min_rounds else None,
            last=last,
            policy=policy,
        )

    found = [decide_among(accurate)] if accurate else []
    if sampled.keys() - accurate:
        among_all = decide_among(sampled.keys())
        found.append(among_all._replace(eliminated=among_all.eliminated - accurate))
    return found
