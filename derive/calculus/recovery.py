"""Costs recovered from sensitivities: by integration, the cost whose negative gradient they are.

The sensitivity of a raw input t stands in terms of its output ``a = f(t)``. From ``-delta = dC/dt = dC/da f'(t)`` the cost
is the integral of ``-delta / f'(t)`` over a, up to what does not depend on a. Several sensitivities are a gradient if their
mixed derivatives agree, ``d delta_i / d t_j = d delta_j / d t_i`` (Poincare's lemma: the raw inputs are any real numbers).
All of it is exact algebra; what cannot be settled is refused, never guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import gcd

import sympy as sp
from sympy.integrals.risch import NonElementaryIntegral, risch_integrate

from derive.calculus.simplify import in_exponential, in_output, signs_inside, simplified
from derive.calculus.system import System

HYPERBOLIC = (sp.tanh, sp.sinh, sp.cosh)
ELEMENTARY = (sp.exp, sp.log, *HYPERBOLIC, sp.atanh, sp.sin, sp.cos, sp.tan, sp.atan)

CORNERS = (sp.Piecewise, sp.Heaviside, sp.sign, sp.floor)


class NoCost(ValueError):
    """Sensitivities that are no gradient, or whose integral has no closed form: says which, and why."""


@dataclass(frozen=True)
class Sensitivity:
    """``delta``: minus the derivative of a cost by ``raw``, in outputs, of which its own is ``output = value``."""

    delta: sp.Expr
    raw: sp.Expr
    output: sp.Expr
    value: sp.Expr  # f(raw)


@dataclass(frozen=True)
class Recovered:
    """What one sensitivity adds to the cost, and how it came about.

    ``kind`` names the cost that it is ``weight`` times of, at a ``target``; None if it is none of them, or nothing at all.
    Its derivative is zero where the output is ``at``, and ``least`` its value there (None where that is not found). A cost of
    a known kind stands in its usual form; of any other the constant is such that ``least`` is zero.
    """

    of: Sensitivity
    slope: sp.Expr  # f'(raw), in the output
    integrand: sp.Expr  # the derivative of the cost by the output
    cost: sp.Expr
    kind: str | None = None
    weight: sp.Expr = sp.S.Zero
    target: sp.Expr | None = None
    at: sp.Expr | None = None
    least: sp.Expr | None = None

    @property
    def name(self) -> str | None:
        """The kind, with the sign of a cost that would have to be raised."""
        return f"minus {self.kind}" if self.kind and self.weight.is_negative else self.kind


def recovered(sensitivities: Sequence[Sensitivity], costs: Mapping[str, System]) -> list[Recovered]:
    """The terms, one for each sensitivity, whose sum has them as its negative gradient.

    ``costs`` are the definitions that a term may turn out to be, by what to call them. Raises NoCost for sensitivities that
    are no gradient, or that have no integral in closed form.
    """
    plain = {x: sp.Dummy(str(x), real=True) for s in sensitivities for x in (s.output, s.raw)}
    back = {d: x for x, d in plain.items()}
    moved = [_Integration(s, plain) for s in sensitivities]
    for one, other in combinations(moved, 2):
        mixed = [a.by(b) for a, b in ((one, other), (other, one))]
        if not is_zero(mixed[0] - mixed[1]):
            x, y = one.of.raw, other.of.raw
            shown = [simplified(m).xreplace(back) for m in mixed]
            raise NoCost(
                f"it is no gradient: of the sensitivity of {x}, the derivative by {y} is {shown[0]}; of that of {y}, the"
                f" derivative by {x} is {shown[1]}"
            )
    total: sp.Expr = sp.S.Zero
    found = []
    for each in moved:
        term = each.integrated(total, costs, [m.a for m in moved if m is not each])
        total += term.cost
        found.append(replace(term, **{k: e.xreplace(back) for k, e in vars(term).items() if isinstance(e, sp.Basic)}))
    whole = sp.Add(*(term.cost for term in found))
    values = {s.output: s.value for s in sensitivities}
    for term in found:
        if not is_zero((minus_gradient(whole, term.of) - term.of.delta).xreplace(values)):
            raise NoCost(f"the integral found for the sensitivity of {term.of.raw} does not have it as its derivative")
    return found


def minus_gradient(cost: sp.Expr, by: Sensitivity) -> sp.Expr:
    """Minus the derivative of a cost by a raw input, through its output, both in terms of the raw input."""
    a, t = sp.Dummy(real=True), sp.Dummy(real=True)
    value = by.value.xreplace({by.raw: t})
    slope = sp.diff(cost.xreplace({by.output: a}), a).xreplace({a: value}) * sp.diff(value, t)
    return -slope.xreplace({t: by.raw})


def generalised(found: Recovered, costs: Mapping[str, System], target: sp.Expr, weight: sp.Expr) -> Recovered:
    """The same with names for a target and a weight that are no numbers; what is of no kind stays as it is."""
    if found.kind is None or found.target is None or (found.target.is_number and found.weight.is_number):
        return found
    t, w = (e if e.is_number else name for e, name in ((found.target, target), (found.weight, weight)))
    a = sp.Dummy(real=True)
    of_one, y = _of_one(costs[found.kind], a)
    slope = sp.diff(w * of_one.xreplace({y: t}), a).xreplace({a: found.of.output})
    delta = sp.factor(sp.cancel(-slope * found.slope))
    if not is_zero(delta.xreplace({target: found.target, weight: found.weight}) - found.of.delta):
        raise NoCost(f"the sensitivity of {found.of.raw} is not that of the {found.kind}")
    return recovered([replace(found.of, delta=signs_inside(delta))], costs)[0]


def is_zero(e: sp.Expr) -> bool:
    """Whether exact algebra shows an expression to be zero: of quotients, of logarithms, of powers of one exponential."""
    e = sp.sympify(e).replace(sp.log, lambda x: sp.expand_log(sp.log(sp.factor(x))))
    e = sp.cancel(sp.together(sp.expand(e)))
    if e == 0:
        return True
    common = in_exponential([e.rewrite(HYPERBOLIC, sp.exp)], sp.Dummy("g", positive=True))
    return common is not None and common[0] == [sp.S.Zero]


class _Integration:
    """The integral of one sensitivity, with plain symbols in the place of tensors."""

    def __init__(self, of: Sensitivity, plain: Mapping[sp.Expr, sp.Symbol]) -> None:
        self.of, self.a, self.t = of, plain[of.output], plain[of.raw]
        self.value = of.value.xreplace(plain)
        slope = sp.diff(self.value, self.t)
        if slope == 0 or slope.has(*CORNERS) or self._at_zero()[self.a].is_finite is False:
            raise NoCost(f"{of.output} = {of.value} is no smooth function of {of.raw}, or none at all")
        self.slope = self._in_output(slope)
        self.delta = self._in_output(of.delta.xreplace(plain))

    def by(self, other: "_Integration") -> sp.Expr:
        """The derivative of the sensitivity by another raw input."""
        return sp.diff(self.delta, other.a) * other.slope

    def integrated(self, known: sp.Expr, costs: Mapping[str, System], others: Sequence[sp.Symbol]) -> Recovered:
        """What this sensitivity adds to a known part of the cost; of a known kind if it is of this output alone."""
        integrand = signs_inside(sp.factor(sp.cancel(-self.delta / self.slope - sp.diff(known, self.a))))
        given = self.of, self.slope, integrand
        if integrand == 0:
            return Recovered(*given, sp.S.Zero)
        self._refuse_singular(integrand)
        for name, system in costs.items() if not integrand.has(*others) else ():
            of_one, target = _of_one(system, self.a)
            if found := self._multiple(integrand, of_one, target):
                weight, at = found
                cost = weight * of_one.xreplace({target: at})
                least = weight * sp.expand_log(_limit(of_one.xreplace({target: at}), self.a, at))
                return Recovered(*given, cost, name, weight, at, at, signs_inside(sp.factor_terms(least)))
        cost = self._integral(integrand)
        at = self._stationary(integrand)
        if at is not None:
            cost -= cost.xreplace({self.a: at})
        return Recovered(*given, simplified(cost), at=at, least=None if at is None else sp.S.Zero)

    def _in_output(self, e: sp.Expr) -> sp.Expr:
        """An expression in the raw input in terms of its output."""
        if e.has(self.t):
            e = in_output(self.value, e, self.a)
        if e.has(self.t):
            e = e.xreplace({self.t: self._inverse()})
        return signs_inside(sp.factor(sp.cancel(e)))

    def _inverse(self) -> sp.Expr:
        """The raw input in terms of its output."""
        g = sp.Dummy("g", positive=True)
        common = in_exponential([self.value.rewrite(HYPERBOLIC, sp.exp)], g)
        if common is None:
            solutions = _solutions(self.value - self.a, self.t)
        else:  # of t in the exponents' common power
            p = sp.Poly(sp.numer(sp.together(common[0][0] - self.a)), g)
            m = gcd(*(k for (k,) in p.monoms()))
            lower = sp.Add(*(c * g ** (k // m) for (k,), c in p.terms()))
            solutions = [t for x in _solutions(lower, g) for t in _solutions(m * common[1] - sp.log(x), self.t)]
        if len(solutions) != 1 or solutions[0].has(sp.Piecewise):
            raise NoCost(f"{self.of.raw} cannot be written in terms of {self.of.output} = {self.of.value}")
        return solutions[0]

    def _multiple(self, integrand: sp.Expr, of_one: sp.Expr, target: sp.Symbol) -> tuple[sp.Expr, sp.Expr] | None:
        """The weight and the target at which the derivative of a cost is the integrand, whatever the output."""
        weight, product = sp.Dummy("weight"), sp.Dummy("product")
        slope = sp.expand(sp.diff(of_one, self.a))
        rest, by_target = slope.xreplace({target: sp.S.Zero}), sp.diff(slope, target)
        if by_target.has(target):
            return None
        gap = sp.numer(sp.together(integrand - weight * rest - product * by_target))
        try:
            solutions = sp.solve(sp.Poly(sp.expand(gap), self.a).coeffs(), [weight, product], dict=True)
        except sp.PolynomialError:
            return None
        if len(solutions) != 1 or len(solutions[0]) != 2 or solutions[0][weight] == 0:
            return None
        w, at = solutions[0][weight], sp.cancel(solutions[0][product] / solutions[0][weight])
        if sp.Tuple(w, at).has(self.a) or not is_zero(integrand - w * slope.xreplace({target: at})):
            return None
        return sp.factor(w), sp.expand(at)

    def _integral(self, integrand: sp.Expr) -> sp.Expr:
        """An antiderivative, real for all outputs."""
        if integrand.is_rational_function(self.a):
            parts = sp.Add.make_args(sp.apart(integrand, self.a))
            return self._real(sp.Add(*(sp.integrate(p, self.a) for p in parts)))
        try:
            found = risch_integrate(integrand, self.a)
        except NotImplementedError:
            found = sp.integrate(integrand, self.a, meijerg=False)
        functions = found.atoms(sp.Function)
        if found.has(sp.Integral, NonElementaryIntegral) or not all(isinstance(f, ELEMENTARY) for f in functions):
            raise NoCost(f"the integral of {self._shown(integrand)} over {self.of.output} has no closed form")
        return self._real(found)

    def _shown(self, e: sp.Expr) -> sp.Expr:
        return e.xreplace({self.a: self.of.output, self.t: self.of.raw})

    def _refuse_singular(self, e: sp.Expr) -> None:
        """An integral ends where something is divided by zero, or a logarithm is taken of it: no output may be there."""
        roots = [p for p in e.atoms(sp.Pow) if not p.exp.is_integer and not isinstance(p, sp.exp)]
        inside = [x.args[0] for x in e.atoms(sp.log)] + [p.base for p in roots]
        whole = [sp.denom(sp.together(x)) for x in (e, *inside, *(x.exp for x in e.atoms(sp.exp)))]
        for x in (*whole, *(sp.numer(sp.together(x)) for x in inside)):
            for factor, _ in sp.factor_list(x)[1]:
                if factor.has(self.a) and not self._is_never_zero(factor):
                    shown = self._shown(factor)
                    raise NoCost(f"the cost would be infinite, or none, where {shown} = 0, which an output may be")
        if any(p.base.xreplace(self._at_zero()).is_positive is not True for p in roots):
            raise NoCost(f"{self._shown(e)} is not sure to be a real number")

    def _is_never_zero(self, factor: sp.Expr) -> bool:
        """Whether a factor of a denominator is zero at no output."""
        if isinstance(factor, sp.exp) or factor.is_positive or factor.is_negative:
            return True
        if not factor.is_polynomial(self.a):
            return False
        p = sp.Poly(factor, self.a)
        zeros = sp.roots(p, multiple=True)
        return len(zeros) == p.degree() and all(map(self._is_no_output, zeros))

    def _is_no_output(self, a: sp.Expr) -> bool:
        if a.is_real is False:
            return True
        t = self._inverse().rewrite(sp.log).xreplace({self.a: a})
        return t.is_finite is False or t.is_real is False or t.has(sp.zoo, sp.oo, sp.nan)

    def _real(self, e: sp.Expr) -> sp.Expr:
        """Of a logarithm's argument that is negative at one output, and so at all of them, the absolute value."""
        at = self._at_zero()
        return e.replace(sp.log, lambda x: sp.log(-x if x.xreplace(at).is_negative else x))

    def _at_zero(self) -> dict[sp.Basic, sp.Expr]:
        """One of the outputs: that of the raw input 0."""
        return {self.a: self.value.xreplace({self.t: sp.S.Zero})}

    def _stationary(self, integrand: sp.Expr) -> sp.Expr | None:
        """The one output at which the derivative of the cost is zero."""
        numerator = sp.numer(sp.together(integrand))
        if not numerator.is_polynomial(self.a) or not numerator.has(self.a):
            return None
        zeros = sp.roots(sp.Poly(numerator, self.a))
        return zeros.popitem()[0] if len(zeros) == 1 else None


def _solutions(e: sp.Expr, x: sp.Symbol) -> list[sp.Expr]:
    try:
        return list(sp.solve(e, x))
    except NotImplementedError:
        return []


def _of_one(system: System, output: sp.Symbol) -> tuple[sp.Expr, sp.Symbol]:
    """What a definition's cost adds for one output, and the symbol of its target there."""
    (a,), (y,), (equation,) = system.inputs, system.targets, system.equations
    (term,) = equation.terms
    target = sp.Dummy("target", real=True)
    return term.body.xreplace({a: output, y: target}), target


def _limit(e: sp.Expr, a: sp.Symbol, at: sp.Expr) -> sp.Expr:
    """A cost at one output; what is multiplied by 0 there does not count, whatever it is."""
    addends = sp.Add.make_args(e)
    return sp.Add(
        *(x.xreplace({a: at}) for x in addends if not any(f.xreplace({a: at}) == 0 for f in sp.Mul.make_args(x)))
    )
