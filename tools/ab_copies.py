"""Compare three copies of one kernel as `softmax-impls compare` does, to see which differences it finds.

*original* and *copy* are equal. *slower* waits after each call for 5 % of the time of the call; the real delay is
measured. All three read the clock equally often. They take the place of the two fastest implementations, in the cells
and the time of `softmax-impls compare`.

``python tools/ab_copies.py numba_simd`` prints the outcome of each cell as JSON, for tools/verdicts.py.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import click
import msgspec
from msgspec import Struct

from softmax_impls.choice.ranking import Ranked, rank
from softmax_impls.implementation import Array, BoundCall, Implementation
from softmax_impls.registry import implementations
from softmax_impls.timing import environment
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.statistics import compare_samples, quiet_ratio
from softmax_impls.timing.workloads import DTYPES, CellKey, cell_keys

BUDGET = 60.0  # seconds, the default of `compare`
COPIED = ("numba_simd", "numba_rows")  # the fastest implementations nearly everywhere
ORIGINAL, COPY, SLOWER = "original", "copy", "slower"
DELAY = 0.05  # of each call's own time
TICK = min(timeit.repeat(time.perf_counter, number=10_000)) / 10_000  # seconds that reading the clock takes


class Pair(Struct, frozen=True):
    """The comparison of two copies: the name of the faster copy, and whether the two tie.

    `interval` is the time of the slower copy over the time of the faster copy: the ratio, and the ends of its interval.
    """

    best: str
    interval: tuple[float, float, float]
    margin: float
    tie: bool


class Outcome(Struct, frozen=True):
    """The outcome of a cell: the comparisons of *original* with *copy* and with *slower*.

    `seconds` is the time of a call of *original*. `delay` is the measured delay of *slower*, as a share of the time of
    its calls; the same share of *original* is subtracted.
    """

    cell: str
    seconds: float
    rounds: int
    delay: float
    noise: float | None
    copy: Pair
    slower: Pair


@dataclass
class Delayed:
    """A kernel that waits after each call for a share of the time of the call.

    Attributes
    ----------
    kernel : callable
    delay : float
        The wait as a share of the time of the call; 0 for no wait.
    spent : dict
        For each shape and dtype, the seconds of all calls, and the seconds after them.
    """

    kernel: Callable[[Array, Array, Array], None]
    delay: float
    spent: dict[tuple[int, int, str], list[float]] = field(default_factory=dict)

    def bind(self, probs: Array, grad_output: Array, out: Array) -> BoundCall:
        """Return a call on these arrays."""
        kernel, delay, now = self.kernel, self.delay, time.perf_counter
        early = TICK / 2 if delay else 0.0  # the last reading of the clock is late by half its own time
        spent = self.spent.setdefault((*probs.shape, probs.dtype.name), [0.0, 0.0])

        def call() -> None:
            begin = now()
            kernel(probs, grad_output, out)
            end = now()
            until = end + delay * (end - begin) + early
            while (last := now()) < until:
                pass
            spent[0] += end - begin
            spent[1] += last - end

        return call, lambda _: out

    def measured_delay(self, key: CellKey) -> float:
        """Return the time that the kernel waited after its calls in a cell, as a share of the time of these calls."""
        inside, after = self.spent[key.batch, key.dim, key.dtype]
        return after / inside


def outcomes(name: str, budget: float = BUDGET) -> Iterator[Outcome]:
    """Yield the outcome of each cell in which the copies of an implementation were compared."""
    usable = implementations()
    copies = {key: Delayed(usable[name].kernel, DELAY * (key == SLOWER)) for key in (ORIGINAL, COPY, SLOWER)}
    taking_part: dict[str, Implementation] = {
        key: replace(usable[name], name=key, bind=copy.bind) for key, copy in copies.items()
    }
    taking_part |= {key: other for key, other in usable.items() if key not in COPIED}
    session = Session(taking_part, budget, environment.largest_temporaries())
    session.prepare(DTYPES)
    last = {}
    for result in session.run(cell_keys([], [], DTYPES, [1])):
        if isinstance(result, Skipped):
            click.echo(f"{result.key} not measured: {result.why}", err=True)
        else:
            last[result.key] = result
    for key, cell in last.items():
        ranked = rank(cell)
        original = ranked.kernels[ORIGINAL]
        if original.seconds is not None and all(ranked.kernels[copy].samples for copy in copies):
            delay = copies[SLOWER].measured_delay(key) - copies[ORIGINAL].measured_delay(key)
            pairs = compare_pair(ranked, COPY), compare_pair(ranked, SLOWER)
            yield Outcome(str(key), original.seconds, len(original.samples), delay, ranked.noise, *pairs)


def compare_pair(ranked: Ranked, other: str) -> Pair:
    """Return the comparison of the original and another copy, without the kernels that are faster than both.

    If a copy is the fastest kernel of the cell, an eliminated copy does not tie. If another kernel is the fastest, the
    elimination of a copy is ignored, and only the samples of the copies decide.
    """
    assert ranked.comparison is not None
    samples = {kernel.name: kernel.samples for kernel in ranked.every_round.kernels if kernel.ranked}
    pair = {name: samples.pop(name) for name in (ORIGINAL, other)}
    best = pair[compare_samples(pair).best]
    slower = {
        name: taken[: len(best)]
        for name, taken in samples.items()
        if name not in (COPY, SLOWER) and quiet_ratio(taken, best).value > 1
    }
    eliminated = {name for name in (*pair, *slower) if ranked.kernels[name].status == "eliminated"}
    if ranked.comparison.best not in (ORIGINAL, COPY, SLOWER):
        eliminated -= pair.keys()
    margin, rounds = ranked.comparison.margin, (ranked.every_round.blocks, ranked.every_round.disturbed)
    comparison = compare_samples({**pair, **slower}, margin, eliminated, *rounds)
    if comparison.best not in pair:  # a slower kernel may look fastest in few rounds
        comparison = compare_samples(pair, margin, eliminated, *rounds)
    (second,) = pair.keys() - {comparison.best}
    ratio = comparison.ratios[second]
    interval = [float(f"{end:.5g}") for end in (ratio.value, ratio.low, ratio.high)]
    return Pair(comparison.best, (interval[0], interval[1], interval[2]), comparison.margin, second in comparison.ties)


@click.command()
@click.argument("name", type=click.Choice(COPIED))
@click.option("--budget", default=BUDGET, show_default=True, help="Seconds for all cells.")
def main(name: str, budget: float) -> None:
    """Print the outcome of comparing copies of an implementation, as JSON."""
    click.echo(msgspec.json.encode(list(outcomes(name, budget))))


if __name__ == "__main__":
    main()
