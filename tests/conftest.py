from collections.abc import Iterator

import pytest

from softmax_impls import registry as registry_module


@pytest.fixture
def registry() -> Iterator[None]:
    """Remove what a test registers."""
    before = dict(registry_module._registered)
    yield
    registry_module._registered.clear()
    registry_module._registered.update(before)
