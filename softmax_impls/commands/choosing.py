"""Choose an implementation for a shape."""

import math
import warnings
from collections.abc import Iterable
from pathlib import Path

from numpy.typing import DTypeLike

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.asking import ask_by_measuring, ask_results
from softmax_impls.commands import FOLDER
from softmax_impls.commands.arguments import dtype_name, integer, real, several
from softmax_impls.commands.kernels import Kernels, select_kernels
from softmax_impls.report.notebook import existing
from softmax_impls.report.terminal.console import kernels_to_stderr
from softmax_impls.report.terminal.progress import progress_line
from softmax_impls.results.runs import load
from softmax_impls.threads import available_cores, default_threads
from softmax_impls.timing.workloads import cell_keys


def choose(
    batch: int,
    dim: int,
    dtype: DTypeLike = "float64",
    *,
    threads: int | None = None,
    kernels: Kernels | None = None,
    peers: bool = False,
    max_memory: float = math.inf,
    max_error: float = math.inf,
    any_accuracy: bool = False,
    results: str | Path | Iterable[str | Path] | None = None,
    progress: bool = True,
) -> Answer:
    """Choose an implementation for a shape, as ``softmax-impls choose`` does.

    By default, the shape is measured, which takes a few seconds. The results are kept in the folder
    ``softmax-impls-report``.

    Parameters
    ----------
    batch, dim : int
        The shape of `probs`.
    dtype : dtype, optional
        float64 (the default) or float32.
    threads : int, optional
        The number of threads. By default, as many as `softmax_backward` uses by default.
    kernels : iterable or dict, optional
        The implementations to choose from, as in `compare`. By default all of them.
    peers : bool, optional
        Add the other libraries that are installed.
    max_memory : float, optional
        The largest temporary memory that a call may need, in bytes.
    max_error : float, optional
        The largest error that a row may have, relative to the largest gradient in the row with respect to the logits.
    any_accuracy : bool, optional
        Allow implementations that are inaccurate on saturated rows.
    results : path or iterable of paths, optional
        Do not measure: answer from results of `compare`, asv or pytest-benchmark, or from folders of them.
    progress : bool, optional
        Say what is measured, at a terminal and in a notebook.

    Returns
    -------
    Answer
        Its attributes are `usage` (the code to paste), `pick` (the implementation to use, with its time and error),
        `sure`, `winners` and `candidates`.

    Raises
    ------
    ValueError
        If the value of an argument is not possible, or if the shape cannot be measured.
    TypeError
        If an argument has another type than stated.
    FileNotFoundError
        If a path in `results` does not exist.

    Examples
    --------
    >>> from softmax_impls import choose
    >>> print(choose(64, 1000, "float32").usage)  # doctest: +SKIP
    """
    usable, _ = select_kernels(kernels, peers)
    cores = available_cores()
    count = min(default_threads(), cores) if threads is None else integer("threads", threads)
    if not 1 <= count <= cores:
        raise ValueError(f"threads must be from 1 to {cores}, the number of processors; got {threads}")
    sizes = integer("batch", batch), integer("dim", dim)
    (key,) = cell_keys([], [sizes], [dtype_name("dtype", dtype)], [count])  # raises if such arrays are not possible
    limits = real("max_memory", max_memory, "a number of bytes"), real("max_error", max_error, "a number")
    only = () if kernels is None else tuple(usable)
    question = Question(*sizes, key.dtype, count, *limits, any_accuracy, only)
    if results is not None:
        loaded = load(existing(several("results", results, (str, Path))))
        return ask_results([question], usable, loaded, warnings.warn, any_threads=threads is None)[0]
    with progress_line(progress, f"measuring {key.shape_text} {key.dtype}"), kernels_to_stderr():
        return ask_by_measuring([question], usable, FOLDER, warnings.warn)[0]
