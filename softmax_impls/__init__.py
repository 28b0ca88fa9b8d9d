"""The softmax backward pass in many implementations, which are checked against each other, timed and compared.

>>> from softmax_impls import softmax, softmax_backward
>>> probs = softmax([[1.0, 2.0, 3.0]])
>>> softmax_backward(probs, [[1.0, 0.0, 0.0]]).round(3)
array([[ 0.082, -0.022, -0.06 ]])
"""

from softmax_impls.api import softmax, softmax_backward
from softmax_impls.checks.numeric import numeric_gradient
from softmax_impls.dispatch import explain
from softmax_impls.registry import implementations, register
from softmax_impls.source import Softmax

__version__ = "0.1.0"

__all__ = ["Softmax", "explain", "implementations", "numeric_gradient", "register", "softmax", "softmax_backward"]
