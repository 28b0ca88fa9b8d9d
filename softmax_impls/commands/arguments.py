"""Read the arguments of the Python calls. An error names the argument, what it must be, and what was passed."""

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from softmax_impls.commands import LARGEST_SEED
from softmax_impls.layout import as_int
from softmax_impls.timing.workloads import DTYPES


def integer(argument: str, value: object) -> int:
    """Return an integer as Python's int; TypeError for other types."""
    return as_int(value, f"{argument} must be an int, got {value!r}")


def real(argument: str, value: object, expected: str) -> float:
    """Return the value of an argument as a float; TypeError if it is not a real number, ValueError if it is NaN.

    `expected` says in the error what the argument must be, for example "a number of bytes".
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} must be {expected}, got {value!r}")
    if math.isnan(value):
        raise ValueError(f"{argument} must be {expected}, got nan")
    return float(value)


def several(argument: str, value: Any, single: type | tuple[type, ...] = ()) -> list[Any]:
    """Return ``[value]`` if the value has the type `single` (or one of them), else ``list(value)``.

    If the value cannot be iterated over, raise TypeError with the name `argument`.
    """
    if isinstance(value, single):
        return [value]
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{argument} must be an iterable, got {value!r}") from None


def dtype_name(argument: str, value: DTypeLike) -> str:
    """Return "float32" or "float64"; ValueError for other dtypes."""
    try:
        name = np.dtype(value).name
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ValueError(f"{argument} must be of {', '.join(DTYPES)}; got {value!r}")
    return name


def seed_from(value: object) -> int:
    """Return a seed as Python's int; ValueError if a results file cannot hold it."""
    seed = integer("seed", value)
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be from 0 to {LARGEST_SEED}, got {seed}")
    return seed
