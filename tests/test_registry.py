"""Registering and finding implementations."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from softmax_impls import backward, implementations, register, softmax_backward
from softmax_impls import registry as finder
from softmax_impls.registry import describe

OURS = sorted(file.stem for file in Path(backward.__file__).parent.glob("[!_]*.py"))
NAMES = [
    "closed_form",
    "closed_form_vecdot",
    "column_loop",
    "einsum_jacobian",
    "numba_pivoted",
    "numba_simd",
    "numba_rows",
    "pivoted",
    "row_jacobian",
]


def kernel(probs, grad_output, out):
    """Zero."""
    out[...] = 0


def test_all_nine_implementations_are_usable():
    usable, unusable = finder.catalogue()
    assert set(NAMES) <= set(usable)
    assert unusable == {}


@pytest.mark.parametrize("name", OURS)
def test_file_function_and_implementation_share_one_name(name):
    one = finder.get(name)
    assert one.name == name == one.kernel.__name__
    assert one.kernel.__module__ == f"softmax_impls.backward.{name}"
    assert one.summary
    assert one.temporaries is not None


def test_a_registered_kernel_is_returned_unchanged_and_found_by_name(registry):
    assert register(kernel) is kernel
    assert implementations()["kernel"].kernel is kernel
    assert implementations()["kernel"].summary == "Zero."
    np.testing.assert_array_equal(softmax_backward([0.5, 0.5], [1, 0], impl="kernel"), [0, 0])


def test_registering_the_same_function_again_replaces_it(registry):
    register(kernel)
    register(summary="better described")(kernel)
    assert implementations()["kernel"].summary == "better described"


@pytest.mark.parametrize("name", ["pivoted", "numba_rows"])
def test_a_taken_name_is_refused_even_if_its_file_was_not_imported_yet(registry, name):
    with pytest.raises(ValueError, match=f"name '{name}' is taken by softmax_impls.backward.{name}.{name}"):
        register(name=name)(kernel)


@pytest.mark.parametrize(
    ("record", "error", "match"),
    [
        ({"family": "gpu"}, ValueError, "family must be one of loop, jacobian, .*; got 'gpu'"),
        ({"accurate_for": "all"}, ValueError, "accurate_for must be one of probs, logits; got 'all'"),
        ({"in_place": ["out"]}, ValueError, "in_place must be one of probs, grad_output; got 'out'"),
        ({"temporaries": 8}, TypeError, "temporaries must be a function of .* got 8"),
        ({"temporaries": lambda rows: 8}, TypeError, "temporaries must be a function of"),
        ({"temporaries": lambda *sizes: None}, TypeError, "temporaries must be a function of"),
        ({"temporaries": lambda *sizes: float("nan")}, TypeError, "temporaries must be a function of"),
        ({"temporaries": lambda *sizes: 1 / 0}, TypeError, "temporaries must be a function of"),
        ({"name": "auto"}, ValueError, "name must be an identifier other than 'auto'"),
        ({"name": "two words"}, ValueError, "name must be an identifier"),
        ({"nmae": "typo"}, TypeError, "nmae"),
    ],
)
def test_register_refuses_bad_options_and_names_them(registry, record, error, match):
    with pytest.raises(error, match=match):
        register(**record)(kernel)
    assert "kernel" not in finder.names()


def test_two_different_closures_cannot_share_a_name(registry):
    def make(value):
        def constant(probs, grad_output, out):
            out[...] = value

        return constant

    register(make(1))
    with pytest.raises(ValueError, match="name 'constant' is taken by"):
        register(make(2))


def test_a_name_may_be_any_python_identifier(registry):
    def σ(probs, grad_output, out):
        out[...] = 0

    assert register(σ).__name__ in implementations()


def test_one_word_may_stand_for_a_tuple_of_words():
    record = describe(kernel, in_place="probs", requires="numba")
    assert (record.in_place, record.requires) == (("probs",), ("numba",))


def test_describe_refuses_what_is_not_callable():
    with pytest.raises(TypeError, match="kernel must be callable, got int"):
        describe(3)


# ---------------------------------------------------------------- from elsewhere


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A user's module in the current folder."""
    (tmp_path / "users_kernels.py").write_text(
        "import softmax_impls\n"
        "def mine(probs, grad_output, out):\n"
        "    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))\n"
        "def closed_form(probs, grad_output, out):\n"
        "    mine(probs, grad_output, out)\n"
        "number = 3\n"
    )
    (tmp_path / "users_other.py").write_text("def mine(probs, grad_output, out):\n    out[...] = 0\n")
    (tmp_path / "users_broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield
    for name in ("users_kernels", "users_other"):
        sys.modules.pop(name, None)


def test_a_spec_is_a_known_name_or_a_function_of_a_module(module):
    assert finder.from_spec("users_kernels:mine").name == "mine"
    assert finder.from_spec("users_kernels:closed_form").name == "users_kernels:closed_form"
    assert finder.from_spec("pivoted").name == "pivoted"


def test_a_function_is_found_where_the_current_folder_was_deleted(module, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert finder.from_spec("users_kernels:mine").name == "mine"


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("nothing", "impl must be one of auto, closed_form.*, or 'package.module:function'; got 'nothing'"),
        ("numba_row", "got 'numba_row'; did you mean 'numba_rows'?"),
        ("users_kernels:nothing", "impl 'users_kernels:nothing' can't be loaded: AttributeError"),
        ("no_such_module:f", "can't be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("users_broken:f", r"No module named 'no_such_module_at_all' \(users_broken.py:1\)$"),
        ("users_kernels:number", "must name a function, not an object of type int"),
        ("users_kernels.mine", r"got 'users_kernels.mine'; did you mean 'users_kernels:mine'\?$"),
        ("users_kernels.py:mine", r"No module named .*; did you mean 'users_kernels:mine'\?$"),
        ("folder/mine.py:f", r"No module named .*; did you mean 'mine:f' in the folder folder\?$"),
        ("folder/mine.py", r"got 'folder/mine.py'; did you mean 'mine:FUNCTION' in the folder folder\?$"),
        (":f", "can't be loaded: ValueError"),
    ],
)
def test_a_spec_that_cannot_be_loaded_says_why(module, spec, match):
    with pytest.raises(ValueError, match=match):
        finder.from_spec(spec)


def test_names_narrow_the_selection_and_functions_join_it(module):
    assert sorted(finder.from_specs([])[0]) == finder.names()
    assert list(finder.from_specs(["pivoted", "column_loop"])[0]) == ["column_loop", "pivoted"]
    assert sorted(finder.from_specs(["users_kernels:mine"])[0]) == sorted([*finder.names(), "mine"])
    assert list(finder.from_specs(["pivoted", "users_kernels:mine"])[0]) == ["pivoted", "mine"]


def test_two_functions_of_the_same_name_both_take_part(module):
    found = finder.from_specs(["users_kernels:mine", "users_other:mine"])[0]
    assert {"mine", "users_other:mine"} <= set(found)
    assert found["mine"].kernel is not found["users_other:mine"].kernel
    assert found["users_other:mine"].name == "users_other:mine"


def announce(monkeypatch, **values):
    points = EntryPoints(EntryPoint(name, value, finder.ENTRY_POINT_GROUP) for name, value in values.items())
    monkeypatch.setattr(finder, "entry_points", lambda group: points.select(group=group))


def test_an_implementation_of_an_installed_package_is_found(registry, module, monkeypatch):
    monkeypatch.syspath_prepend(".")
    announce(monkeypatch, theirs="users_kernels:mine")
    assert "theirs" in finder.names()
    assert implementations()["theirs"].family == "user"
    np.testing.assert_allclose(softmax_backward([0.5, 0.5], [1, 0], impl="theirs"), [0.25, -0.25])


def test_a_broken_entry_point_is_unavailable_with_a_reason(registry, module, monkeypatch):
    monkeypatch.syspath_prepend(".")
    announce(monkeypatch, broken="users_broken:f", missing="users_kernels:nothing")
    usable, unusable = finder.catalogue()
    assert set(NAMES) <= set(usable)
    assert unusable == {
        "broken": "ModuleNotFoundError: No module named 'no_such_module_at_all' (users_broken.py:1)",
        "missing": "AttributeError: module 'users_kernels' has no attribute 'nothing'",
    }


def test_a_file_that_registers_another_name_is_an_import_error(registry, module, monkeypatch):
    monkeypatch.syspath_prepend(".")
    monkeypatch.setitem(finder._MODULES, "users_kernels", "users_kernels")
    with pytest.raises(ImportError, match="users_kernels registers no implementation named 'users_kernels'"):
        finder.get("users_kernels")
