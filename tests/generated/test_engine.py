"""The contraction engine against exact integer arithmetic, and its promise of equal bits."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from generated.engine import (
    BLOCK,
    CHAINS,
    DEPTH,
    FEW,
    SCRATCH,
    border,
    contract,
    contract_add,
    contract_bias,
    contract_nest,
    contract_nest_add,
    contract_nest_bias,
)
from generated.native import LANES


@njit
def _contract(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch):
    contract(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch)


@njit
def _contract_add(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch, scale):
    contract_add(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch, scale)


@njit
def _contract_bias(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch, bias):
    contract_bias(rows, columns, segments, length, a, a0, ar, as_, at, b, b0, bs, bt, bl, c, c0, cr, scratch, bias, 1)


def laid_out(values: np.ndarray, order: tuple[int, ...]) -> tuple[np.ndarray, list[int]]:
    """The values in memory with their axes in this order, and the stride of each axis in elements."""
    memory = np.ascontiguousarray(values.transpose(order))
    strides = [0] * values.ndim
    for place, axis in enumerate(order):
        strides[axis] = memory.strides[place] // memory.itemsize
    return memory, strides


def run(start: str, a, a_order, b, b_order, c, bias, gap: int = 0, scale: float = 1.0) -> np.ndarray:
    """c (=, += scale, = bias +) a[i, s, t] b[s, t, v] by the engine; `gap` elements follow each row, and must not change."""
    (rows, segments, length), columns = a.shape, b.shape[2]
    (a, a_strides), (b, b_strides) = laid_out(a, a_order), laid_out(b, b_order)
    memory = np.full((rows, columns + gap), 77, c.dtype)
    memory[:, :columns] = c
    scratch = np.full(SCRATCH, np.nan, c.dtype)
    call = {"set": _contract, "add": _contract_add, "bias": _contract_bias}[start]
    more = {"bias": (np.concatenate([bias[:1], bias]),), "add": (scale,)}.get(start, ())
    sizes = (rows, columns, segments, length)
    call(*sizes, a, 0, *a_strides, b, 0, *b_strides, memory, 0, columns + gap, scratch, *more)
    assert (memory[:, columns:] == 77).all()
    return memory[:, :columns]


def check_integers(rows, columns, segments, length, start, a_order, b_order, dtype, gap, seed):
    random = np.random.default_rng(seed)
    shapes = (rows, segments, length), (segments, length, columns), (rows, columns), (columns,)
    a, b, c, bias = (random.integers(-4, 5, shape) for shape in shapes)
    scale = seed % 4 - 2 if start == "add" else 1  # 1 among them
    want = np.tensordot(a, b, 2) * scale + {"set": 0, "add": c, "bias": bias}[start]
    numbers = (a.astype(dtype), a_order, b.astype(dtype), b_order, c.astype(dtype), bias.astype(dtype))
    got = run(start, *numbers, gap, scale)
    np.testing.assert_array_equal(got, want)


orders = st.permutations((0, 1, 2)).map(tuple)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.integers(1, 48),
    columns=st.integers(1, 6 * LANES + 3),
    segments=st.integers(0, 3),
    length=st.integers(0, 20),
    start=st.sampled_from(("set", "add", "bias")),
    a_order=orders,
    b_order=orders,
    dtype=st.sampled_from((np.float32, np.float64)),
    gap=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_contraction_of_integers_is_exact_for_all_sizes_and_layouts(**case):
    check_integers(**case)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("start", ("set", "add", "bias"))
@pytest.mark.parametrize("segments, length", ((1, 2 * DEPTH + 3), (3, DEPTH + 1), (5, DEPTH // 2 - 1), (DEPTH + 2, 1)))
def test_contraction_of_integers_is_exact_across_blocks(dtype, start, segments, length):
    for b_order in ((0, 1, 2), (2, 0, 1)):
        check_integers(BLOCK + 7, 3 * LANES + 5, segments, length, start, (0, 1, 2), b_order, dtype, 1, seed=length)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("length", (3, DEPTH + 1, 2 * DEPTH + 3))
def test_outputs_are_sums_of_chains_in_the_order_of_the_contracted_index(dtype, length):
    random = np.random.default_rng(length)
    a, b = random.standard_normal((31, 1, length)).astype(dtype), random.standard_normal((1, length, 45)).astype(dtype)
    plain, empty, none = (0, 1, 2), np.zeros((31, 45), dtype), np.zeros(45, dtype)
    whole = run("set", a, plain, b, plain, empty, none)
    total = empty
    for begin in range(0, length, DEPTH):
        chain = slice(begin, begin + DEPTH)
        total = run("add", a[:, :, chain], plain, b[:, chain], plain, total, none)
    np.testing.assert_array_equal(total, whole)
    step = run("set", a[:, :, :1], plain, b[:, :1], plain, empty, none)
    np.testing.assert_array_equal(step, a[:, 0, :1] * b[0, :1])
    for row in (0, 7, 30):
        np.testing.assert_array_equal(run("set", a[row:][:1], plain, b, plain, empty[:1], none)[0], whole[row])


def digest_of_results() -> str:
    """A digest of the bits of contractions of many sizes."""
    seen, random = hashlib.sha256(), np.random.default_rng(1)
    for dtype in (np.float32, np.float64):
        for rows, columns, segments, length in ((10, 30, 1, 784), (33, 5, 2, 17), (128, 47, 1, 300), (1, 100, 3, 9)):
            a = random.standard_normal((rows, segments, length)).astype(dtype)
            b = random.standard_normal((segments, length, columns)).astype(dtype)
            for order in ((0, 1, 2), (2, 0, 1)):
                c, bias = np.ones((rows, columns), dtype), np.ones(columns, dtype)
                seen.update(run("add", a, (0, 1, 2), b, order, c, bias).tobytes())
    return seen.hexdigest()


def test_bits_do_not_depend_on_the_number_of_lanes():
    found = set()
    for lanes in ("4", "8", "16"):
        script = "import tests.generated.test_engine as t; print(t.LANES, t.digest_of_results())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "BACKDERIVE_LANES": lanes},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        used, digest = done.stdout.split()
        assert used == lanes
        found.add(digest)
    assert found == {digest_of_results()}


def test_an_impossible_number_of_lanes_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import generated.native"],
        env={**os.environ, "BACKDERIVE_LANES": "7"},
        capture_output=True,
        text=True,
    )
    assert "BACKDERIVE_LANES must be 4, 8 or 16, not '7'" in done.stderr


# Nests ---------------------------------------------------------------------------------------------------------------


@njit
def _nest(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch):
    contract_nest(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch)


@njit
def _nest_add(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch, again):
    contract_nest_add(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch, again)


@njit
def _nest_bias(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch, bias):
    contract_nest_bias(first, last, rows, columns, sums, a, a0, ar, as_, b, b0, bs, bl, c, c0, cr, scratch, bias, 1)


def placed(strides: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """(offset of the first element, elements of memory) for strides that may be negative."""
    ends = [s * (n - 1) for s, n in zip(strides, shape, strict=True)]
    return -sum(min(e, 0) for e in ends), sum(map(abs, ends)) + 1


small = st.integers(1, 4)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.tuples(small, small, st.integers(1, 9) | st.integers(1, (CHAINS + 1) * LANES)),
    sums=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9))
    | st.tuples(small, small, st.just(DEPTH + 1)),
    columns=st.integers(1, 5 * LANES + 3) | st.integers(1, FEW),
    a_strides=st.tuples(*[st.integers(-3, 5)] * 6),
    b_order=st.permutations((0, 1, 2, 3)),
    joined=st.booleans(),
    side_by_side=st.booleans(),
    turned=st.booleans(),
    start=st.sampled_from(("set", "first", "add", "bias")),
    dtype=st.sampled_from((np.float32, np.float64)),
    data=st.data(),
)
def test_nests_of_rows_and_sums_are_contracted_exactly_in_any_part(
    rows, sums, columns, a_strides, b_order, joined, side_by_side, turned, start, dtype, data
):
    first = data.draw(st.integers(0, np.prod(rows)))
    last = data.draw(st.integers(first, np.prod(rows)))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    if joined:  # the middle contracted index goes on where the innermost ends
        a_strides = (*a_strides[:4], a_strides[5] * sums[2], a_strides[5])
    if side_by_side:
        a_strides = (*a_strides[:2], 1, *a_strides[3:])
    shape = (*rows, *sums)
    a0, size = placed(a_strides, tuple(max(n, 1) for n in shape))
    a = np.append(random.integers(-4, 5, size), np.full(LANES, np.nan)).astype(dtype)
    view = np.lib.stride_tricks.as_strided(a[a0:], shape, [s * a.itemsize for s in a_strides])
    values = random.integers(-4, 5, (*sums, columns)).astype(dtype)
    b, b_strides = laid_out(values[::-1] if turned else values, b_order)
    b0 = b_strides[0] * (sums[0] - 1) if turned and sums[0] else 0
    b_strides = [-b_strides[0] if turned else b_strides[0], *b_strides[1:]]
    bias = random.integers(-4, 5, columns).astype(dtype)
    c = random.integers(-4, 5, (*rows, columns)).astype(dtype)
    want = np.tensordot(view, values, 3) + {"set": 0, "first": 0, "add": c, "bias": bias}[start]
    whole, got = want.reshape(-1, columns), c.copy()
    steps = tuple(s // c.itemsize for s in c.strides[:3])
    call = {"set": _nest, "first": _nest_add, "add": _nest_add, "bias": _nest_bias}[start]
    more = {"bias": (np.concatenate([bias[:1], bias]),), "first": (False,), "add": (True,)}.get(start, ())
    if not b.size:
        b = np.zeros(1, dtype)
    call(first, last, rows, columns, sums, a, a0, a_strides[:3], a_strides[3:], b, b0, tuple(b_strides[:3]), b_strides[3],
         got, 0, steps, np.full(SCRATCH, np.nan, dtype), *more)  # fmt: skip
    flat = c.reshape(-1, columns).copy()
    flat[first:last] = whole[first:last]
    np.testing.assert_array_equal(got.reshape(-1, columns), flat)


# Planes --------------------------------------------------------------------------------------------------------------


@njit
def _border(box, a, planes, place, rows, columns, channels, low, high, left, wide, apart):
    strip = border(box, a, planes, place, rows, columns, channels, low, high, left, wide, apart)
    return strip.ctypes.data


@settings(max_examples=200, deadline=None)
@given(
    planes=small,
    rows=st.integers(1, 5),
    columns=st.integers(1, 3 * LANES),
    channels=st.integers(1, 2 * LANES + 1),
    low=st.integers(-3, 5),
    high=st.integers(1, 6),
    left=st.integers(-4, 3 * LANES + 1) | st.just(0),
    wide=st.integers(1, 3 * LANES + 3) | st.none(),
    by_channels=st.booleans(),
    dtype=st.sampled_from((np.float32, np.float64)),
)
def test_a_box_holds_a_part_of_planes_with_zeros_around_them_in_either_order(
    planes, rows, columns, channels, low, high, left, wide, by_channels, dtype
):
    a = np.arange(1, 1 + planes * rows * columns * channels, dtype=dtype).reshape(planes, rows, columns, channels)
    wide = columns if wide is None else wide
    around = np.pad(a, ((0, 0), (9, 12), (4, 7 * LANES), (0, 0)))
    want = around[:, 9 + low : 9 + low + high, 4 + left : 4 + left + wide]
    want = want.transpose(0, 1, 3, 2) if by_channels else want
    box = np.full(planes * high * wide * channels, np.nan, dtype)
    at = _border(box, a, planes, 0, rows, columns, channels, low, high, left, wide, wide if by_channels else 1)
    if at == box.ctypes.data:
        np.testing.assert_array_equal(box, want.ravel())
    else:  # what is wanted lies in a already, one row after the other
        first = (at - a.ctypes.data) // a.itemsize
        np.testing.assert_array_equal(a.ravel()[first : first + want.size], want.ravel())
        assert (left, wide) == (0, columns) and not (by_channels and wide > 1)
