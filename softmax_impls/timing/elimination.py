"""Decide from samples which kernels are eliminated, and whether a cell is settled. Nothing here measures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from softmax_impls.timing.policy import DEFAULT, SamplingPolicy
from softmax_impls.timing.statistics import Samples, compare_samples, margin_from, quiet_ratio


@dataclass(frozen=True)
class Decision:
    """The kernels that are eliminated, and whether the cell is settled: more rounds would change nothing."""

    eliminated: frozenset[str]
    settled: bool


def decide(
    samples: Mapping[str, Samples],
    control: tuple[str, Samples] | None = None,
    eliminated: Collection[str] = (),
    blocks: Sequence[int] = (),
    *,
    early: bool = False,
    last: bool = True,
    policy: SamplingPolicy = DEFAULT,
) -> Decision:
    """Eliminate the kernels that are clearly slower than the fastest.

    There is one criterion: the lower end of the confidence interval of a kernel's time over the fastest kernel's. It
    has to be beyond `early_ratio` while there are few samples, beyond `later_ratio` while the cell has steps to come,
    and beyond twice the margin in the last step.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Seconds for each kernel that was verified, one sample for each round.
    control : tuple of str and sequence of float, optional
        The name of the kernel that is the A/A control, and the control's samples.
    eliminated : collection of str, optional
        Kernels that are eliminated already.
    blocks : sequence of int, optional
        Rounds of each block.
    early : bool, optional
        Whether there are too few samples to settle the cell.
    last : bool, optional
        Whether this is the cell's last step.
    policy : SamplingPolicy, optional
    """
    ratio = quiet_ratio(control[1], samples[control[0]], blocks=blocks) if control and control[0] in samples else None
    comparison = compare_samples(samples, margin_from(ratio), eliminated, blocks)
    beyond = policy.early_ratio if early else 1.0 if last else policy.later_ratio
    slower = {name for name in comparison.behind if comparison.ratios[name].low > beyond}
    return Decision(frozenset({*eliminated, *slower}), comparison.settled and not early)


def too_slow_for_rounds(
    seconds: Mapping[str, float], step_seconds: float, policy: SamplingPolicy = DEFAULT
) -> frozenset[str]:
    """Return the kernels that are so slow that a single call says enough.

    Parameters
    ----------
    seconds : mapping of str to float
        Time of one call of each kernel.
    step_seconds : float
        Time of the cell's step.
    policy : SamplingPolicy, optional
    """
    longest = max(policy.too_slow * min(seconds.values(), default=0.0), policy.too_long * step_seconds)
    return frozenset(name for name, call in seconds.items() if call > longest)
