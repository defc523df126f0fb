"""The functions of generated/functions.py against mpmath at 50 digits."""

import math

import mpmath
import numpy as np
import pytest
from numba import njit

from generated import functions

ULP = {"erf": 2.0, "erfc": 4.0, "exp": 1.0, "expm1": 2.0, "log": 1.0, "log1p": 1.0, "tanh": 1.5}
ENDS = {
    "erf": {-math.inf: -1.0, math.inf: 1.0},
    "erfc": {-math.inf: 2.0, math.inf: 0.0},
    "exp": {-math.inf: 0.0, math.inf: math.inf},
    "expm1": {-math.inf: -1.0, math.inf: math.inf},
    "log": {0.0: -math.inf, math.inf: math.inf},
    "log1p": {-1.0: -math.inf, math.inf: math.inf},
    "tanh": {-math.inf: -1.0, math.inf: 1.0},
}
PEERS = {"erf": np.vectorize(math.erf), "erfc": np.vectorize(math.erfc)}  # what NumPy does not have
FORMATS = (np.float32, np.float64)


def in_a_loop(function):
    @njit
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


LOOPS = {name: in_a_loop(getattr(functions, name)) for name in ULP}


def apply(name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    LOOPS[name](x, y)
    return y


def true_value(name: str, x: float):
    """The value to 50 digits; at the ends of the domain, and beyond them, what IEEE 754 asks for."""
    if x in ENDS[name]:
        return ENDS[name][x]
    if math.isnan(x) or x < min(ENDS[name]):
        return math.nan
    if name in ("erf", "erfc"):
        x = max(-1e3, min(x, 1e3))  # where mpmath's begin to overflow, theirs are as good as constant
    return getattr(mpmath, name)(mpmath.mpf(x))


def samples(name: str, dtype, count: int) -> np.ndarray:
    random, limits = np.random.default_rng(len(name)), np.finfo(dtype)
    word = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    widest = float(np.log(limits.max)) * 1.05
    special = [0.0, -0.0, 1, -1, limits.tiny, -limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal]
    special += [
        limits.max,
        -limits.max,
        np.inf,
        -np.inf,
        np.nan,
        88,
        -88,
        -100,
        1e30,
        -1e30,
        88.72283,
        88.72284,
        -103.97,
    ]
    special += [
        1 - limits.epsneg,
        1 + limits.eps,
        limits.epsneg - 1,
        709.782712893384,
        709.782712893385,
        -745.13,
        -745.14,
    ]
    return np.concatenate(
        [
            random.integers(0, np.iinfo(word).max, count, dtype=word).view(dtype),  # every kind of number
            random.standard_normal(count).astype(dtype),
            random.uniform(-1.2 * widest, widest, count).astype(dtype),  # results from zero to infinity, denormal ones
            (1 + random.uniform(-0.5, 0.5, count)).astype(dtype),
            np.array(special, dtype),
        ]
    )


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", ULP)
def test_value_is_within_its_units_in_the_last_place_of_mpmath(name, dtype):
    limits = np.finfo(dtype)
    x = samples(name, dtype, 2000)
    with mpmath.workdps(50):
        largest = mpmath.mpf(float(limits.max)) * (1 + mpmath.mpf(2) ** (-limits.nmant - 2))
        for at, got in zip(x.tolist(), apply(name, x).tolist(), strict=True):
            want = true_value(name, at)
            if not isinstance(want, mpmath.mpf):
                assert got == want or (math.isnan(got) and math.isnan(want)), (at, got, want)
            elif abs(want) >= largest:
                assert got == math.inf, (at, got)
            else:
                exponent = max(mpmath.frexp(want)[1] - 1, limits.minexp) - limits.nmant
                assert abs(mpmath.mpf(got) - want) <= ULP[name] * mpmath.ldexp(1, int(exponent)), (at, got, want)


@pytest.mark.parametrize("name", ULP)
def test_float32_agrees_with_float64_on_many_bit_patterns(name):
    x = samples(name, np.float32, 100_000)
    with np.errstate(all="ignore"):
        want = PEERS.get(name, getattr(np, name, None))(x.astype(np.float64))
        got, rounded = apply(name, x), want.astype(np.float32)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(got[~finite], rounded[~finite])
        unit = np.abs(np.spacing(rounded[finite].astype(np.float32))).astype(np.float64)
        assert (np.abs(got[finite] - want[finite]) / unit).max() <= 1.01 * ULP[name]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", ULP)
def test_bits_do_not_depend_on_the_place_in_a_loop(name, dtype):
    x = samples(name, dtype, 50)
    alone = np.concatenate([apply(name, x[i : i + 1]) for i in range(x.size)])
    np.testing.assert_array_equal(apply(name, x), alone)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", ULP)
def test_a_loop_is_vectorised(name, dtype):
    LOOPS[name](np.ones(1, dtype), np.ones(1, dtype))
    assembly = LOOPS[name].inspect_llvm(next(s for s in LOOPS[name].signatures if s[0].dtype.name == dtype.__name__))
    kind = {np.float32: "float", np.float64: "double"}[dtype]
    assert f" x {kind}> @llvm.fma.v" in assembly


def test_a_call_from_python_says_what_the_function_is_for():
    with pytest.raises(TypeError, match="exp is for functions that Numba compiles"):
        functions.exp(1.0)
