"""Costs recovered from sensitivities by integration. The oracles are costs that were worked out by hand; all checks are exact."""

import pytest
import sympy as sp

from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose
from derive.calculus.recovery import NoCost, Sensitivity, generalised, is_zero, minus_gradient, recovered
from derive.forward.linear import linear
from derive.forward.logistic import logistic
from derive.forward.logistic_cross_entropy import logistic_cross_entropy
from derive.forward.quadratic import quadratic
from derive.forward.tanh import hyperbolic_tangent

KINDS = {"cross-entropy": logistic_cross_entropy, "half the squared error": quadratic}
CROSS_ENTROPY, SQUARED = KINDS
t, u, a, b, y, v, s = sp.symbols("t u a b y v s", real=True)
k = sp.symbols("k", positive=True)
half, log, exp = sp.Rational(1, 2), sp.log, sp.exp


def sigma(x):
    return 1 / (1 + exp(-x))


def one(delta, value):
    (found,) = recovered([Sensitivity(delta, t, a, value)], KINDS)
    return found


def vanishes(e):
    """An oracle of its own for expressions in a and b: every logarithm a plain symbol."""
    e = sp.expand(e.replace(sp.log, lambda x: sp.expand_log(sp.log(sp.factor(x)), force=True)))
    return sp.simplify(e.xreplace({x: sp.Dummy() for x in e.atoms(sp.log)})) == 0


def cross_entropy(target, output):
    return -target * log(output) - (1 - target) * log(1 - output)


# Known costs come back


@pytest.mark.parametrize(
    ("delta", "value", "kind", "weight", "target", "cost"),
    [
        (y - a, sigma(t), CROSS_ENTROPY, 1, y, cross_entropy(y, a)),
        (k * (y - a), sigma(t), CROSS_ENTROPY, k, y, k * cross_entropy(y, a)),
        (1 - a, sigma(t), CROSS_ENTROPY, 1, 1, -log(a)),
        (-a, sigma(t), CROSS_ENTROPY, 1, 0, -log(1 - a)),
        (3 * (sp.Rational(1, 4) - a), sigma(t), CROSS_ENTROPY, 3, sp.Rational(1, 4), 3 * cross_entropy(half / 2, a)),
        (y - a, t, SQUARED, 1, y, (y - a) ** 2 / 2),
        (y - t, t, SQUARED, 1, y, (y - a) ** 2 / 2),
        (k * (log(k) - a), t, SQUARED, k, log(k), k * (log(k) - a) ** 2 / 2),
        ((y - a) * a * (1 - a), sigma(t), SQUARED, 1, y, (y - a) ** 2 / 2),
        (2 * (y - a) * (1 - a**2), sp.tanh(t), SQUARED, 2, y, (y - a) ** 2),
        (2 * (y - a), 2 * t, SQUARED, 1, y, (y - a) ** 2 / 2),
    ],
)
def test_a_known_cost_is_recovered_with_its_weight_and_target(delta, value, kind, weight, target, cost):
    found = one(delta, value)
    assert (found.kind, found.name) == (kind, kind)
    assert sp.expand(found.weight - weight) == 0 and sp.expand(found.target - target) == 0
    assert vanishes(found.cost - cost)


@pytest.mark.parametrize("layer", [logistic, hyperbolic_tangent, linear], ids=lambda layer: layer.name)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_calculus_derives_of_a_layer_with_a_cost_is_integrated_to_that_cost(layer, kind):
    whole = compose(layer, KINDS[kind])
    bars = adjoint(whole.equations, {"C"}, declared=whole.declared())
    delta = bars["z"].target
    for equation in reversed(bars.values()):
        delta = delta.xreplace({equation.target: equation.expression()})
    delta = delta.xreplace({x: sp.S.One for x in delta.atoms(sp.Indexed) if x.base.name == "delta_C"})
    (raw,), (target,) = layer.inputs, whole.targets
    of = Sensitivity(-delta, raw, layer.outputs[0], layer.equations[0].expression())
    if kind == CROSS_ENTROPY and layer is not logistic:  # whose outputs may be 0 or less
        with pytest.raises(NoCost, match=r"infinite, or none, where a\[n, j\].* = 0, which an output may be"):
            recovered([of], KINDS)
        return
    (found,) = recovered([of], KINDS)
    assert (found.kind, found.weight, found.target) == (kind, 1, target)


@pytest.mark.parametrize(
    ("delta", "value", "cost", "at"),
    [
        (y - a, exp(t), a - y * log(a) - y + y * log(y), y),  # of counts (Poisson), with a logarithmic link
        (
            y - a,  # of targets between -1 and 1: the cross-entropy of (1 + a) / 2 without the entropy of (1 + y) / 2
            sp.tanh(t),
            cross_entropy((1 + y) / 2, (1 + a) / 2) - cross_entropy((1 + y) / 2, (1 + y) / 2),
            y,
        ),
        ((y - a) ** 3, t, (a - y) ** 4 / 4, y),
        ((y - a) / (1 + (y - a) ** 2), t, log(1 + (y - a) ** 2) / 2, y),  # Cauchy
        (-exp(a), t, exp(a), None),
        (sp.S.One, t, -a, None),
        (-log(a), exp(t), log(a) ** 2 / 2, None),
    ],
)
def test_another_cost_is_recovered_too_with_zero_as_its_least_value(delta, value, cost, at):
    found = one(delta, value)
    assert found.kind is None and vanishes(found.cost - cost)
    assert found.at == at and found.least == (None if at is None else 0)


def test_a_sensitivity_in_the_raw_input_is_integrated_over_its_output():
    found = one(y - t, sigma(t))
    assert vanishes(found.cost.xreplace({a: k / (1 + k)}) - log(k) ** 2 / 2 + y * log(k))  # k = exp(t)


def test_no_sensitivity_is_no_cost():
    found = one(sp.S.Zero, sigma(t))
    assert (found.cost, found.kind, found.weight, found.target) == (0, None, 0, None)


def test_every_step_stands_in_what_is_recovered():
    found = one(k * (y - a), sigma(t))
    assert is_zero(found.slope - a * (1 - a))
    assert is_zero(found.integrand - k * (a - y) / (a * (1 - a)))
    assert is_zero(minus_gradient(found.cost, found.of).xreplace({a: sigma(t)}) - k * (y - sigma(t)))


def test_the_least_cross_entropy_is_the_entropy_of_the_target_and_the_least_squared_error_is_none():
    found = one(k * (y - a), sigma(t))
    assert found.at == y and vanishes(found.least - k * cross_entropy(y, y))
    assert one(1 - a, sigma(t)).least == one(-a, sigma(t)).least == one(y - a, t).least == 0


def test_a_target_and_a_weight_get_names_where_they_are_no_numbers():
    found = generalised(one(k * (log(k) - 2 - a), sigma(t)), KINDS, y, s)
    assert (found.weight, found.target) == (s, y) and vanishes(found.cost - s * cross_entropy(y, a))
    found = generalised(one(1 - a, sigma(t)), KINDS, y, s)
    assert (found.weight, found.target) == (1, 1)
    assert generalised(one(y - a, exp(t)), KINDS, y, s).kind is None


# What is changed changes the cost


@pytest.mark.parametrize(
    ("delta", "value", "name", "cost"),
    [
        (a - y, sigma(t), f"minus {CROSS_ENTROPY}", -cross_entropy(y, a)),
        (k * (a - y), t, f"minus {SQUARED}", -k * (y - a) ** 2 / 2),
        ((y - a) * a * (1 - a), sigma(t), SQUARED, (y - a) ** 2 / 2),  # with a factor that belongs to the squared error
        ((y - a) * (1 - a), sigma(t), None, None),
        (y - a, sp.tanh(t), None, None),
    ],
)
def test_another_sign_or_factor_is_another_cost(delta, value, name, cost):
    found = one(delta, value)
    assert found.name == name
    assert cost is None or vanishes(found.cost - cost)
    assert is_zero((minus_gradient(found.cost, found.of) - delta).xreplace({a: value}))


# Several at once


def two(first, second, value=lambda x: x):
    return recovered([Sensitivity(first, t, a, value(t)), Sensitivity(second, u, b, value(u))], KINDS)


def test_sensitivities_of_their_own_outputs_are_the_gradient_of_a_sum():
    first, second = two(y - a, k * (v - b), sigma)
    assert (first.kind, second.kind, second.weight) == (CROSS_ENTROPY, CROSS_ENTROPY, k)


@pytest.mark.parametrize("value", [lambda x: x, sigma, sp.tanh], ids=["linear", "logistic", "tanh"])
def test_sensitivities_whose_mixed_derivatives_differ_are_no_gradient(value):
    for first, second in ((y - b, v - b), (y - a - 2 * b, v - b - a), (b, -a)):
        with pytest.raises(
            NoCost, match="it is no gradient: of the sensitivity of t, the derivative by u is .*; of that of u"
        ):
            two(first, second, value)


def test_swapped_logistic_outputs_are_no_gradient_since_their_slopes_differ():
    with pytest.raises(NoCost, match="no gradient"):
        two(y - b, v - a, sigma)
    assert two(y - b, v - a)  # of linear ones the gradient of a saddle


@pytest.mark.parametrize(
    ("first", "second", "cost"),
    [
        (y - a - b, y - a - b, (y - a - b) ** 2 / 2),
        (y - b, v - a, a * b - y * a - v * b),
        (-2 * a * b**2, -2 * a**2 * b, a**2 * b**2),
    ],
)
def test_coupled_sensitivities_with_equal_mixed_derivatives_have_a_cost(first, second, cost):
    found = sum(term.cost for term in two(first, second))
    gap = sp.expand(found - cost)
    assert not gap.has(a, b)  # but for a constant


# What has no cost is refused


@pytest.mark.parametrize(
    ("delta", "value", "why"),
    [
        (exp(a**2), t, r"the integral of -exp\(a\*\*2\) over a has no closed form"),
        (y - a, sp.Max(t, 0), "is no smooth function of t"),
        (y - a, sp.S(2), "is no smooth function of t"),
        (y - a, sp.Piecewise((t, t > 0), (t / 10, True)), "is no smooth function of t"),
        (1 / (a - y), t, "infinite, or none, where -a \\+ y = 0, which an output may be"),
        (1 / (4 * a - 3), sigma(t), "infinite, or none, where 4\\*a - 3 = 0, which an output may be"),
        ((y - a) / (a * (1 - a)), t, "where a.* = 0, which an output may be"),
        (1 / (a * (1 - a)), sp.tanh(t), "where a.* = 0, which an output may be"),
        (log(a), t, "where a = 0, which an output may be"),
        (exp(1 / a) / a**2, t, "where a = 0, which an output may be"),
        (sp.sqrt(a), t, "where a = 0, which an output may be"),
        (sp.sqrt(a - 2), sigma(t), "is not sure to be a real number"),
        (1 / (exp(a) - s), t, "which an output may be"),
        (y - a, 1 / t, "is no smooth function of t"),
        (y - t, t**2, r"t cannot be written in terms of a = t\*\*2"),
    ],
)
def test_what_has_no_cost_is_refused_with_the_reason(delta, value, why):
    with pytest.raises(NoCost, match=why):
        one(delta, value)


def test_a_pole_where_no_output_is_leaves_the_cost_a_real_number_at_every_output():
    found = one(1 / (a - 2), sigma(t))
    assert is_zero(sp.diff(found.cost, a) + 1 / ((a - 2) * a * (1 - a)))
    assert found.cost.xreplace({a: half}).is_real


@pytest.mark.parametrize(
    ("e", "zero"),
    [
        (exp(t) * exp(-t) - 1, True),
        (sigma(t) * (1 - sigma(t)) - exp(-t) / (1 + exp(-t)) ** 2, True),
        (log(1 / (1 + exp(-t))) + log(1 + exp(-t)), True),
        (sp.tanh(t) - (exp(2 * t) - 1) / (exp(2 * t) + 1), True),
        (k * log(a**2 + 1) / k - log(a**2 + 1), True),
        (sigma(t) + sigma(-t), False),
        (log(k) - log(2 * k), False),
        (sp.S(1) / 10**40, False),
    ],
)
def test_zero_is_told_by_exact_algebra(e, zero):
    assert is_zero(e) == zero
