"""The transforms of minimal filtering: exact over fractions, compiled beside NumPy, their rounding errors beside the model."""

import re
from fractions import Fraction
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import from_dtype, njit

from derive.calculus.filtering import filtering, interpolated
from derive.lowering.filtering import FILTERINGS as PAIRS
from derive.lowering.filtering import transforms
from derive.lowering.rounding import rounding
from generated import native
from generated.filtered import Filtering, Rounding, fma, times
from generated.filtering import FILTERINGS
from generated.lanes import lanes_of

NAMES = ("data", "filters", "outputs", "sensitivities", "gradients")
REQUIRED = [(2, 3), (4, 3), (6, 3), (2, 5), (3, 2), (2, 2)]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "filtering.md"
FRACTIONS = st.fractions(-9, 9, max_denominator=9)


def matrices(f: Filtering) -> dict[str, tuple]:
    return {t.name: t.matrix for t in transforms(filtering(f.m, f.r))}


def test_all_that_is_to_be_generated_is_there():
    assert set(FILTERINGS) == set(PAIRS) >= {*REQUIRED, (1, 1)}
    for (m, r), f in FILTERINGS.items():
        assert (f.m, f.r, f.n) == (m, r, m + r - 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", FILTERINGS)
def test_each_transform_of_unit_vectors_is_its_matrix(pair, name):
    matrix = matrices(FILTERINGS[pair])[name]
    for k in range(len(matrix[0])):
        unit = tuple(Fraction(i == k) for i in range(len(matrix[0])))
        assert getattr(FILTERINGS[pair], name)(unit) == tuple(row[k] for row in matrix)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", FILTERINGS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_transform_of_fractions_is_exactly_the_product_with_its_matrix(pair, name, data):
    matrix = matrices(FILTERINGS[pair])[name]
    size = len(matrix[0])
    x = tuple(data.draw(st.lists(FRACTIONS, min_size=size, max_size=size)))
    wanted = tuple(sum(c * value for c, value in zip(row, x, strict=True)) for row in matrix)
    assert getattr(FILTERINGS[pair], name)(x) == wanted


@pytest.mark.parametrize("pair", FILTERINGS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_together_they_are_the_correlation_and_its_gradient(pair, data):
    f = FILTERINGS[pair]
    d, g, delta = (tuple(data.draw(st.lists(FRACTIONS, min_size=size, max_size=size))) for size in (f.n, f.r, f.m))
    v = f.data(d)
    y = f.outputs(tuple(a * b for a, b in zip(f.filters(g), v, strict=True)))
    assert y == tuple(sum(g[j] * d[k + j] for j in range(f.r)) for k in range(f.m))
    gradient = f.gradients(tuple(a * b for a, b in zip(f.sensitivities(delta), v, strict=True)))
    assert gradient == tuple(sum(delta[k] * d[k + j] for k in range(f.m)) for j in range(f.r))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", FILTERINGS)
def test_the_docstring_has_the_matrix(pair, name):
    lines = getattr(FILTERINGS[pair], name).__doc__.splitlines()[2:]
    written = [tuple(map(Fraction, line.split())) for line in lines if line.strip()]
    assert tuple(written) == matrices(FILTERINGS[pair])[name]


# Compiled ------------------------------------------------------------------------------------------------------------


def compiled(f: Filtering, loop):
    """A function that applies all five transforms along the first axis of their arrays, over `loop` of the second one."""
    lines = ["def function(" + ", ".join(f"{name}_in, {name}_out" for name in NAMES) + "):"]
    for name, matrix in matrices(f).items():
        lines.append(f"    for c in loop({name}_in.shape[1]):")
        lines.append(f"        made = {name}(({' '.join(f'{name}_in[{k}, c],' for k in range(len(matrix[0])))}))")
        lines += [f"        {name}_out[{k}, c] = made[{k}]" for k in range(len(matrix))]
    scope = {name: njit(forceinline=True, **native.OPTIONS)(getattr(f, name)) for name in NAMES} | {"loop": loop}
    exec("\n".join(lines), scope)
    return njit(**native.OPTIONS)(scope["function"])


def arrays(f: Filtering, dtype) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each transform reads, drawn, and room for what it writes."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.standard_normal((len(matrix[0]), 37)).astype(dtype), np.empty((len(matrix), 37), dtype))
        for name, matrix in matrices(f).items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair", FILTERINGS)
def test_compiled_for_vectors_and_numbers_each_is_the_product_with_its_matrix_to_the_same_bits(pair, dtype):
    f, eps = FILTERINGS[pair], np.finfo(dtype).eps
    results = []
    for loop in (lanes_of(8), range):
        function, slots = compiled(f, loop), arrays(f, dtype)
        function(*(array for both in slots.values() for array in both))
        results.append({name: made for name, (_, made) in slots.items()})
        for name, (given_, made) in slots.items():
            matrix = np.array([[float(c) for c in row] for row in matrices(f)[name]])
            # Each of at most n + 1 roundings is relative to no more than the sum of the products' sizes, twice at worst.
            bound = 2 * (f.n + 1) * eps * (abs(matrix) @ abs(given_.astype(np.float64)))
            assert (abs(made - matrix @ given_.astype(np.float64)) <= bound).all()
        code = next(iter(function.inspect_llvm().values()))
        if dtype is np.float32:
            assert not re.search(r"\bdouble\b", code)
        else:
            assert not re.search(r"\bfloat\b", code)
    for name in NAMES:
        assert results[0][name].tobytes() == results[1][name].tobytes()


@njit
def _helpers(x, y):
    return fma(3, x, y), fma((-1, 3), x, y), times((1, 3), x), times(-5, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_are_of_the_numbers_own_dtype_and_rounded_once(dtype):
    x, y, third = dtype(1.1), dtype(0.3), dtype(1) / dtype(3)
    found = _helpers(x, y)
    assert _helpers.nopython_signatures[-1].return_type.dtype == from_dtype(np.dtype(dtype))
    exact = [Fraction(float(c)) * Fraction(float(x)) + Fraction(float(y)) for c in (3, -third)]
    assert found == (dtype(float(exact[0])), dtype(float(exact[1])), x * third, x * dtype(-5))


def table(first: str) -> dict[str, list[str]]:
    """The rows of a table of docs/filtering.md, by their first cells."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first}"))
    rows = [line.strip("| ").split(" | ") for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :])]
    return {name: cells for name, *cells in rows}


def test_the_documented_operations_are_those_of_the_functions():
    found = table("| data")
    assert set(found) == {f"F({m}, {r})" for m, r in REQUIRED}
    for m, r in REQUIRED:
        assert found[f"F({m}, {r})"] == [str(len(t.program)) for t in transforms(filtering(m, r))]


# Rounding errors -----------------------------------------------------------------------------------------------------


def test_the_roundings_are_those_that_were_derived():
    for (m, r), f in FILTERINGS.items():
        for written, derived in zip((f.rounding, f.rounding_gradients), rounding(filtering(m, r)), strict=True):
            for name in ("taps", "sums", "transforms"):
                assert abs(getattr(written, name) - float(getattr(derived, name))) < 1e-4


def test_growth_for_many_channels_is_what_growth_for_more_and_more_tends_to():
    for f in FILTERINGS.values():
        for one in (f.rounding, f.rounding.nested(f.rounding), f.rounding_gradients):
            found = [one.growth(c) for c in (1, 10, 100, 1e4, 1e12)]
            assert found == sorted(found, reverse=True) and abs(found[-1] - one.growth()) < 1e-4
        assert (f.growth, f.growth_2d) == (f.rounding.growth(), f.rounding.nested(f.rounding).growth())
        assert abs(f.growth_2d - f.growth**2) < 1e-9


def test_nested_with_one_tap_nothing_changes():
    one, other = FILTERINGS[1, 1].rounding, FILTERINGS[4, 3].rounding
    assert one.nested(other) == other.nested(one) == other and one == Rounding(1, 1, 0)


def test_the_documented_growth_is_the_models():
    found = table("two dimensions")
    usual = interpolated(4, 3, tuple(map(Fraction, (0, 1, -1, 2, -2))))
    named = {f"F({m}x{m}, {r}x{r})": filtering(m, r) for m, r in ((2, 3), (2, 5), (4, 3), (6, 3))}
    named["F(4x4, 3x3) at 0, +-1, +-2"] = usual
    assert set(found) == set(named)
    for name, f in named.items():
        outputs, gradient = (Rounding(float(x.taps), float(x.sums), float(x.transforms)) for x in rounding(f))
        outputs, gradient = outputs.nested(outputs), gradient.nested(gradient)
        growths = [*(outputs.growth(c) for c in (1, 4, 16, 64, 256)), outputs.growth(), gradient.growth()]
        assert found[name] == [f"{growth:.2f}" for growth in growths]


def chained(products: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The sum of products as the engine does it in float32: one chain of fused multiply-adds, each rounded once."""
    total = np.zeros(products[0][0].shape, np.float32)
    for a, b in products:  # in float64 the product of two float32 is exact
        total = (total + a.astype(np.float64) * b).astype(np.float32)
    return total


def applied(function, matrix, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """A compiled transform along some axes of an array, one after the other."""
    for axis in axes:
        moved = np.moveaxis(x, axis, 0)
        flat = np.ascontiguousarray(moved.reshape(len(moved), -1))
        made = np.empty((len(matrix), flat.shape[1]), x.dtype)
        function(flat, made)
        x = np.moveaxis(made.reshape(len(matrix), *moved.shape[1:]), 0, axis)
    return x


@pytest.mark.parametrize("gradient", [False, True], ids=["outputs", "gradient"])
@pytest.mark.parametrize("axes", [(-1,), (-2, -1)], ids=["one_dimension", "two_dimensions"])
@pytest.mark.parametrize("pair", [(2, 3), (4, 3), (6, 3), (2, 5)])
def test_the_growth_of_rounding_errors_measured_is_the_models_to_a_fifth(pair, axes, gradient):
    f, rng = FILTERINGS[pair], np.random.default_rng(1)
    names = ("data", "sensitivities", "gradients") if gradient else ("data", "filters", "outputs")
    functions = {}
    for name in names:
        transform, matrix = njit(forceinline=True, **native.OPTIONS)(getattr(f, name)), matrices(f)[name]
        lines = ["def function(x, made):", "    for c in range(x.shape[1]):"]
        lines.append(f"        out = transform(({' '.join(f'x[{k}, c],' for k in range(len(matrix[0])))}))")
        lines += [f"        made[{k}, c] = out[{k}]" for k in range(len(matrix))]
        scope = {"transform": transform}
        exec("\n".join(lines), scope)
        functions[name] = njit(**native.OPTIONS)(scope["function"]), matrix
    taps, results = (f.m, f.r) if gradient else (f.r, f.m)
    rank = len(axes)
    model = f.rounding_gradients if gradient else f.rounding
    model = model.nested(model) if rank == 2 else model
    for addends in (1, 16, 64):
        samples = 20000 // addends // f.n ** (rank - 1)
        d = rng.standard_normal((addends, samples, *[f.n] * rank)).astype(np.float32)
        g = rng.standard_normal((addends, samples, *[taps] * rank)).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(d, [results] * rank, axis=axes)  # [..., tap, ..., output]
        pairs = [(windows[(a, slice(None), *at)], g[(a, slice(None), *at)].reshape(samples, *[1] * rank))
                 for at in np.ndindex(*[taps] * rank) for a in range(addends)]  # fmt: skip
        exact = sum(a.astype(np.float64) * b for a, b in pairs)
        direct = chained([(a, np.broadcast_to(b, a.shape)) for a, b in pairs])
        v, u = (applied(*functions[name], x, axes) for name, x in zip(names[:2], (d, g), strict=True))
        y = applied(*functions[names[2]], chained(list(zip(u, v, strict=True))), axes)
        measured = np.sqrt(np.mean((y - exact) ** 2) / np.mean((direct - exact) ** 2))
        assert 0.8 < measured / model.growth(addends) < 1.2, (addends, measured, model.growth(addends))
