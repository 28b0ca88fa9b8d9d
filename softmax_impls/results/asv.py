"""The files in which asv keeps its results: one for each machine, commit and environment."""

from __future__ import annotations

import datetime
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from softmax_impls.results.reading import Problems, ResultsError
from softmax_impls.timing.records import Name

FORMAT = 2  # version of the file format

Text = Annotated[str, Meta(max_length=200)]
Milliseconds = Annotated[float, Meta(ge=0, le=7e12)]  # since 1970


class AsvFile(msgspec.Struct):
    """The parts of a file that are used. Entries of `results` are decoded one by one, see `combinations`."""

    commit_hash: Name
    result_columns: list[str]
    results: dict[str, Any]
    env_name: Name = "?"
    date: Milliseconds | None = None  # of the commit
    python: Text = ""
    requirements: dict[Text, Text] = msgspec.field(default_factory=dict)
    env_vars: dict[Text, Text] = msgspec.field(default_factory=dict)

    @property
    def time(self) -> datetime.datetime | None:
        """Time of the commit, in UTC."""
        return utc(self.date)


class _Benchmark(msgspec.Struct):
    """The columns of one benchmark, each with a value for every combination of parameters."""

    result: list[Any] | None
    params: list[list[str]]
    version: Text = ""
    started_at: Milliseconds | None = None
    stats_ci_99_a: list[Any] | None = None
    stats_ci_99_b: list[Any] | None = None
    samples: list[Any] | None = None


@dataclass(frozen=True)
class Combination:
    """The result of a benchmark for one combination of parameters. The values are not checked yet.

    Attributes
    ----------
    benchmark : str
        "backward.Grid.time_kernel".
    version : str
        Of the benchmark.
    started_at : float or None
        Milliseconds since 1970.
    params : tuple of str
        Without the quotes that asv writes around text.
    value, low, high, samples
        The value, the ends of its 99 % interval, and the samples. None where asv states none.
    """

    benchmark: str
    version: str
    started_at: float | None
    params: tuple[str, ...]
    value: Any
    low: Any
    high: Any
    samples: Any

    def __str__(self) -> str:
        return f"{self.benchmark}({', '.join(self.params)})"


def utc(milliseconds: float | None) -> datetime.datetime | None:
    """Return a time from milliseconds since 1970."""
    return None if milliseconds is None else datetime.datetime.fromtimestamp(milliseconds / 1e3, datetime.UTC)


def decode(data: bytes) -> AsvFile:
    """Decode a file. asv writes NaN, which `json` accepts and msgspec does not.

    Raises
    ------
    ResultsError
        If the file has another format version. Errors of `json` and msgspec pass through.
    """
    content = json.loads(data)
    if isinstance(content, dict) and content.get("version") != FORMAT:
        raise ResultsError(f"results of asv in format {content.get('version')!r}; format {FORMAT} is supported")
    return msgspec.convert(content, AsvFile)


def combinations(file: AsvFile, name: str, problems: Problems) -> Iterator[Combination]:
    """Yield the combinations of a benchmark that have a result. A failed combination adds a problem."""
    if name not in file.results:
        return
    with problems.at(name):
        benchmark = _benchmark(file, name)
        if benchmark is None or benchmark.result is None:
            problems.add(name, "failed in asv")
            return
        count = math.prod(map(len, benchmark.params))  # a short file can ask for any number of combinations
        columns = [
            [None] * len(benchmark.result) if column is None else column
            for column in (benchmark.result, benchmark.stats_ci_99_a, benchmark.stats_ci_99_b, benchmark.samples)
        ]
        if any(len(column) != count for column in columns):
            raise ResultsError(f"{len(benchmark.result)} results for {count} combinations of parameters")
        about = (name, benchmark.version, benchmark.started_at)
        for params, value, *rest in zip(itertools.product(*benchmark.params), *columns, strict=True):
            combination = Combination(*about, tuple(text.strip("'") for text in params), value, *rest)
            if value is None:
                problems.add(str(combination), "failed in asv")
            elif value == value:  # asv states NaN for a combination that it skipped
                yield combination


def _benchmark(file: AsvFile, name: str) -> _Benchmark | None:
    entry = file.results[name]
    if entry is None:
        return None
    if not isinstance(entry, list):
        raise ResultsError("expected a list of columns")
    return msgspec.convert(dict(zip(file.result_columns, entry, strict=False)), _Benchmark)
