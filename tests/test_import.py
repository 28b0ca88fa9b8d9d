"""Importing the package: it is light, and exposes few names."""

import json
import subprocess
import sys

import softmax_impls

EXTRAS = {
    "click",
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
    return set(json.loads(found.stdout))


def test_importing_the_package_loads_neither_numba_nor_an_extra() -> None:
    assert modules_after("import softmax_impls") & EXTRAS == set()


def test_calling_a_numpy_implementation_does_not_load_numba() -> None:
    code = "import softmax_impls; softmax_impls.softmax_backward([0.5, 0.5], [1, 0], impl='pivoted')"
    assert modules_after(code) & EXTRAS == set()


def test_explain_does_not_load_numba() -> None:
    assert modules_after("import softmax_impls; softmax_impls.explain((4, 4))") & EXTRAS == set()


def test_there_are_at_most_eight_public_names_and_all_exist() -> None:
    assert len(softmax_impls.__all__) <= 8
    assert all(hasattr(softmax_impls, name) for name in softmax_impls.__all__)
