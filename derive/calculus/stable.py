"""Numerically stable forms: equal for real numbers, and without overflow, NaN or cancellation in floating point.

Seven rewritings, each of an expression, none of a layer:

1. What is rational in exp(x), or the logarithm of such, is written in ``e = exp(-|x|)``, which is in (0, 1]: one form for
   x >= 0 and one for x < 0. So is ``tanh(log(x))``, which is ``(x^2 - 1) / (x^2 + 1)``.
2. ``exp(x) - 1`` is ``expm1(x)``; ``log(1 + x)`` is ``log1p(x)``; ``1 + erf(x)`` is ``erfc(-x)``.
3. A sum of exponentials is taken relative to its largest; its logarithm leaves that largest term, a one, to ``log1p``.
4. A weight that may be zero, before a logarithm or a pole that may be infinite, takes the whole term with it.
5. What else stands beside exp(x) is multiplied from outside: of ``(1 + x exp(-|x|)) / (1 + exp(-|x|))`` each power of x by
   itself, which no sum of large numbers precedes.
6. A piece of a straight line, ``x/100 + 1/25``, begins at its zero: ``(x + 4)/100``.
7. The slope of a length, the root of a sum of squares, is divided by that length: where the length is 0, it is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.equation import Equation, Term, tensor, tensors_of
from derive.calculus.simplify import in_exponential, replace_at_any_index, signs_inside


class expm1(sp.Function):
    """exp(x) - 1, without cancellation near 0."""

    nargs = 1
    is_extended_real = True


class log1p(sp.Function):
    """log(1 + x), without cancellation near 0."""

    nargs = 1
    is_extended_real = True

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        return sp.Integer(0) if x == 0 else None


class erfc(sp.Function):
    """1 - erf(x), without cancellation where erf(x) is near 1."""

    nargs = 1
    is_extended_real = True


class weighed(sp.Function):
    """``weight * value``, and 0 where the weight is 0 whatever the value."""

    nargs = 2
    is_extended_real = True


def stable(equations: Sequence[Equation], weights: set[str] = frozenset()) -> list[Equation]:  # type: ignore[assignment]
    """Equations equal to ``equations`` in numerically stable form; ``weights`` names tensors whose values may be zero."""
    return [
        replace(
            e, terms=tuple(replace(t, body=_no_negated_minimum(stable_expression(t.body, weights))) for t in e.terms)
        )
        for e in relative_to_largest(list(equations))
    ]


def slopes_of_lengths(forward: Sequence[Equation], backward: Sequence[Equation]) -> list[Equation]:
    """Backward equations in which 1 over the root of a sum of squares, a tensor of ``forward``, is 0 where that sum is 0.

    There all addends are 0, and so is what a slope has beside it: 0 is the slope's limit, or of its values the least.
    """
    sums = {e.name for e in forward if e.kind == "sum" and all(t.over and t.body.is_nonnegative for t in e.terms)}

    def guarded(base: sp.Expr, power: sp.Expr) -> sp.Expr:
        return sp.Piecewise((base**power, base > 0), (0, True), evaluate=False)

    def is_pole(p: sp.Expr) -> bool:
        named = isinstance(p, sp.Pow) and isinstance(p.base, sp.Indexed) and p.base.base.name in sums
        return named and p.exp.is_negative and (2 * p.exp).is_odd

    return [
        replace(e, terms=tuple(replace(t, body=t.body.replace(is_pole, lambda p: guarded(*p.args))) for t in e.terms))
        for e in backward
    ]


def stable_expression(e: sp.Expr, weights: set[str] = frozenset()) -> sp.Expr:  # type: ignore[assignment]
    """One expression in numerically stable form."""
    if (guarded := _guarded(e, weights)).has(weighed):
        return guarded
    if isinstance(e, sp.Piecewise):
        return sp.Piecewise(*((_from_zero(stable_expression(v)), c) for v, c in e.args), evaluate=False)
    if not e.has(sp.exp, sp.log, sp.erf):
        return e
    e = e.replace(lambda t: isinstance(t, sp.tanh) and isinstance(t.args[0], sp.log), _tanh_of_log)
    if isinstance(e, sp.Mul):
        rational = [f for f in e.args if f.has(sp.exp) and not f.has(sp.log, sp.tanh, sp.Piecewise)]
        if rational and len(rational) < len(e.args):
            others = [stable_expression(f) for f in e.args if f not in rational]
            care = stable_expression(sp.Mul(*rational))
            return sp.Mul(*others, care, evaluate=not any(isinstance(f, sp.Piecewise) for f in (care, *others)))
    whole = _in_decaying_exponential(e)
    if whole is not None:
        return whole
    short = _small_arguments(e)
    if short is not None:
        return short
    return e.func(*map(stable_expression, e.args))


def _in_decaying_exponential(e: sp.Expr) -> sp.Expr | None:
    """``e``, rational in exp(x) or the logarithm of such, in terms of exp(-|x|); None if it is neither or needs no care."""
    is_log = isinstance(e, sp.log)
    g, h = sp.symbols("g h", positive=True)
    found = in_exponential([e.args[0] if is_log else e], g)
    if found is None:
        return None
    (ratio,), x = found
    if tensors_of(ratio) if is_log else ratio.is_polynomial(g):
        return None
    if (beside := tensors_of(ratio)) and len(powers := _by_power(ratio, beside)) > 1:
        return sp.Add(*(power * stable_expression(part.subs(g, sp.exp(x))) for power, part in powers))
    decaying = {h: sp.exp(-sp.Abs(x))}
    above, below = sp.cancel(ratio.subs(g, 1 / h)), sp.cancel(ratio.subs(g, h))  # where x >= 0, and where x < 0
    if not is_log:
        above, below = (_quotient(branch, h, x).xreplace(decaying) for branch in (above, below))
        return above if above == below else sp.Piecewise((above, x >= 0), (below, True), evaluate=False)
    (power_above, rest_above), (power_below, rest_below) = (_logarithm(branch, h) for branch in (above, below))
    rest_above, rest_below = rest_above.xreplace(decaying), rest_below.xreplace(decaying)
    if rest_above != rest_below:
        return sp.Piecewise(
            (rest_above - power_above * x, x >= 0), (rest_below + power_below * x, True), evaluate=False
        )
    if power_above == power_below:
        return rest_above - power_above * sp.Abs(x)
    extreme = sp.Max if -power_above > power_below else sp.Min
    return extreme(-power_above * x, power_below * x) + rest_above


def _by_power(ratio: sp.Expr, operands: Sequence[sp.Indexed]) -> list[tuple[sp.Expr, sp.Expr]]:
    """A rational function as (product of powers of the operands, what it is multiplied by); empty if it is no such sum."""
    numerator, denominator = sp.fraction(ratio)
    if denominator.has(*operands):
        return []
    terms = sp.Poly(numerator, *operands).terms()
    return [
        (sp.Mul(*(x**k for x, k in zip(operands, powers, strict=True))), sp.cancel(c / denominator))
        for powers, c in terms
    ]


def _tanh_of_log(t: sp.Expr) -> sp.Expr:
    square = t.args[0].args[0] ** 2
    return (square - 1) / (square + 1)


def _from_zero(e: sp.Expr) -> sp.Expr:
    """``c x + d`` as ``c (x + d/c)`` where d/c is an integer and c no integer; other expressions as they are."""
    if isinstance(e, sp.Add) and len(e.args) == 2 and e.args[0].is_Rational:
        slope, x = e.args[1].as_coeff_Mul()
        if isinstance(x, sp.Indexed) and not slope.is_Integer and (e.args[0] / slope).is_Integer:
            return slope * sp.UnevaluatedExpr(x + e.args[0] / slope)
    return e


def _quotient(ratio: sp.Expr, h: sp.Symbol, x: sp.Expr) -> sp.Expr:
    """A rational function of ``h = exp(-|x|)``, with ``c (1 - h**k)`` as ``-c expm1(-k |x|)``."""

    def careful(part: sp.Expr) -> sp.Expr:
        terms = sp.Poly(part, h).terms()
        if len(terms) != 2 or part.subs(h, 1) != 0:
            return sp.factor(part)
        ((high,), _), ((low,), c) = terms
        return -c * h**low * expm1((low - high) * sp.Abs(x))

    numerator, denominator = sp.fraction(ratio)
    return careful(numerator) / careful(denominator)


def _logarithm(ratio: sp.Expr, h: sp.Symbol) -> tuple[int, sp.Expr]:
    """(p, rest) such that the logarithm of a rational function of h in (0, 1] is ``p log(h) + rest``."""
    power, rest = 0, sp.Integer(0)
    for sign, part in zip((1, -1), sp.fraction(ratio), strict=True):
        lowest = min(m for (m,) in sp.Poly(part, h).monoms())
        part = sp.expand(part / h**lowest)
        constant = part.subs(h, 0)
        power += sign * lowest
        rest += sign * (sp.log(constant) + log1p(sp.expand(part / constant - 1)))
    return power, rest


def _small_arguments(e: sp.Expr) -> sp.Expr | None:
    """exp(x) - 1 as expm1(x), log(1 + x) as log1p(x), 1 + erf(x) as erfc(-x); None if ``e`` is none of them."""
    if isinstance(e, sp.log) and e.args[0].as_coeff_Add()[0] == 1:
        return log1p(stable_expression(e.args[0].as_coeff_Add()[1]))
    if isinstance(e, sp.Add):
        constant = e.as_independent(*tensors_of(e), as_Add=True)[0]
        for call in sorted(e.atoms(sp.exp, sp.erf), key=str):
            factor = e.coeff(call)
            sign = factor / constant if constant != 0 else 0
            rest = sp.expand(e - factor * call - constant)
            if isinstance(call, sp.exp) and sign == -1:
                return factor * expm1(call.exp) + stable_expression(rest)
            if isinstance(call, sp.erf) and abs(sign) == 1:
                return constant * erfc(-sign * call.args[0]) + stable_expression(rest)
    return None


def _guarded(e: sp.Expr, weights: set[str]) -> sp.Expr:
    """Each addend ``weight * (what may be infinite)`` is zero where its weight is."""
    operands = [x for x in tensors_of(e) if x.base.name not in weights]
    if not weights or isinstance(e, sp.Piecewise):
        return e
    if len(operands) == 1 and e.is_rational_function(*operands) and not e.is_polynomial(*operands):
        e = sp.apart(e, operands[0])  # a pole a term, each with the weight it has
    by_weight: dict[sp.Expr, sp.Expr] = {}
    for addend in sp.Add.make_args(e):
        weight = [f for f in sp.Mul.make_args(addend) if _is_weight(f, weights)]
        key = weight[0] if len(weight) == 1 else sp.Integer(1)
        by_weight[key] = by_weight.get(key, sp.Integer(0)) + addend / key
    addends = []
    for weight, value in by_weight.items():
        infinite = value.has(sp.log, log1p) or (not value.is_polynomial(*operands) and value.has(*operands))
        guarded = weight != 1 and infinite
        if guarded and weight.as_coeff_Add()[0].is_negative:
            weight, value = -weight, -value
        addends.append(weighed(weight, signs_inside(stable_expression(value, weights))) if guarded else weight * value)
    return sp.Add(*addends)


def _is_weight(factor: sp.Expr, weights: set[str]) -> bool:
    operands = tensors_of(factor)
    return bool(operands) and {o.base.name for o in operands} <= weights and factor.is_polynomial(*operands)


def relative_to_largest(equations: list[Equation]) -> list[Equation]:
    """Sums of exponentials ``s = sum over k of exp(u_k)`` taken relative to the largest of the u.

    With ``m = max u`` and ``r`` the sum of all ``exp(u - m)`` but the largest: ``s = (1 + r) exp(m)``. So a ratio to s holds
    with m taken from both sides, and ``log s = m + log1p(r)``. Equations in which exp(m) does not cancel stay as they are.
    """
    result: list[Equation] = []
    known: dict[str, Equation] = {}
    sums: list[_ExponentialSum] = []
    for equation in equations:
        rewritten = equation
        for s in sums:
            rewritten = s.put_into(rewritten, known)
        result.append(rewritten)
        known[equation.name] = equation
        found = _exponential_sum(equation, known)
        if found is not None:
            sums.append(found)
    for s in sums:
        read = {name for e in result for name in e.reads()}
        at = next(n for n, e in enumerate(result) if e.name == s.equation.name)
        result[at : at + 1] = s.definitions(with_rest=s.rest.base.name in read)
    return result


@dataclass(frozen=True)
class _ExponentialSum:
    """An equation ``s = sum over k of exp(u)`` and the tensors that take its place."""

    equation: Equation
    u: sp.Expr

    @property
    def index(self) -> sp.Symbol:
        return self.equation.terms[0].over[0][0]

    def _tensor(self, name: str) -> sp.Indexed:
        return tensor(name)[self.equation.target.indices]

    @property
    def largest(self) -> sp.Indexed:
        return self._tensor(f"{tensors_of(self.u)[0].base.name}_max")

    @property
    def difference(self) -> sp.Indexed:
        base = tensor(f"{tensors_of(self.u)[0].base.name}_relative")
        return base[(*(i for i in self.equation.target.indices if i.is_Symbol), self.index)]

    @property
    def total(self) -> sp.Indexed:
        return self._tensor(f"{self.equation.name}_relative")

    @property
    def rest(self) -> sp.Indexed:
        return self._tensor(f"{self.equation.name}_rest")

    def put_into(self, equation: Equation, known: dict[str, Equation]) -> Equation:
        """The equation with s in its relative form, if exp(m) cancels."""
        if self.equation.name not in equation.reads():
            return equation
        terms = []
        for t in equation.terms:
            body = t.body.xreplace({x: _unfolded(x, known) for x in tensors_of(t.body)})
            body = body.replace(sp.log, lambda a: sp.expand_log(sp.log(a), force=True))
            s = self.equation.target
            body = replace_at_any_index(body, s, sp.log(s), self.largest + log1p(self.rest))
            body = replace_at_any_index(body, s, s, self.total * sp.exp(self.largest))
            body = replace_at_any_index(body, self.difference, sp.exp(self.u), sp.exp(self.difference + self.largest))
            if body.has(log1p):
                body = sp.expand(replace_at_any_index(body, self.difference, self.u, self.difference + self.largest))
            terms.append(replace(t, body=sp.powsimp(sp.expand(body, power_exp=True, mul=False, deep=True))))
        exponents = [p.exp for t in terms for p in t.body.atoms(sp.exp)]
        if any(x.base == self.largest.base for e in exponents for x in tensors_of(e)):
            return equation
        return replace(equation, terms=tuple(terms))

    def definitions(self, *, with_rest: bool) -> list[Equation]:
        """The largest of the u, what lies how far below it, the sums relative to it, and s itself from them."""
        (term,) = self.equation.terms
        found = [Equation(self.largest, (Term(self.u, term.over),), "max")]
        found.append(Equation(self.difference, (Term(self.u - self.largest),)))
        if with_rest:
            (winner,) = found[0].winners().values()
            others = sp.Piecewise((0, sp.Eq(self.index, winner)), (sp.exp(self.difference), True), evaluate=False)
            found.append(Equation(self.rest, (Term(others, term.over),)))
            found.append(Equation(self.total, (Term(1 + self.rest),)))
        else:
            found.append(Equation(self.total, (Term(sp.exp(self.difference), term.over),)))
        return [*found, Equation(self.equation.target, (Term(self.total * sp.exp(self.largest)),))]


def _exponential_sum(equation: Equation, known: dict[str, Equation]) -> _ExponentialSum | None:
    """The equation as a sum of exponentials over one index, if it is one."""
    if equation.kind != "sum" or len(equation.terms) != 1 or len(equation.terms[0].over) != 1:
        return None
    body = _unfolded(equation.terms[0].body, known)
    return _ExponentialSum(equation, body.exp) if isinstance(body, sp.exp) and tensors_of(body) else None


def _unfolded(e: sp.Expr, known: dict[str, Equation]) -> sp.Expr:
    """A tensor that an elementwise equation defines as an exponential, by that exponential."""
    if not isinstance(e, sp.Indexed) or e.base.name not in known:
        return e
    source = known[e.base.name]
    if (
        source.kind != "sum"
        or len(source.terms) != 1
        or source.terms[0].over
        or not isinstance(source.terms[0].body, sp.exp)
    ):
        return e
    return source.terms[0].body.xreplace(dict(zip(source.target.indices, e.indices, strict=True)))


def _no_negated_minimum(e: sp.Expr) -> sp.Expr:
    return e.replace(
        lambda m: isinstance(m, sp.Mul) and any(isinstance(f, sp.Min) for f in m.args) and m.could_extract_minus_sign(),
        lambda m: (
            sp.Mul(*(sp.Max(*(-a for a in f.args)) if isinstance(f, sp.Min) else f for f in (-m).args))
            if isinstance(-m, sp.Mul)
            else sp.Max(*(-a for a in (-m).args))
        ),
    )
