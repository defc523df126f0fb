"""Vectors in kernels against the same loops over single components, for every size, width and dtype."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated.lanes import LINE, NEAR, ahead, double, fma, lanes, near, where, width_for
from generated.native import LANES
from generated.program import Call, Kernel, Program, Stage


def largest(a, z, at, first, last):
    """z[c] = the largest a[i, c], at[c] where it first stands."""
    T = z.dtype.type
    for _ in range(first, last):
        for c in lanes(z.shape[1]):
            so_far = -T(np.inf)
            place = np.int16(0)
            for i in range(a.shape[0]):
                better = a[i, c] > so_far
                so_far = where(better, a[i, c], so_far)
                place = where(better, np.int16(i), place)
            z[0, c] = so_far
            at[0, c] = place


def moments(a, z, s, first, last):
    """z[c] = the sum of |a| in the array's dtype, s[c] that of a^2 in double precision."""
    T = z.dtype.type
    for _ in range(first, last):
        for c in lanes(z.shape[1]):
            total = T(0)
            squares = 0.0
            for i in range(a.shape[0]):
                total += abs(a[i, c])
                squares += double(a[i, c]) * double(a[i, c])
            z[0, c] = total
            s[0, c] = squares


def everything(a, b, z, first, last):
    """Every operator, of vectors, of vectors and numbers, of numbers and vectors."""
    T = z.dtype.type
    for n in range(first, last):
        for c in lanes(z.shape[1]):
            x, y = a[n, c], b[c]
            inside = ((x < y) & (x >= T(-1))) | ~(x <= T(2)) | (x == y)
            e = where(inside, -x + T(2) * y, np.sqrt(abs(x)) - y / T(4)) * (T(1) - x)
            z[n, c] = where((T(0) > e) & (e != T(-1)), T(3), np.floor(e)) + where(n > 0, T(1), T(0))


def weighted(a, w, z, first, last):
    """z[n, c] = the sum of w[u, v, c] a[n, c] over u and v, the weights near by."""
    T = z.dtype.type
    for n in range(first, last):
        for c in lanes(z.shape[1]):
            weights = near(w, c)
            total = T(0)
            for u in range(w.shape[0]):
                for v in range(w.shape[1]):
                    total = fma(weights[u, v], a[n, c], total)
            z[n, c] = total


def run(function, slots: dict[str, np.ndarray], writes: tuple[str, ...], dtype: type) -> None:
    arrays = {slot.partition("[")[0]: array for slot, array in slots.items()}
    kernel = Kernel(function, tuple(slots), "n", writes, lane="c")
    Program([Stage([Call(kernel, arrays)])], dtype).run()


SIZES = sorted({*range(1, 36), 4 * LANES - 1, 4 * LANES, 4 * LANES + 1, 100, 257})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_every_component_is_done_whatever_the_size(size, dtype):
    random = np.random.default_rng(size)
    a = random.integers(-3, 4, (9, size)).astype(dtype)  # with equal ones
    z, at, s = np.full((1, size), np.nan, dtype), np.full((1, size), -1, np.int16), np.full((1, size), np.nan)
    run(largest, {"a[i, c]": a, "z[n, c]": z, "at[n, c]: int16": at}, ("z", "at"), dtype)
    np.testing.assert_array_equal(z[0], a.max(0))
    np.testing.assert_array_equal(at[0], a.argmax(0))
    run(moments, {"a[i, c]": a, "z[n, c]": z, "s[n, c]: float64": s}, ("z", "s"), dtype)
    np.testing.assert_array_equal(z[0], np.abs(a).sum(0))
    np.testing.assert_array_equal(s[0], (a.astype(float) ** 2).sum(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_operators_are_those_of_single_numbers(dtype, size, seed):
    random = np.random.default_rng(seed)
    a, b = (random.standard_normal(shape).astype(dtype) for shape in ((3, size), (size,)))
    a[:, ::3] = b[::3]
    z = np.full_like(a, np.nan)
    run(everything, {"a[n, c]": a, "b[c]": b, "z[n, c]": z}, ("z",), dtype)
    x, y = a, np.broadcast_to(b, a.shape)
    inside = ((x < y) & (x >= -1)) | ~(x <= 2) | (x == y)
    with np.errstate(invalid="ignore"):
        e = np.where(inside, -x + 2 * y, np.sqrt(abs(x)) - y / 4) * (1 - x)
    want = np.where((e < 0) & (e != -1), 3, np.floor(e)) + (np.arange(3) > 0)[:, None]
    np.testing.assert_array_equal(z, want)


@pytest.mark.parametrize("taps", [(1, 1), (3, 3), (1, NEAR), (2, NEAR), (0, 3)])
@pytest.mark.parametrize("size", [1, LANES, 3 * LANES - 1])
def test_vectors_near_by_are_those_of_the_array_however_many_there_are(taps, size):
    random = np.random.default_rng(0)
    a, w = random.standard_normal((2, size)), random.standard_normal((*taps, size))
    z = np.full_like(a, np.nan)
    run(weighted, {"a[n, c]": a, "w[u, v, c]": w, "z[n, c]": z}, ("z",), np.float64)
    np.testing.assert_allclose(z, a * w.sum((0, 1)), rtol=1e-12, atol=1e-13)


def test_sums_in_double_precision_keep_what_single_precision_loses():
    a = np.full((1001, 5), 1e-4, np.float32)
    a[0] = 1e4
    z, s = np.zeros((1, 5), np.float32), np.zeros((1, 5))
    run(moments, {"a[i, c]": a, "z[n, c]": z, "s[n, c]: float64": s}, ("z", "s"), np.float32)
    np.testing.assert_allclose(s[0], (a.astype(float) ** 2).sum(0), rtol=1e-15)


@pytest.mark.parametrize("size", range(1, 300))
def test_a_vector_fits_its_row_and_little_is_done_twice(size):
    width = width_for(size)
    assert 1 <= width <= min(size, 4 * LANES)
    assert width & (width - 1) == 0
    if size < LANES:
        assert size < 2 * width
    else:
        assert -(-size // width) * width < size + LANES
    if size % (4 * LANES) == 0:
        assert width == 4 * LANES


def squares_apart(a, z, first, last):
    """z = a^2 - 1 - 2^-11 where a stands, with more asked for than there is."""
    T = z.dtype.type
    for n in range(first, last):
        for c in lanes(z.shape[1]):
            ahead(a, (n + 1000, c))
            z[n, c] = fma(a[n, c], a[n, c], T(-1 - 2**-11))


def test_a_product_and_what_is_added_to_it_are_rounded_once():
    a, z = np.full((2, 37), 1 + 2**-12, np.float32), np.zeros((2, 37), np.float32)
    run(squares_apart, {"a[n, c]": a, "z[n, c]": z}, ("z",), np.float32)
    np.testing.assert_array_equal(z, np.float32(2**-24))
    assert a[0, 0] * a[0, 0] - np.float32(1 + 2**-11) == 0


def on_lines(shape: tuple[int, ...], shift: int = 0) -> np.ndarray:
    """Zeros that begin where a line of the cache does, or ``shift`` bytes after it."""
    size = 4 * int(np.prod(shape))
    block = np.zeros(size + 2 * LINE, np.uint8)
    return block[-block.ctypes.data % LINE + shift :][:size].view(np.float32).reshape(shape)


@pytest.mark.parametrize(("size", "shift", "past"), [(64, 0, True), (128, 0, True), (64, 4, False), (65, 0, False)])
def test_what_goes_past_the_caches_is_the_same_and_begins_with_a_line(size, shift, past):
    random = np.random.default_rng(size)
    a, b = on_lines((50, size)), on_lines((size,))
    a[...], b[...] = random.standard_normal((50, size)), random.standard_normal(size)
    kernel = Kernel(everything, ("a[n, c]", "b[c]", "z[n, c]"), "n", ("z",), lane="c")
    calls = [Call(kernel, {"a": a, "b": b, "z": on_lines((50, size), shift)}, streamed=s) for s in (False, True)]
    for call in calls:
        Program([Stage([call], grain=7)], np.float32).run()
    assert [call.goes_past_caches for call in calls] == [False, past]
    np.testing.assert_array_equal(calls[0].arrays["z"], calls[1].arrays["z"])
