"""Means and squares about them from one pass: equal for every size, and recognised by their form alone."""

import sympy as sp

from derive.audit.judging.equality import equal
from derive.calculus.derivation import derive
from derive.calculus.equation import Equation, size_of, tensors_of
from derive.calculus.statistics import in_one_pass
from derive.calculus.system import System
from derive.forward.batch_norm import batch_norm
from derive.notation import Sum, indices, sqrt, system, tensors

n, m, c, j, p, q = indices("n m c j p q")
x, y, var, w = tensors("x y var w")
M = size_of(m)


def system_of(over: tuple, at: tuple, inside: tuple) -> System:
    """Mean and variance of x over some of its indices, and x normalised."""
    count = sp.Mul(*map(size_of, over))
    with system("statistics", inputs=[x[inside]], outputs=[y[inside]]) as s:
        s.mu[at] = Sum(x[inside], *over) / count
        s.var[at] = Sum((x[inside] - s.mu[at]) ** 2, *over) / count
        s.y[inside] = (x[inside] - s.mu[at]) / sqrt(s.var[at] + 1)
    return s


def put_in(e: sp.Expr, equations: list[Equation]) -> sp.Expr:
    """The expression in terms of what comes in alone."""
    for equation in reversed(equations):
        for one in tensors_of(e):
            if one.base == equation.target.base:
                change = dict(zip(equation.target.indices, one.indices, strict=True))
                fresh = {k: sp.Dummy(k.name, integer=True) for t in equation.terms for k, *_ in t.over}
                right = sp.Add(*(t.map(fresh).expression() for t in equation.terms))
                e = e.xreplace({one: right.xreplace(change)})
    return e.replace(sp.UnevaluatedExpr, lambda inside: inside)


def test_the_variance_from_one_pass_is_the_variance_for_every_size():
    s = system_of((m,), (c,), (m, c))
    rewritten = in_one_pass(s.equations)
    ranges = {c: size_of(c)}
    for name in ("mu", "var"):
        as_defined = put_in(s.declared()[name], s.equations)
        from_one_pass = put_in(s.declared()[name], rewritten)
        assert as_defined != from_one_pass
        assert equal(as_defined, from_one_pass, ranges)


def test_a_wrong_variance_would_not_pass_as_equal():
    s = system_of((m,), (c,), (m, c))
    as_defined = put_in(var[c], s.equations)
    from_one_pass = put_in(var[c], in_one_pass(s.equations))
    assert not equal(as_defined, from_one_pass + x[0, c] ** 2 / M, {c: size_of(c)})


def test_no_sum_waits_for_a_mean_over_the_same_samples():
    rewritten = {e.name: e for e in in_one_pass(system_of((m,), (c,), (m, c)).equations)}
    assert rewritten["mu_shifted"].reads() == {"x", "x_first"}
    assert {one.base.name for one in rewritten["var"].terms[0].operands()} == {"x", "x_first"}
    assert "mu" not in rewritten["y"].reads()


def test_statistics_over_samples_and_places_are_found_as_well():
    s = system_of((n, p, q), (c,), (n, c, p, q))
    rewritten = {e.name: e for e in in_one_pass(s.equations)}
    assert rewritten["x_first"].terms[0].body == x[0, c, 0, 0]
    assert equal(put_in(var[c], s.equations), put_in(var[c], list(rewritten.values())), {c: size_of(c)})


def test_statistics_within_a_sample_stay_two_passes():
    s = system_of((j,), (n,), (n, j))
    assert in_one_pass(s.equations) == s.equations


def test_a_mean_that_nothing_is_compared_with_stays_as_it_is():
    with system("mean", inputs=[x[m, c]], outputs=[y[c]]) as s:
        s.mu[c] = Sum(x[m, c], m) / M
        s.y[c] = s.mu[c] ** 2
    assert in_one_pass(s.equations) == s.equations


def test_differences_of_other_tensors_stay_as_they_are():
    with system("other", inputs=[x[m, c], w[m, c]], outputs=[y[m, c]]) as s:
        s.mu[c] = Sum(x[m, c], m) / M
        s.y[m, c] = w[m, c] - s.mu[c]
    assert in_one_pass(s.equations) == s.equations


def test_batch_normalisation_is_made_from_them():
    forward = {e.name for e in derive(batch_norm).forward}
    assert {"z_first", "mu_shifted", "var"} <= forward
