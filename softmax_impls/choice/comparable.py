"""Which samples of a cell can be held against each other, once some of its implementations are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from softmax_impls.timing.entry import DROPPED
from softmax_impls.timing.session import Row


def comparable(rows: Mapping[str, Row], names: Iterable[str]) -> tuple[dict[str, list[float]], list[str]]:
    """Return samples of some of a cell's implementations as `stand` wants them, and who of them was dropped.

    In `compare`, fewer samples mean having been behind the leader; so they do only while the leader is among these.
    Elsewhere they mean nothing. Where they don't, all are held to what the one with the fewest has.
    """
    samples = {name: rows[name]["samples"] for name in names}
    rounds = [len(row["samples"]) for row in rows.values()]
    in_all = [name for name, row in rows.items() if len(row["samples"]) == max(rounds)]
    compared = all(row.get("tool") == "compare" for row in rows.values())
    leader = min(in_all, key=lambda name: float(np.median(rows[name]["samples"])))
    if compared and leader in samples:
        return samples, [name for name in samples if rows[name]["status"] == DROPPED]
    if not compared or not any(name in samples for name in in_all):
        fewest = min(map(len, samples.values()))
        samples = {name: taken[:fewest] for name, taken in samples.items()}
    return samples, []


def visits_of(rows: Iterable[Row]) -> Sequence[int]:
    """Return how many rounds each visit to a cell had; nothing if what its rows say of that does not cover them."""
    rows = list(rows)
    visits: Sequence[int] = max((row.get("visits", ()) for row in rows), key=sum, default=())
    return visits if sum(visits) == max((len(row["samples"]) for row in rows), default=0) else ()
