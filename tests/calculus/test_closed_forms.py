"""The textbook results are found from the definitions alone, exactly and for symbolic sizes."""

import pytest
import sympy as sp

from derive.calculus.derivation import compose, derive, has_pole
from derive.calculus.simplify import in_output
from derive.calculus.system import System
from derive.generate import own_systems
from derive.notation import Sum, cases, exp, indices, otherwise, size_of, sqrt, system, tanh, tensors

n, j, k, m, c = indices("n j k m c")
a, z, w, b, t, y, C = tensors("a z w b t y C")
delta_a, delta_z = tensors("delta_a delta_z")
SYSTEMS = own_systems()
N = size_of(n)


def backward(name: str) -> dict[str, sp.Expr]:
    """The closed backward equations of a definition, or of layer+cost, by tensor."""
    parts = [SYSTEMS[part] for part in name.split("+")]
    whole = parts[0] if len(parts) == 1 else compose(*parts)
    objective = SYSTEMS["objective"] if parts[-1].kind == "cost" else None
    return {e.name: e.expression() for e in derive(whole, objective).closed}


def elementwise(definition: sp.Expr) -> System:
    """A system of one elementwise equation, stated here and known to nothing else."""
    with system("made_here", inputs=[z[n, j]], outputs=[a[n, j]]) as made:
        made.a[n, j] = definition
    return made


def assert_equal(found: sp.Expr, expected: sp.Expr) -> None:
    assert sp.simplify(found - expected) == 0, f"{found} is not {expected}"


def test_the_slope_of_the_logistic_function_is_found_in_terms_of_its_output():
    assert_equal(backward("logistic")["delta_z"], a[n, j] * (1 - a[n, j]) * delta_a[n, j])
    assert z not in {x.base for x in backward("logistic")["delta_z"].atoms(sp.Indexed)}


def test_the_slope_of_tanh_is_found_in_terms_of_its_output():
    assert_equal(backward("tanh")["delta_z"], (1 - a[n, j] ** 2) * delta_a[n, j])


@pytest.mark.parametrize(
    ("definition", "slope"),
    [
        (1 / (1 + exp(-2 * z[n, j])), 2 * a[n, j] * (1 - a[n, j])),
        (3 / (1 + exp(-z[n, j])) - 1, (1 + a[n, j]) * (2 - a[n, j]) / 3),
        (exp(z[n, j]), a[n, j]),
        (2 * tanh(z[n, j] / 2), 1 - a[n, j] ** 2 / 4),
    ],
)
def test_slopes_in_terms_of_the_output_are_searched_for_and_not_looked_up(definition, slope):
    found = {e.name: e.expression() for e in derive(elementwise(definition)).closed}["delta_z"]
    assert_equal(found.rewrite(exp), (slope * delta_a[n, j]).rewrite(exp))
    assert z not in {x.base for x in found.atoms(sp.Indexed)}


def test_a_slope_that_no_polynomial_in_the_output_gives_is_left_as_it_is():
    value, slope = sp.log(1 + exp(z[n, j])), exp(z[n, j]) / (1 + exp(z[n, j]))
    assert in_output(value, slope, a[n, j]) == slope


def test_logistic_and_cross_entropy_give_output_minus_target():
    assert_equal(backward("logistic+logistic_cross_entropy")["delta_z"], (a[n, j] - t[n, j]) / N)


def test_softmax_and_cross_entropy_give_output_minus_target():
    assert_equal(backward("softmax+softmax_cross_entropy")["delta_z"], (a[n, j] - t[n, j]) / N)


def test_softmax_and_cross_entropy_use_that_targets_add_up_to_one_only_where_it_is_given():
    cost = SYSTEMS["softmax_cross_entropy"]
    free = System(**{**cost.__dict__, "given": ()})
    found = {e.name: e.expression() for e in derive(compose(SYSTEMS["softmax"], free), SYSTEMS["objective"]).closed}
    assert found["delta_z"].has(a[n, j] * t[n, j]) or len(found) > 1  # the sum of the targets is still there


def test_softmax_sends_back_its_output_times_the_sensitivity_less_its_mean():
    found = backward("softmax")
    (total,) = [name for name in found if name != "delta_z"]
    assert_equal(found["delta_z"], a[n, j] * (delta_a[n, j] - sp.IndexedBase(total, real=True)[n]))


def test_the_gradient_of_the_dense_layer_is_the_textbooks():
    found = backward("dense")
    assert found["nabla_b"] == sp.Sum(delta_z[n, j], (n, 0, size_of(n) - 1))
    assert found["nabla_w"] == sp.Sum(a[n, k] * delta_z[n, j], (n, 0, size_of(n) - 1))
    assert found["delta_a"] == sp.Sum(w[j, k] * delta_z[n, j], (j, 0, size_of(j) - 1))


def test_a_changed_definition_changes_what_is_derived():
    with system("squared", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[z[n, j]]) as squared:
        squared.z[n, j] = Sum(w[j, k] ** 2 * a[n, k], k) + b[j]
    found = {e.name: e.expression() for e in derive(squared).closed}
    assert_equal(found["nabla_w"].doit(), sp.Sum(2 * w[j, k] * a[n, k] * delta_z[n, j], (n, 0, size_of(n) - 1)).doit())
    assert found["delta_a"] == sp.Sum(w[j, k] ** 2 * delta_z[n, j], (j, 0, size_of(j) - 1))


def test_only_pairs_whose_pole_cancels_are_taken_together():
    objective = SYSTEMS["objective"]
    taken = set()
    for layer in ("logistic", "softmax", "tanh", "relu", "linear"):
        for cost in ("quadratic", "logistic_cross_entropy", "softmax_cross_entropy"):
            pair = derive(compose(SYSTEMS[layer], SYSTEMS[cost]), objective)
            if has_pole(derive(SYSTEMS[cost], objective), "delta_a") and not has_pole(pair, "delta_z"):
                taken.add((layer, cost))
    assert taken == {
        ("logistic", "logistic_cross_entropy"),
        ("logistic", "softmax_cross_entropy"),
        ("softmax", "softmax_cross_entropy"),
    }


def test_batch_normalisation_is_derived_for_a_symbolic_batch_and_uses_that_deviations_add_up_to_nothing():
    gamma, beta, epsilon = *tensors("gamma beta"), sp.Symbol("epsilon", positive=True)
    with system("bn", inputs=[z[m, c]], parameters=[gamma[c], beta[c]], outputs=[y[m, c]], settings={epsilon: 1}) as bn:
        bn.mu[c] = Sum(z[m, c], m) / size_of(m)
        bn.var[c] = Sum((z[m, c] - bn.mu[c]) ** 2, m) / size_of(m)
        bn.hat[m, c] = (z[m, c] - bn.mu[c]) / sqrt(bn.var[c] + epsilon)
        bn.y[m, c] = gamma[c] * bn.hat[m, c] + beta[c]
    found = derive(bn).closed
    summed = [t.body for e in found for t in e.terms if t.over]
    assert not any(
        body == z[body.indices] for body in summed if isinstance(body, sp.Indexed)
    )  # the sum of z is M mu, known from the forward equation
    assert {"nabla_gamma", "nabla_beta", "delta_z"} <= {e.name for e in found}


def test_a_case_distinction_is_differentiated_branch_by_branch():
    leaky = elementwise(cases((z[n, j], z[n, j] > 0), (z[n, j] / 10, otherwise)))
    found = {e.name: e.expression() for e in derive(leaky).closed}["delta_z"]
    assert found.subs(z[n, j], 2) == delta_a[n, j]
    assert found.subs(z[n, j], -2) == delta_a[n, j] / 10
    assert found.subs(z[n, j], 0) == delta_a[n, j] / 10
