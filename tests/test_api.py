"""softmax and softmax_backward: accepted arguments, refused arguments, and results that do not depend on layout."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from softmax_impls import implementations, softmax, softmax_backward
from softmax_impls.calls import OURS, FastPath
from softmax_impls.dispatch import has_compiler
from softmax_impls.registry import describe, names, register

RNG = np.random.default_rng(0)
P = softmax(RNG.standard_normal((4, 6)))
G = RNG.standard_normal((4, 6))


def by_definition(probs, grad_output, axis=-1):
    """The definition, in longdouble."""
    p, g = (np.asarray(array, dtype=np.longdouble) for array in (probs, grad_output))
    return p * (g - np.sum(p * g, axis=axis, keepdims=True))


# ---------------------------------------------------------------- shapes and axes


@st.composite
def laid_out(draw, dtype):
    """An array of 0 to 4 dimensions in any order of memory, strided, reversed or broadcast."""
    shape = draw(st.lists(st.integers(1, 4), min_size=0, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 2, -1, -2])) for _ in shape]
    base = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(
        [n * abs(s) for n, s in zip(shape, steps, strict=True)]
    )
    array = base.astype(dtype)[tuple(slice(None, None, s) for s in steps)].transpose(order)
    if shape and draw(st.booleans()):
        array = np.broadcast_to(array[:1], array.shape)
    return array


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_result_depends_neither_on_memory_layout_nor_on_the_position_of_the_axis(data):
    dtype = data.draw(st.sampled_from(["f4", "f8", ">f4", ">f8"]))
    x = data.draw(laid_out(dtype))
    axes = st.integers(-max(x.ndim, 1), max(x.ndim, 1) - 1)
    choices = [st.none(), axes]
    if x.ndim:
        choices.append(st.lists(axes, unique_by=lambda a: a % x.ndim, max_size=x.ndim).map(tuple))
    axis = data.draw(st.one_of(choices))
    probs = softmax(x, axis=axis)
    native = x.astype(x.dtype.newbyteorder("="))
    # scipy sums in another order: a few units in the last place
    np.testing.assert_allclose(probs, special.softmax(native, axis=axis), rtol=16 * np.finfo(native.dtype).eps)
    grad = np.cos(7 * native)
    result = softmax_backward(probs, grad, axis=axis, impl="numba_pivoted")
    expected = by_definition(probs, grad, axis if axis is not None and x.ndim else tuple(range(x.ndim)))
    np.testing.assert_allclose(result, expected, atol=8 * np.finfo(native.dtype).eps, rtol=0)
    assert result.dtype == probs.dtype == native.dtype


@pytest.mark.parametrize("axis", [0, -1, None, ()])
def test_a_zero_dimensional_input_gives_a_scalar(axis):
    assert softmax(3.0, axis=axis) == 1.0
    assert isinstance(softmax(3.0, axis=axis), np.float64)
    assert softmax_backward(1.0, 5.0, axis=axis) == 0.0
    out = np.empty(())
    assert softmax_backward(1.0, 5.0, axis=axis, out=out) is out
    assert out == 0


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (0,), (2, 0, 3)])
def test_an_empty_input_gives_an_empty_result(shape):
    empty = np.empty(shape)
    assert softmax(empty).shape == shape
    assert softmax_backward(empty, empty).shape == shape
    assert softmax_backward(empty, empty, axis=None).shape == shape


def test_an_empty_tuple_of_axes_means_rows_of_one_element():
    np.testing.assert_array_equal(softmax(G, axis=()), special.softmax(G, axis=()))
    np.testing.assert_array_equal(softmax_backward(np.ones_like(G), G, axis=()), np.zeros_like(G))


@pytest.mark.parametrize(
    ("axis", "error", "match"),
    [
        (2, ValueError, "axis 2 is out of bounds for array of dimension 2"),
        (-3, ValueError, "axis -3 is out of bounds"),
        ((0, 0), ValueError, "repeated axis"),
        ((0, -2), ValueError, "repeated axis"),
        (1.0, TypeError, "axis must be an int, a tuple of ints or None, got 1.0"),
        ("last", TypeError, "axis must be an int"),
        ([0], TypeError, "axis must be an int"),
        (True, TypeError, "axis must be an int"),
        (np.array([0, 1]), TypeError, r"axis must be an int, a tuple of ints or None, got array\(\[0, 1\]\)"),
        (2**31, ValueError, "axis 2147483648 is out of bounds"),
        ((0, 10**30), ValueError, "is out of bounds"),
    ],
)
def test_a_bad_axis_is_refused_by_name(axis, error, match):
    with pytest.raises(error, match=match):
        softmax(G, axis=axis)
    with pytest.raises(error, match=match):
        softmax_backward(P, G, axis=axis)


def test_inputs_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"probs and grad_output must have the same shape, got probs \(4, 6\) and"):
        softmax_backward(P, G[:1])


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("probs", "grad", "result"),
    [
        ("f4", "f4", "f4"),
        ("f8", "f8", "f8"),
        ("f4", "f8", "f8"),
        ("f2", "f4", "f4"),
        ("f2", "f2", "f2"),
        ("f4", "i8", "f8"),
        ("f4", "i1", "f8"),
        ("f8", "?", "f8"),
        (">f4", ">f4", "f4"),
    ],
)
@pytest.mark.parametrize("name", names())
def test_the_result_has_the_wider_dtype_of_the_inputs(name, probs, grad, result):
    p, g = P.astype(probs), (G * 3).astype(grad)
    found = softmax_backward(p, g, impl=name)
    assert found.dtype == np.dtype(result)
    # A shift of g moves the value by as much as probabilities of the narrower dtype fail to sum to 1.
    defect = np.abs(1 - p.astype(np.float64).sum(-1)).max() * np.abs(g.astype(np.float64)).max()
    tolerance = 16 * np.finfo(np.dtype(result)).eps + defect
    np.testing.assert_allclose(found, by_definition(p, g), rtol=0, atol=tolerance)


def test_float16_is_computed_in_float32_and_rounded_once():
    p, g = P.astype("f2"), G.astype("f2")
    expected = softmax_backward(p.astype("f4"), g.astype("f4")).astype("f2")
    np.testing.assert_array_equal(softmax_backward(p, g), expected)


def test_lists_are_computed_in_float64():
    result = softmax_backward([[0.25, 0.75]], [[1, 0]])
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [[0.1875, -0.1875]])


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (P.astype(complex), TypeError, "probs must hold float16, float32, float64 or integers, got dtype complex128"),
        (P.astype(object), TypeError, "got dtype object"),
        (P.astype(str), TypeError, "got dtype <U"),
        (P.astype("M8[s]"), TypeError, "got dtype datetime64"),
        (None, TypeError, "got dtype object"),
        (np.ma.masked_array(P), TypeError, "probs must not be a masked array"),
        ([[1.0, 2.0], [3.0]], ValueError, "probs must be array-like, with rows of equal length"),
        pytest.param(
            P.astype(np.longdouble),
            TypeError,
            "got dtype",
            marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="longdouble is float64 here"),
        ),
    ],
)
def test_an_input_of_another_kind_is_refused_by_name(bad, error, match):
    with pytest.raises(error, match=match):
        softmax_backward(bad, G)
    with pytest.raises(error, match=match.replace("probs", "x")):
        softmax(bad)
    with pytest.raises(error, match=match.replace("probs", "grad_output")):
        softmax_backward(P, bad)


class WithArray:
    """An object that NumPy converts by the protocol `__array__`."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Lazy(WithArray):
    """An object with the protocols of a Dask array; without a graph, as xarray's objects that hold NumPy arrays."""

    def __init__(self, array, graph):
        super().__init__(array)
        self.graph = graph

    def __dask_graph__(self):
        return self.graph


MASKED = np.ma.masked_array(P, P > 0.5)


@pytest.mark.parametrize(
    "masked",
    [
        MASKED,
        list(MASKED),
        tuple(MASKED),
        [[np.ma.masked, 0.5]],
        Lazy(MASKED, None),
        WithArray(MASKED),
        list(map(WithArray, MASKED)),
    ],
    ids=["array", "list of rows", "tuple of rows", "element", "without a graph", "__array__", "list of __array__"],
)
def test_a_mask_is_refused_wherever_it_is(masked):
    with pytest.raises(TypeError, match=r"^x must not be a masked array: fill it first"):
        softmax(masked)
    with pytest.raises(TypeError, match=r"^grad_output must not be a masked array"):
        softmax_backward(P, masked)


def test_dask_arrays_are_refused_by_the_names_of_the_functions_for_them():
    functions = r"softmax_impls\.dask\.softmax and softmax_impls\.dask\.softmax_backward"
    for lazy in (Lazy(P, {}), [Lazy(row, {}) for row in P]):
        with pytest.raises(TypeError, match=rf"^x must not be a Dask array: pass it to {functions}"):
            softmax(lazy)
        with pytest.raises(TypeError, match=rf"^grad_output must not be a Dask array: pass it to {functions}"):
            softmax_backward(P, lazy)
    np.testing.assert_array_equal(softmax(Lazy(P, None)), softmax(P))


def test_lists_of_arrays_and_numpy_scalars_keep_their_dtype():
    rows = list(P.astype("f4"))
    for nested in (rows, [list(row) for row in rows], [WithArray(row) for row in rows]):
        found = softmax_backward(nested, nested)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, softmax_backward(np.array(rows), np.array(rows)))


REFUSED = r" (must hold float16, float32|can't be converted to a NumPy array)"


def not_convertible(library):
    """Return an array of another library that NumPy cannot convert, or not to a dtype that we take."""
    module = pytest.importorskip(library)
    if library == "torch":
        return [module.ones(2, requires_grad=True), module.ones(2, dtype=module.bfloat16)]
    if library == "pandas":
        frame = module.DataFrame({"a": [0.5, None], "b": [0.5, 1.0]}, dtype="Float64")
        return [frame, frame.fillna(0.5)]
    return [np.ones(2, module.bfloat16), list(np.ones(2, module.bfloat16)), np.ones(2, module.float8_e5m2)]


@pytest.mark.parametrize("library", ["torch", "pandas", "ml_dtypes"])
def test_arrays_of_other_libraries_that_cannot_be_converted_are_refused_by_name(library):
    for array in not_convertible(library):
        for nested in (array, [array, array]):
            with pytest.raises(TypeError, match=f"^x{REFUSED}"):
                softmax(nested)
            with pytest.raises(TypeError, match=f"^probs{REFUSED}"):
                softmax_backward(nested, P)


# ---------------------------------------------------------------- out


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("which", ["probs", "grad_output"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1])
def test_out_may_be_one_of_the_inputs(name, which, order, axis):
    expected = softmax_backward(P, G, axis=axis, impl=name)
    arrays = {"probs": P.copy(order), "grad_output": G.copy(order)}
    out = arrays[which]
    assert softmax_backward(**arrays, axis=axis, out=out, impl=name) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("shift", [1, 6, 7, -1, -6])
def test_out_may_overlap_an_input_in_part(name, shift):
    for which in ("probs", "grad_output"):
        memory = np.zeros(64)
        arrays = {"probs": P, "grad_output": G}
        inner = memory[20 : 20 + G.size].reshape(G.shape)
        inner[...] = arrays[which]
        arrays[which] = inner
        out = memory[20 + shift : 20 + shift + G.size].reshape(G.shape)
        expected = softmax_backward(P, G, impl=name)
        softmax_backward(**arrays, out=out, impl=name)
        np.testing.assert_array_equal(out, expected)


def test_the_out_of_softmax_may_be_x_or_overlap_it():
    expected = softmax(G)
    x = G.copy()
    assert softmax(x, out=x) is x
    np.testing.assert_array_equal(x, expected)
    memory = np.append(G.ravel(), 0)
    out = memory[1:].reshape(G.shape)
    softmax(memory[:-1].reshape(G.shape), out=out)
    np.testing.assert_array_equal(out, expected)


class Subclass(np.ndarray):
    pass


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    "changed",
    [
        lambda array: array.astype(array.dtype.newbyteorder()),
        lambda array: array.view(np.dtype(array.dtype, metadata={"a": 1})),
        lambda array: array.view(Subclass),
        unaligned,
        np.asfortranarray,
        np.ndarray.tolist,
    ],
    ids=["swapped", "metadata", "subclass", "unaligned", "F-ordered", "list"],
)
def test_an_input_that_is_not_a_plain_array_gives_the_result_of_a_plain_array(changed, position, axis):
    probs, grad = softmax(np.cos(np.arange(512.0)).reshape(32, 16), axis=axis), np.sin(np.arange(512.0)).reshape(32, 16)
    expected, inputs = softmax_backward(probs, grad, axis=axis), [probs, grad]
    inputs[position] = changed(inputs[position])
    np.testing.assert_allclose(softmax_backward(*inputs, axis=axis), expected, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", ["f8", ">f8"])
def test_out_may_have_any_strides_and_byte_order(dtype):
    expected = softmax_backward(P, G)
    for out in (
        np.empty((6, 4), dtype).T,
        np.empty((8, 12), dtype)[::2, ::2],
        np.empty((4, 6), dtype)[::-1, ::-1],
        np.frombuffer(bytearray(4 * 6 * 8 + 1), dtype, offset=1).reshape(4, 6),
    ):
        softmax_backward(P, G, out=out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.full((4, 5), 7.0), ValueError, r"out must have shape \(4, 6\), got \(4, 5\)"),
        (np.full((4, 6), 7.0, "f4"), TypeError, "out must have dtype float64, got float32"),
        (np.full((4, 6), 7), TypeError, "out must have dtype float64, got int64"),
        (np.ma.masked_array(np.full((4, 6), 7.0)), TypeError, "out must be a numpy array"),
        ([[7.0] * 6] * 4, TypeError, "out must be a numpy array"),
        (np.broadcast_to(7.0, (4, 6)), ValueError, "out must be writeable"),
        (
            np.lib.stride_tricks.as_strided(np.full(6, 7.0), (4, 6), (0, 8)),
            ValueError,
            "out must not overlap itself",
        ),
        (
            np.lib.stride_tricks.sliding_window_view(np.full(9, 7.0), 6, writeable=True),
            ValueError,
            "out must not overlap itself",
        ),
    ],
)
def test_bad_out_is_refused_before_anything_is_written(out, error, match):
    with pytest.raises(error, match=match):
        softmax_backward(P, G, out=out)
    with pytest.raises(error, match=match):
        softmax(G, out=out)
    assert np.all(np.asarray(out) == 7)


def test_an_unknown_name_does_not_write_to_out():
    out = np.full((4, 6), 7.0)
    with pytest.raises(ValueError, match="impl must be one of"):
        softmax_backward(P, G, out=out, impl="no_such")
    assert np.all(out == 7)


# ---------------------------------------------------------------- impl


@pytest.mark.parametrize("name", ["auto", *names()])
def test_every_implementation_reads_read_only_inputs_and_does_not_change_them(name):
    p, g = P.copy(), G.copy()
    p.flags.writeable = g.flags.writeable = False
    np.testing.assert_allclose(softmax_backward(p, g, impl=name), by_definition(P, G), atol=1e-15, rtol=0)
    np.testing.assert_array_equal(p, P)
    np.testing.assert_array_equal(g, G)


def test_an_unknown_name_lists_the_known_names():
    with pytest.raises(ValueError, match="got 'einsum'") as caught:
        softmax_backward(P, G, impl="einsum")
    listed = str(caught.value).removeprefix("impl must be one of ").partition(", a kernel")[0].split(", ")
    assert listed == ["auto", *names(peers=True)]


@pytest.mark.parametrize("impl", [None, 3, ["closed_form"], np.array(["auto", "x"])])
def test_an_impl_of_another_type_is_refused(impl):
    with pytest.raises(TypeError, match="impl must be a name, 'auto' or a kernel"):
        softmax_backward(P, G, impl=impl)


def test_impl_may_be_a_kernel_or_its_record():
    def mine(probs, grad_output, out):
        out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))

    expected = softmax_backward(P, G, impl="closed_form")
    np.testing.assert_allclose(softmax_backward(P, G, impl=mine), expected, atol=1e-16)
    np.testing.assert_allclose(softmax_backward(P.T, G.T, axis=0, impl=mine), expected.T, atol=1e-16)
    np.testing.assert_array_equal(softmax_backward(P, G, impl=implementations()["closed_form"]), expected)


def test_impl_may_be_the_place_of_a_function(tmp_path, monkeypatch):
    body = "def mine(probs, grad_output, out):\n    out[...] = 2 * probs\n"
    (tmp_path / "kernels_of_a_user.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(softmax_backward(P, G, impl="kernels_of_a_user:mine"), 2 * P)
    with pytest.raises(ValueError, match="impl 'kernels_of_a_user:other' can't be loaded"):
        softmax_backward(P, G, impl="kernels_of_a_user:other")


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_plain_arrays_take_the_fast_path_with_any_implementation(name, threads, monkeypatch):
    expected = softmax_backward(P, G, impl=name)
    monkeypatch.setattr("softmax_impls.api.general_path", None)
    for impl in (name, implementations()[name].kernel, implementations()[name]):
        out = np.full_like(P, np.nan)
        assert softmax_backward(P, G, out=out, impl=impl, threads=threads) is out
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(softmax_backward(P, G, impl=impl, threads=threads), expected)


def test_read_only_arrays_are_computed_without_copies_and_a_read_only_out_is_refused(monkeypatch):
    p, g, out = P.copy(), G.copy(), np.empty_like(P)
    p.flags.writeable = g.flags.writeable = False
    expected = [softmax(G), softmax_backward(P, G)]
    monkeypatch.setattr("softmax_impls.blocks.Layout", None)  # arrays that may need copies
    if has_compiler():
        np.testing.assert_array_equal(softmax_backward(p, g), expected[1])
    np.testing.assert_array_equal(softmax(g), expected[0])
    monkeypatch.undo()
    out.flags.writeable = False
    for call in (lambda: softmax(G, out=out), lambda: softmax_backward(P.T, G.T, axis=0, out=out.T)):
        with pytest.raises(ValueError, match="out must be writeable"):
            call()


@pytest.mark.parametrize("which", [0, 1])
def test_a_kernel_of_the_users_cannot_change_inputs(which):
    def careless(*arrays):
        arrays[which][...] *= 2

    p, g = P.copy(), G.copy()
    for _ in range(2):  # the first call finds the kernel, the second takes the fast path
        with pytest.raises(ValueError, match="read-only"):
            softmax_backward(p, g, impl=careless)
    np.testing.assert_array_equal((p, g), (P, G))


def test_a_name_that_is_registered_again_calls_the_new_kernel(monkeypatch):
    monkeypatch.setattr("softmax_impls.registry._registered", {})
    for factor in (2, 3):  # as when a cell of a notebook is run again
        source = f"def again(probs, grad_output, out):\n    out[...] = {factor} * probs\n"
        variables = {"__name__": "notebook"}
        exec(source, variables)
        register(variables["again"])
        np.testing.assert_array_equal(softmax_backward(P, G, impl="again"), factor * P)


def test_a_kernel_may_be_a_lambda_or_an_object():
    class Kernel:
        def __call__(self, probs, grad_output, out):
            out[...] = 0

    assert not softmax_backward(P, G, impl=Kernel()).any()
    assert not softmax_backward(P, G, impl=lambda probs, grad_output, out: out.fill(0)).any()


def test_a_kernel_that_returns_its_result_is_refused():
    with pytest.raises(TypeError, match="must write its result into out and return None, but it returned ndarray"):
        softmax_backward(P, G, impl=lambda probs, grad_output, out: probs * grad_output)


def test_a_kernel_that_writes_nothing_gives_nan_instead_of_old_memory():
    def rebinds(probs, grad_output, out):
        out = probs * grad_output  # noqa: F841

    assert np.isnan(softmax_backward(P, G, impl=rebinds)).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_kernel_that_may_work_in_place_and_writes_nothing_gives_nan_on_each_axis(axis):
    record = describe(lambda probs, grad_output, out: None, name="lazy", in_place=("probs", "grad_output"))
    assert np.isnan(softmax_backward(P, G, impl=record, axis=axis)).all()


def test_a_kernel_is_loaded_once_for_all_blocks_of_a_call(monkeypatch):
    closed_form, loaded = implementations()["closed_form"], []

    def load(self, impl):
        loaded.append(impl)
        return closed_form.kernel, OURS, closed_form

    monkeypatch.setattr(FastPath, "_load", load)
    probs = np.full((2000, 500), 0.002)[:, ::2]  # strided
    softmax_backward(probs, probs, impl="softmax_impls.backward.closed_form:closed_form")
    assert len(loaded) == 1


@pytest.mark.parametrize("name", names())
def test_both_inputs_and_out_may_be_the_same_array(name):
    expected = softmax_backward(P, P, impl=name)
    q = P.copy()
    np.testing.assert_array_equal(softmax_backward(q, q, out=q, impl=name), expected)


def test_a_registered_kernel_cannot_modify_the_callers_arrays(registry):
    @register
    def registered_writer(probs, grad_output, out):
        probs[...] = 0

    p = P.copy()
    with pytest.raises(ValueError, match="read-only"):
        softmax_backward(p, G, impl="registered_writer")
    np.testing.assert_array_equal(p, P)


# ---------------------------------------------------------------- NaN and inf


@pytest.mark.parametrize("name", ["auto", *names()])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_row(name, bad):
    g = G.copy()
    g[2, 3] = bad
    result = softmax_backward(P, g, impl=name)
    good = [0, 1, 3]
    np.testing.assert_allclose(result[good], by_definition(P, G)[good], atol=1e-15, rtol=0)
    assert not np.isfinite(result[2]).any()


def test_masked_logits_give_zeros_and_a_fully_masked_row_gives_nan():
    x = G.copy()
    x[1, :4] = -np.inf
    x[3] = -np.inf
    probs = softmax(x)
    assert np.isnan(probs[3]).all()
    assert not probs[1, :4].any()
    result = softmax_backward(probs, G)
    assert np.isnan(result[3]).all()
    assert not result[1, :4].any()
    assert np.isfinite(result[:3]).all()


@pytest.mark.parametrize("name", ["auto", *names()])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_opposite_gradients_near_the_largest_number_do_not_overflow(name, dtype):
    half = np.finfo(dtype).max / 2
    p, g = np.full((3, 2), 0.5, dtype), np.array([[1, -1], [1.5, -1.5], [-2, 2]], dtype) * half
    np.testing.assert_array_equal(softmax_backward(p, g, impl=name), g / 2)


@pytest.mark.parametrize("name", ["auto", *names()])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_subnormal_gradients_are_not_lost(name, dtype):
    g = np.array([[4, -4], [-8, 8], [12, -12]], dtype) * np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(softmax_backward(np.full_like(g, 0.5), g, impl=name), g / 2)


def test_large_float16_values_do_not_warn():
    result = softmax_backward(np.array([0.5, 0.5], "f2"), np.array([65504, -65504], "f2"))
    np.testing.assert_array_equal(result, np.array([32752, -32752], "f2"))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5, 1, 3), (4, 6, 3), (2, 9, 40)])
def test_classes_on_other_axes_than_the_last_give_the_result_of_rows_and_leave_inputs_as_they_were(shape, dtype):
    x, grad = (np.random.default_rng(seed).standard_normal(shape).astype(dtype) for seed in (0, 1))
    probs, before = softmax(x, axis=1), (x.copy(), grad.copy())
    rows = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (x, probs, grad)]
    tolerance = {"rtol": 8 * np.finfo(dtype).eps, "atol": 2 * np.finfo(dtype).eps}
    np.testing.assert_allclose(np.moveaxis(probs, 1, -1), softmax(rows[0]), **tolerance)
    found = np.moveaxis(softmax_backward(probs, grad, axis=1), 1, -1)
    np.testing.assert_allclose(found, softmax_backward(*rows[1:]), **tolerance)
    np.testing.assert_array_equal((x, grad), before)
