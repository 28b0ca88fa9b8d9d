"""Importing the package: it is light, and exposes few names."""

import json
import subprocess
import sys

import pytest

import softmax_impls

EXTRAS = {
    "click",
    "dask",
    "distributed",
    "jax",
    "jinja2",
    "matplotlib",
    "mpmath",
    "msgspec",
    "numba",
    "numexpr",
    "pandas",
    "psutil",
    "rich",
    "scipy",
    "sklearn",
    "threadpoolctl",
    "torch",
}


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport json, sys; print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_importing_the_package_loads_neither_numba_nor_an_extra() -> None:
    assert modules_after("import softmax_impls") & EXTRAS == set()


def test_calling_a_numpy_implementation_does_not_load_numba() -> None:
    code = "import softmax_impls; softmax_impls.softmax_backward([0.5, 0.5], [1, 0], impl='pivoted')"
    assert modules_after(code) & EXTRAS == set()


def test_explain_does_not_load_numba() -> None:
    assert modules_after("import softmax_impls; softmax_impls.explain((4, 4))") & EXTRAS == set()


@pytest.mark.parametrize("command", ["", "compare", "choose", "report", "history", "check", "list"])
def test_help_loads_nothing_but_click(command: str) -> None:
    code = f"import softmax_impls.cli; softmax_impls.cli.run('{command} --help'.split())"
    assert modules_after(code) & EXTRAS == {"click"}


@pytest.mark.parametrize(
    "line", ["compare --bach 3", "compare --batch 3", "compare --impl fastest", "choose --batch 3", "report nowhere"]
)
def test_error_of_usage_loads_nothing_but_click(line: str) -> None:
    code = f"import softmax_impls.cli; assert softmax_impls.cli.run('{line}'.split()) == 2"
    assert modules_after(code) & EXTRAS == {"click"}


def test_comparison_loads_pandas_and_matplotlib_only_where_they_are_used() -> None:
    assert modules_after("import softmax_impls; softmax_impls.compare") & {"matplotlib", "pandas"} == set()


def test_there_are_at_most_eight_public_names_and_all_exist() -> None:
    assert len(softmax_impls.__all__) <= 8
    assert all(hasattr(softmax_impls, name) for name in softmax_impls.__all__)


def test_commands_are_attributes_that_are_imported_when_they_are_used() -> None:
    assert set(softmax_impls.COMMANDS) == {"check", "choose", "compare", "history", "write_report"}
    for name in softmax_impls.COMMANDS:
        assert callable(getattr(softmax_impls, name))
        assert name in dir(softmax_impls)
    with pytest.raises(AttributeError, match="module 'softmax_impls' has no attribute 'compere'"):
        softmax_impls.compere  # noqa: B018
