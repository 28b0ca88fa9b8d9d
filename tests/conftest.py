from collections.abc import Iterator

import pytest

from softmax_impls import contract, tuned


@pytest.fixture(autouse=True, scope="session")
def built_in_rule() -> Iterator[None]:
    """Keep a rule that this machine's user has tuned out of the tests, and of what they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(tuned.VARIABLE, tuned.BUILT_IN)
        yield


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(contract._registry)
    yield
    contract._registry.clear()
    contract._registry.update(before)
