from collections.abc import Iterator

import pytest

from softmax_impls import contract


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(contract._registry)
    yield
    contract._registry.clear()
    contract._registry.update(before)
