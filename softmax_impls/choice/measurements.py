"""The measured cells that an answer can be based on, and models that predict times at other shapes."""

import math
import statistics
from collections.abc import Collection
from functools import cached_property

import numpy as np

from softmax_impls.choice.answer import Source
from softmax_impls.choice.model import ENOUGH, MIN_SHAPES, UNKNOWN, CostModel, Shape, Vector, likely_factor
from softmax_impls.choice.ranking import Ranked, RankedRun, is_from
from softmax_impls.results.runs import OLDEST
from softmax_impls.timing.records import KernelResult

FASTEST = 3  # number of fastest samples, whose mean is the time of a cell on a quiet machine


class Measurements:
    """The ranked cells of a run with one dtype and number of threads, and predictions from them.

    Cells whose classes are not on the last axis do not count. If several workloads have the same shape, the newest cell
    counts.
    """

    def __init__(self, run: RankedRun, dtype: str, threads: int) -> None:
        self.run, self.dtype, self.threads = run.run, dtype, threads
        self.cells: dict[Shape, Ranked] = {}
        self.kernels: dict[str, dict[Shape, KernelResult]] = {}  # the verified results of each kernel
        self.errors: dict[str, float] = {}  # the worst error of each kernel over all shapes; NaN if unknown
        for cell in sorted(run.cells, key=lambda cell: cell.cell.time or OLDEST):
            if cell.comparison and (cell.key.dtype, cell.key.threads, cell.key.axis) == (dtype, threads, -1):
                self.cells[cell.key.batch, cell.key.dim] = cell
        for shape, cell in self.cells.items():
            for name, kernel in cell.kernels.items():
                if kernel.ranked:
                    self.kernels.setdefault(name, {})[shape] = kernel
                    self.errors[name] = float(np.fmax(kernel.error, self.errors.get(name, math.nan)))
        self._factors: dict[tuple[str, str], float] = {}

    @cached_property
    def models(self) -> dict[str, CostModel]:
        """For each kernel that was measured at `MIN_SHAPES` shapes or more: a model that predicts its time.

        The models are not fitted to the measured medians, because a machine can be slow during the whole measurement of
        a cell. They are fitted to corrected times. The corrected time of the fastest kernel of a cell is the mean of
        its fastest samples, multiplied by the usual ratio of a median to this mean. This ratio is fitted to all cells,
        as a constant times a power of B · D, because other processes slow down large cells more. The corrected time of
        another kernel is that of the fastest kernel, multiplied by the measured ratio of the two kernels in this cell.
        """
        itemsize, fastest = np.dtype(self.dtype).itemsize, np.array([_fastest(cell) for cell in self.cells.values()])
        powers = np.array([(1, math.log(batch * dim)) for batch, dim in self.cells])
        slower = np.log([cell.seconds for cell in self.cells.values()] / fastest)
        usual = np.exp(np.maximum(0, powers @ np.linalg.lstsq(powers, slower)[0]))
        times = dict(zip(self.cells, fastest * usual, strict=True))
        models = {}
        for name, known in self.kernels.items():
            if len(known) >= MIN_SHAPES:
                ratios = {shape: self.cells[shape].times_best(name) for shape in known}
                models[name] = CostModel({shape: ratio * times[shape] for shape, ratio in ratios.items()}, itemsize)
        return models

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """For each kernel: the range of most times, as multiples of the predicted time; 90 % of the times are in it.

        A time differs from its prediction because the prediction has an error, and because the machine is not always
        equally fast. So the samples at each shape are divided by the time that the other shapes predict for it. The
        range is computed from these ratios.
        """
        ranges = {}
        for name, model in self.models.items():
            ratios = [self._tenths(name, shape) / seconds for shape, seconds in model.from_others.items()]
            # The lower end is at 2.5 %, not at 5 %: many samples are slow, but few shapes show by how much a prediction
            # can exceed the time.
            low, high = np.percentile(ratios, (2.5, 95)).tolist()
            least = UNKNOWN if len(model.errors) < ENOUGH else 1.0
            ranges[name] = min(low, 1 / least), max(high, least)
        return ranges

    def _tenths(self, name: str, shape: Shape) -> Vector:
        """Return the percentiles 5, 15, …, 95 of the samples of the kernel `name` at a shape, in seconds.

        These are ten values for any number of samples. So each shape has the same weight in `ranges`.
        """
        return np.percentile(self.cells[shape].every_round.by_name[name].samples, range(5, 100, 10))

    def factor(self, name: str, over: str) -> float:
        """Return the largest likely error of the predicted ratio of `name` to `over`, as a factor."""
        if (name, over) not in self._factors:
            errors, others = self.models[name].errors, self.models[over].errors
            differences = (error - others[shape] for shape, error in errors.items() if shape in others)
            self._factors[name, over] = likely_factor(differences)
        return self._factors[name, over]

    def source(self, here: str, cells: Collection[Ranked] = ()) -> Source:
        """Return where and when `cells` were measured; all cells if `cells` is empty. `here` names this machine."""
        records = [ranked.cell for ranked in cells or self.cells.values()]
        newest = max(records, key=lambda cell: cell.time or OLDEST)
        batches, dims = zip(*((cell.batch, cell.dim) for cell in records), strict=True)
        return Source(
            tool=self.run.tool,
            machine=self.run.machine,
            commit=self.run.commit,
            here=is_from(self.run, here),
            files=tuple(sorted({cell.file for cell in records})),
            versions=newest.environment.versions,
            time=newest.time,
            cells=len(records),
            batch=(min(batches), max(batches)),
            dim=(min(dims), max(dims)),
        )


def _fastest(cell: Ranked) -> float:
    """Return the mean of the fastest samples of the fastest kernel, in seconds."""
    assert cell.comparison is not None
    return statistics.fmean(sorted(cell.every_round.by_name[cell.comparison.best].samples)[:FASTEST])
