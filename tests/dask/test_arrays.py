"""Dask arrays: results are those of the plain functions for any chunks, and nothing is computed early."""

import dask
import dask.array as da
import numpy as np
import pytest

import softmax_impls
from softmax_impls import calls
from softmax_impls.checks import bounds
from softmax_impls.checks.inputs import cases, problem
from softmax_impls.dask import chunks, softmax, softmax_backward
from softmax_impls.threads import limit_threads, num_threads

P, G = problem(12, 30, "float32", 0)
X = np.log(P)


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def lazy(array, chunks):
    return da.from_array(array, chunks=chunks)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int64"])
@pytest.mark.parametrize("chunks", [(5, 30), (5, 8)], ids=["whole rows", "divided rows"])
def test_metadata_are_those_of_the_input_and_of_the_plain_result(dtype, chunks):
    x = np.arange(360).reshape(12, 30).astype(dtype)
    for found, plain in (
        (softmax(lazy(x, chunks)), softmax_impls.softmax(x)),
        (softmax_backward(lazy(x, chunks), lazy(G, chunks)), softmax_impls.softmax_backward(x, G)),
    ):
        assert found.chunks == lazy(x, chunks).chunks
        assert found.dtype == found._meta.dtype == found.compute().dtype == plain.dtype


def in_three_dimensions():
    return [array[:2].reshape(4, 3, 5) for array in (X, P, G)]


@pytest.mark.parametrize(("axis", "chunks"), [(-1, (3, 2, 5)), (0, (4, 2, 3)), ((0, 2), (4, 1, 5)), (None, -1)])
@pytest.mark.parametrize("impl", ["auto", "closed_form"])
def test_whole_rows_are_computed_by_the_plain_functions(axis, chunks, impl):
    x, p, g = in_three_dimensions()
    np.testing.assert_allclose(softmax(lazy(x, chunks), axis=axis), softmax_impls.softmax(x, axis=axis), rtol=4e-7)
    found = softmax_backward(lazy(p, chunks), lazy(g, chunks), axis=axis, impl=impl)
    plain = softmax_impls.softmax_backward(p, g, axis=axis, impl=impl)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("axis", "chunks"), [(-1, (3, 2, 3)), (0, (2, 3, 4)), ((0, 2), (3, 2, 4)), (None, (2, 2, 4))])
def test_divided_rows_on_any_axes(axis, chunks):
    x, _, g = in_three_dimensions()
    found = softmax(lazy(x, chunks), axis=axis)
    p = found.compute()
    powers = np.exp(x.astype(float))
    np.testing.assert_allclose(p, powers / powers.sum(axis=axis, keepdims=True), rtol=4e-7)
    expected = p * (g - np.sum(p * g, axis=axis, keepdims=True))
    np.testing.assert_allclose(softmax_backward(found, lazy(g, chunks), axis=axis), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@np.errstate(all="ignore")
def test_errors_are_within_the_bounds_of_whole_rows(dtype):
    tested = [case for case in cases(dtype, 0) if case.probs.size]
    inputs = [[lazy(a, (-1, -(-a.shape[1] // 3))) for a in (c.logits, c.probs, c.grad_output)] for c in tested]
    results = dask.compute(*((softmax(x), softmax_backward(p, g)) for x, p, g in inputs))
    for case, (probs, gradient) in zip(tested, results, strict=True):
        exists, finite, exact = np.isfinite(case.exact_probs.high), case.finite, case.exact_probs.high
        assert (case.exact_probs.error_of(probs) <= bounds.forward(case.logits, exact))[exists].all(), case
        bound = bounds.given_logits(exact, case.grad_output)
        assert (case.given_logits.error_of(gradient) <= bound)[finite].all(), case
        assert not np.isfinite(probs[~exists]).any(), case
        assert not np.isfinite(gradient[~finite]).any(), case


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is float64")
def test_sums_of_many_chunks_keep_what_rounding_loses():
    p, g = np.full((1, 3000), 1 / 4096), np.ones((1, 3000))
    g[0, ::3], g[0, 1::3] = 2.0**60, -(2.0**60)
    found = softmax_backward(lazy(p, (1, 7)), lazy(g, (1, 7)))[0, 2::3]
    np.testing.assert_array_equal(found, (1 - 1000 / 4096) / 4096)


def test_a_chunk_of_masked_classes_gets_zeros_and_a_masked_row_nan():
    x = X.copy()
    x[:, :10] = -np.inf
    x[3] = -np.inf
    found = softmax(lazy(x, (6, 5))).compute()
    np.testing.assert_allclose(found, softmax_impls.softmax(x), rtol=4e-7)
    assert (found[np.arange(12) != 3, :10] == 0).all()
    assert np.isnan(found[3]).all()


def test_divided_float16_is_rounded_once():
    x = X.astype(np.float16)
    exact = softmax_impls.softmax(x.astype(float)).astype(np.float16)
    np.testing.assert_array_max_ulp(softmax(lazy(x, (6, 4))).compute(), exact, maxulp=1)


def test_chunks_without_classes():
    p, g = lazy(P, ((12,), (0, 30, 0))), lazy(G, (12, 30))
    np.testing.assert_allclose(softmax_backward(p, g), softmax_impls.softmax_backward(P, G), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(softmax(p), softmax_impls.softmax(P), rtol=4e-7)
    assert softmax(da.zeros((3, 0), chunks=(2, 0))).compute().shape == (3, 0)


def test_inputs_with_other_chunks_and_numpy_arrays():
    plain = softmax_impls.softmax_backward(P, G)
    for probs, grad_output in ((lazy(P, (5, 30)), lazy(G, (12, 7))), (lazy(P, (5, 8)), G), (P, lazy(G, (12, 10)))):
        np.testing.assert_allclose(softmax_backward(probs, grad_output), plain, rtol=1e-4, atol=1e-7)


def test_0d_arrays():
    assert softmax(da.from_array(np.float32(3))).compute() == 1
    assert softmax_backward(da.from_array(np.float32(1)), da.from_array(np.float32(3))).compute() == 0


def test_rows_of_unknown_number():
    positive = lazy(P, (5, 8))[lazy(np.arange(12) > 2, 5)]
    np.testing.assert_array_equal(softmax(positive), softmax(lazy(P, (5, 8)))[3:])


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(_):
        raise AssertionError

    array = lazy(P, (5, 8)).map_blocks(fail, dtype=P.dtype, meta=P[:0, :0])
    softmax_backward(softmax(array), array)


def test_names_are_the_same_for_the_same_call_and_differ_for_others():
    p, g = lazy(P, (5, 8)), lazy(G, (5, 8))
    whole = p.rechunk({1: -1}), g.rechunk({1: -1})
    calls = {
        "divided": lambda: softmax_backward(p, g),
        "other axis": lambda: softmax_backward(p, g, axis=0),
        "other order": lambda: softmax_backward(g, p),
        "whole": lambda: softmax_backward(*whole),
        "other implementation": lambda: softmax_backward(*whole, impl="pivoted"),
        "softmax": lambda: softmax(p),
        "softmax, other axis": lambda: softmax(p, axis=0),
    }
    names = [call().name for call in calls.values()]
    assert names == [call().name for call in calls.values()]
    assert len(set(names)) == len(names)


def test_bits_do_not_depend_on_the_scheduler():
    p, g = (lazy(np.tile(array, (10, 10)), (50, 70)) for array in (P / 10, G))
    results = [
        dask.compute(softmax(g), softmax_backward(p, g), scheduler=scheduler, num_workers=4)
        for scheduler in ("synchronous", "threads")
    ]
    np.testing.assert_array_equal(*results)


def test_a_chunk_is_computed_in_one_thread(monkeypatch):
    numbers = []

    def backward(probs, grad_output, threads, **_):
        numbers.append(threads)
        return probs

    monkeypatch.setattr(chunks.api, "softmax", lambda x, axis: numbers.append(num_threads()) or x)
    monkeypatch.setattr(chunks.api, "softmax_backward", backward)
    with limit_threads(8):
        dask.compute(softmax(lazy(P, (6, 8))), softmax_backward(lazy(P, (6, 30)), lazy(G, (6, 30))))
    assert numbers.count(1) == len(numbers) == 2 * 4 + 2


def test_the_second_sum_reads_no_chunk_where_no_row_needs_it():
    total = np.array([[(0.5, 0.1, 1.0, 0.0)], [(0.5, -0.1, 3.0, 0.0)]], chunks.TOP_AND_DOT)
    assert not chunks.shifted_dot(None, None, total, (1,))["sum"].any()
    total["sum"][1] = -0.1  # Σ p g has cancelled
    with pytest.raises(TypeError):
        chunks.shifted_dot(None, None, total, (1,))


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (P.astype(complex), "must hold float16, float32, float64 or integers, got dtype complex128"),
        (np.ma.masked_array(P), r"must have chunks of numpy arrays \(not masked\), got numpy.MaskedArray"),
    ],
    ids=["complex", "masked"],
)
def test_an_unfit_input_is_refused_by_name(bad, match):
    good, bad = lazy(P, 5), lazy(bad, 5)
    with pytest.raises(TypeError, match=f"^probs {match}"):
        softmax_backward(bad, good)
    with pytest.raises(TypeError, match=f"^grad_output {match}"):
        softmax_backward(good, bad)
    with pytest.raises(TypeError, match=f"^x {match}"):
        softmax(bad)


def test_other_unfit_arguments_are_refused_when_the_call_is_made():
    p = lazy(P, (5, 8))
    with pytest.raises(np.exceptions.AxisError, match="axis 2 is out of bounds"):
        softmax(p, axis=2)
    with pytest.raises(TypeError, match="axis must be an int"):
        softmax_backward(p, p, axis=1.0)
    with pytest.raises(ValueError, match=r"rechunk the arrays first, as in probs.rechunk\(\{1: -1\}\)"):
        softmax_backward(p, p, impl="pivoted")
    with pytest.raises(ValueError, match="closed_forn"):
        softmax_backward(p, p, impl="closed_forn")
    with pytest.raises(ValueError, match=r"must have the same shape, got probs \(12, 30\) and grad_output \(3, 30\)"):
        softmax_backward(p, p[:3])


def test_the_plain_functions_name_the_functions_for_dask_arrays():
    p = lazy(P, 5)
    with pytest.raises(TypeError, match=r"^x must not be a Dask array: pass it to softmax_impls.dask.softmax"):
        softmax_impls.softmax(p)
    with pytest.raises(TypeError, match=r"^probs must not be a Dask array: .* softmax_impls.dask.softmax_backward"):
        softmax_impls.softmax_backward(p, G)


def test_a_kernel_of_the_user_computes_whole_rows():
    def textbook(probs, grad_output, out):
        np.multiply(probs, grad_output - np.sum(probs * grad_output, axis=-1, keepdims=True), out=out)

    found = softmax_backward(lazy(P, (5, 30)), lazy(G, (5, 30)), impl=textbook)
    np.testing.assert_array_equal(found, softmax_impls.softmax_backward(P, G, impl=textbook))
    assert calls.fast_path.load(textbook)[1] == calls.USERS


def test_reports_have_the_same_bytes_on_every_processor():
    for report in (chunks.DOT, chunks.TOP_AND_DOT, chunks.MAX_AND_SUM):
        assert {field.str for field, _ in report.fields.values()} == {"<f8"}


def test_inputs_with_different_unknown_sizes_are_refused():
    x = lazy(P, (5, 30))
    with pytest.raises(ValueError, match=r"must have known sizes, got probs \(nan, 30\).*compute_chunk_sizes"):
        softmax_backward(x[x[:, 0] > 0], lazy(G, (5, 15)))
