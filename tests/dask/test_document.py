"""The example of docs/beyond-one-machine.md, on smaller arrays."""

import re
from pathlib import Path

import dask
import numpy as np

DOCUMENT = Path(__file__).parents[2] / "docs" / "beyond-one-machine.md"
SMALLER = {"4096": "8", "1024": "4", "32768": "64", "8192": "16"}


def test_the_gradient_of_the_loss_is_p_minus_1_at_the_label():
    code = re.search(r"<!-- example: arrays -->\n```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)[1]
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    names = {}
    exec(code, names)
    arrays = (names[name] for name in ("gradient", "probs", "is_label"))
    gradient, probs, is_label = dask.compute(*arrays, scheduler="synchronous")
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, probs - is_label, rtol=1e-4, atol=1e-7)
