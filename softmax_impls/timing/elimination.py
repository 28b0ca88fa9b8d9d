"""Decisions in a cell: which kernels are eliminated, and whether the cell is settled."""

from collections.abc import Collection, Mapping, Sequence

from softmax_impls.timing.kernel import Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.statistics import Decision, decide


class Rounds:
    """The rounds of a cell so far: how many each block has, and which rounds another program disturbed.

    If `with_blocks` is true, kernels are compared block by block. If it is false, they are compared round by round or,
    if there are many rounds, by pairs of rounds.
    """

    def __init__(self, policy: SamplingPolicy, with_blocks: bool) -> None:
        self.blocks: list[int] = []
        self.disturbed: list[int] = []
        self.control: tuple[Participant, list[float]] | None = None  # A/A: the kernel, and its second samples
        self.enough = policy.block_rounds * policy.min_blocks if with_blocks else policy.min_rounds
        self.settled = False  # there are enough rounds, and more would not change the last decisions
        self._policy, self._with_blocks = policy, with_blocks
        self._was_quiet = True  # at the end of the last round

    @property
    def total(self) -> int:
        """Number of all rounds."""
        return sum(self.blocks)

    @property
    def quiet(self) -> int:
        """Number of rounds that were not disturbed."""
        return self.total - len(self.disturbed)

    def add(self, is_quiet: bool) -> None:
        """Add a round to the last block; `is_quiet` states whether the processor was quiet after the round.

        The round counts as disturbed if the processor was not quiet before it or after it.
        """
        if not (self._was_quiet and is_quiet):
            self.disturbed.append(self.total)
        self._was_quiet = is_quiet
        self.blocks[-1] += 1

    def decide(self, kernels: Mapping[str, Participant], last: bool) -> list[Decision]:
        """Decide among the kernels with ``accurate_for="logits"``, and then among all kernels.

        The second decision eliminates only kernels with ``accurate_for="probs"``. `last` is true in the last step of
        the cell.
        """
        early = self._policy.too_slow if self._with_blocks else self._policy.early_ratio
        sampled = {name: kernel for name, kernel in kernels.items() if kernel.samples}
        accurate = {name for name, kernel in sampled.items() if kernel.implementation.accurate_for == "logits"}

        def decide_among(names: Collection[str]) -> Decision:
            return decide(
                {name: kernel.samples for name, kernel in sampled.items() if name in names},
                self.control and (self.control[0].name, self.control[1]),
                [name for name in names if kernels[name].status != "timed"],
                self.blocks if self._with_blocks else (),
                self.disturbed,
                early=early if self.total < self.enough else None,
                last=last,
                policy=self._policy,
            )

        found = [decide_among(accurate)] if accurate else []
        if sampled.keys() - accurate:
            among_all = decide_among(sampled.keys())
            found.append(among_all._replace(eliminated=among_all.eliminated - accurate))
        self.settled = self.quiet >= self.enough and all(decision.settled for decision in found)
        return found


def too_slow(kernels: Sequence[Participant], seconds: float, policy: SamplingPolicy) -> list[Participant]:
    """Return the kernels that are too slow to take part in the rounds of a step of `seconds`.

    A single call may have been disturbed, so both the measured and the predicted time must be too long.
    """
    fastest = min((kernel.seconds for kernel in kernels), default=0.0)
    longest = max(policy.too_slow * fastest, policy.too_long * seconds)
    return [kernel for kernel in kernels if min(kernel.seconds, kernel.prediction.seconds) > longest]
