"""Activations: their slopes at kinks are Darknet's, their stable forms are equal to what they stand for."""

import math
from fractions import Fraction
from functools import cache

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Arithmetic, evaluate

from derive.calculus.derivation import derive
from derive.calculus.system import System
from derive.generate import own_systems
from derive.notation import cases, erf, exp, floor, indices, log, otherwise, system, tanh, tensors

n, j = indices("n j")
z, a = tensors("z a")
delta_a = tensors("delta_a")[n, j]
SYSTEMS = own_systems()
TENTH, HUNDREDTH, THOUSANDTH, EIGHTH = (Fraction(1, p) for p in (10, 100, 1000, 8))

# What Darknet's src/activations.h computes: the value of an input, and the slope, of the output, as is its custom.
DARKNET = {
    "relu": (lambda x: x * (x > 0), lambda y: y > 0),
    "leaky": (lambda x: x if x > 0 else TENTH * x, lambda y: 1 if y > 0 else TENTH),
    "relie": (lambda x: x if x > 0 else HUNDREDTH * x, lambda y: 1 if y > 0 else HUNDREDTH),
    "ramp": (lambda x: x * (x > 0) + TENTH * x, lambda y: (y > 0) + TENTH),
    "plse": (
        lambda x: HUNDREDTH * (x + 4) if x < -4 else HUNDREDTH * (x - 4) + 1 if x > 4 else EIGHTH * x + Fraction(1, 2),
        lambda y: HUNDREDTH if y < 0 or y > 1 else EIGHTH,
    ),
    "lhtan": (
        lambda x: THOUSANDTH * x if x < 0 else THOUSANDTH * (x - 1) + 1 if x > 1 else x,
        lambda y: 1 if 0 < y < 1 else THOUSANDTH,
    ),
    "hardtanh": (lambda x: -1 if x < -1 else 1 if x > 1 else x, lambda y: 1 if -1 < y < 1 else 0),
    "stair": (
        lambda x: math.floor(x / 2) + (0 if math.floor(x) % 2 == 0 else x - math.floor(x)),
        lambda y: 0 if math.floor(y) == y else 1,
    ),
}


derived = cache(lambda name: derive(SYSTEMS[name]))
derived_form = cache(lambda form: derive(made_of(FORMS[form](z[n, j]))))


def exactly(x: Fraction) -> sp.Rational:
    """The number as SymPy has it."""
    return sp.Rational(x.numerator, x.denominator)


def made_of(definition: sp.Expr, **more) -> System:
    with system("made_here", inputs=[z[n, j]], outputs=[a[n, j]], **more) as made:
        made.a[n, j] = definition
    return made


@pytest.mark.parametrize("name", DARKNET)
@given(st.integers(-9, 9).map(Fraction) | st.fractions(-9, 9, max_denominator=64) | st.fractions(-1000, 1000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_values_and_slopes_are_darknets_also_at_the_kinks(name, x):
    derivation = derived(name)
    value, slope = DARKNET[name]
    at = {z[n, j]: exactly(x), delta_a: 1}
    (forward,), (backward,) = derivation.defined, derivation.closed
    assert forward.expression().subs(at) == exactly(Fraction(value(x)))
    assert backward.expression().subs(at) == exactly(Fraction(slope(value(x))))


def test_the_slope_of_selu_at_zero_is_that_on_the_right():
    (found,) = derive(SYSTEMS["selu"]).closed
    assert found.expression().subs({z[n, j]: 0, a[n, j]: 0}).has(sp.Symbol("scale", real=True))
    assert not found.expression().subs({z[n, j]: 0, a[n, j]: 0}).has(sp.Symbol("alpha", real=True))


def test_the_slope_of_loggy_is_found_in_terms_of_its_output():
    (found,) = derive(SYSTEMS["loggy"]).closed
    assert sp.expand(found.expression() - (1 - a[n, j] ** 2) / 2 * delta_a) == 0


def test_the_slope_of_floor_is_zero():
    x = z[n, j]
    for definition, slope in ((x * floor(x / 2), floor(x / 2)), (x - floor(floor(x) / 2) ** 2, 1)):
        (found,) = derive(made_of(definition)).closed
        assert sp.simplify(found.expression() / delta_a - slope) == 0


# Stable forms ---------------------------------------------------------------------------------------------------------

FORMS = {
    "mish": lambda x: x * tanh(log(1 + exp(x))),
    "tanh of a logarithm": lambda x: tanh(log(2 + exp(-x) / 3)),
    "swish": lambda x: x / (1 + exp(-3 * x)),
    "two powers beside an exponential": lambda x: (x**2 * exp(x) + 3 * x + 1) / (1 + exp(x)) ** 2,
    "normal distribution": lambda x: (1 + erf(x)) / 2,
    "its tail": lambda x: 3 - 3 * erf(x / 2) + x,
    "gelu": lambda x: x * (1 + erf(x / sp.sqrt(2))) / 2,
    "error function alone": lambda x: erf(x) + 2,
    "a straight line": lambda x: cases((x / 100 + sp.Rational(1, 25), x < -4), (x / 3 - 1, otherwise)),
}
exact = Arithmetic(mpmath, lambda x: mpmath.mpf(str(x.n(210))) if isinstance(x, sp.Basic) else mpmath.mpf(x))


@pytest.mark.parametrize("form", FORMS)
@given(st.floats(-12, 12))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_stable_form_is_equal_to_what_it_stands_for(form, x):
    derivation = derived_form(form)
    with mpmath.workdps(200):  # so many that nothing is lost in the definition either
        known = {"z": {(0, 0): mpmath.mpf(x)}, "a": {}, "delta_a": {(0, 0): mpmath.mpf(1)}}
        sizes = {"N": 1, "J": 1}
        plain = evaluate([*derivation.defined, *derivation.adjoints], known, sizes, exact)
        stable = evaluate([*derivation.forward, *derivation.backward], known, sizes, exact)
        for name in ("a", "delta_z"):
            ours, theirs = stable[name][0, 0], plain[name][0, 0]
            assert abs(ours - theirs) <= mpmath.mpf(10) ** -50 * abs(theirs), (name, ours, theirs)


@pytest.mark.parametrize("x", [-1e300, -1e4, -700.0, 0.0, 700.0, 1e4, 1e300])
@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"two powers beside an exponential"}))
def test_a_stable_form_is_finite_however_large_its_input(form, x):
    derivation = derived_form(form)
    known = {"z": {(0, 0): x}, "delta_a": {(0, 0): 1.0}}
    found = evaluate([*derivation.forward, *derivation.backward], known, {"N": 1, "J": 1})  # by math, which raises
    assert math.isfinite(found["a"][0, 0]) and math.isfinite(found["delta_z"][0, 0])
