"""The softmax backward pass in many implementations, which are checked against each other, timed and compared.

>>> from softmax_impls import softmax, softmax_backward
>>> probs = softmax([[1.0, 2.0, 3.0]])
>>> softmax_backward(probs, [[1.0, 0.0, 0.0]]).round(3)
array([[ 0.082, -0.022, -0.06 ]])

`compare`, `choose`, `check` and `history` do what the commands of the same names do. `write_report` does what the
command ``report`` does. They are imported when they are used, and need ``pip install 'softmax-impls[compare]'``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from softmax_impls.api import softmax, softmax_backward
from softmax_impls.checks.numeric import numeric_gradient
from softmax_impls.dispatch import explain
from softmax_impls.registry import implementations, register
from softmax_impls.source import Softmax

if TYPE_CHECKING:
    from softmax_impls.commands.choosing import choose as choose
    from softmax_impls.commands.comparison import compare as compare
    from softmax_impls.commands.history import history as history
    from softmax_impls.commands.kernels import check as check
    from softmax_impls.commands.report import write_report as write_report

__version__ = "0.1.0"

__all__ = ["Softmax", "explain", "implementations", "numeric_gradient", "register", "softmax", "softmax_backward"]
COMMANDS = {  # function: the module in commands/ that defines it
    "check": "kernels",
    "choose": "choosing",
    "compare": "comparison",
    "history": "history",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name in COMMANDS:
        return getattr(importlib.import_module(f"softmax_impls.commands.{COMMANDS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *COMMANDS])
