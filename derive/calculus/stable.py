"""Numerically stable forms: equal for real numbers, and without overflow, NaN or cancellation in floating point.

Five rewritings, each of an expression, none of a layer:

1. What is rational in exp(x), or the logarithm of such, is written in ``e = exp(-|x|)``, which is in (0, 1]: one form for
   x >= 0 and one for x < 0.
2. ``exp(x) - 1`` is ``expm1(x)``; ``log(1 + x)`` is ``log1p(x)``.
3. A sum of exponentials is taken relative to its largest; its logarithm leaves that largest term, a one, to ``log1p``.
4. A weight that may be zero, before a logarithm or a pole that may be infinite, takes the whole term with it.
"""

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from derive.calculus.equation import Equation, Term, tensor, tensors_of
from derive.calculus.simplify import replace_at_any_index


class expm1(sp.Function):
    """exp(x) - 1, without cancellation near 0."""

    nargs = 1
    is_extended_real = True


class log1p(sp.Function):
    """log(1 + x), without cancellation near 0."""

    nargs = 1
    is_extended_real = True


class weighed(sp.Function):
    """``weight * value``, and 0 where the weight is 0 whatever the value."""

    nargs = 2
    is_extended_real = True


def stable(equations: Sequence[Equation], weights: set[str] = frozenset()) -> list[Equation]:  # type: ignore[assignment]
    """Equations equal to ``equations`` in numerically stable form; ``weights`` names tensors whose values may be zero."""
    return [
        replace(e, terms=tuple(replace(t, body=_no_negated_minimum(stable_expression(t.body, weights))) for t in e.terms))
        for e in relative_to_largest(list(equations))
    ]


def stable_expression(e: sp.Expr, weights: set[str] = frozenset()) -> sp.Expr:  # type: ignore[assignment]
    """One expression in numerically stable form."""
    if (guarded := _guarded(e, weights)).has(weighed):
        return guarded
    if not e.has(sp.exp, sp.log):
        return e
    if isinstance(e, sp.Piecewise):
        return sp.Piecewise(*((stable_expression(v), c) for v, c in e.args), evaluate=False)
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
    """``e``, rational in exp(x) or the logarithm of such, written in exp(-|x|); None if it is neither or needs no care."""
    exponents = [p.exp for p in e.atoms(sp.exp)]
    if not exponents or e.has(sp.Piecewise, sp.Sum):
        return None
    x = min(exponents, key=lambda p: (p.could_extract_minus_sign(), sp.count_ops(p), str(p)))
    x = x / x.as_coeff_Mul()[0]
    g, h = sp.symbols("g h", positive=True)
    inside, is_log = (e.args[0], True) if isinstance(e, sp.log) else (e, False)
    for power in inside.atoms(sp.exp):
        multiple = sp.expand(power.exp / x)
        if not multiple.is_Integer:
            return None
        inside = inside.xreplace({power: g**multiple})
    held = {o: sp.Dummy(real=True) for o in tensors_of(inside)}
    inside = sp.cancel(sp.together(inside.xreplace(held)))
    if not inside.is_rational_function(g) or (inside.is_polynomial(g) and not is_log):
        return None
    if is_log and any(inside.has(d) for d in held.values()):
        return None
    back = {d: o for o, d in held.items()}
    decaying = sp.exp(-sp.Abs(x))
    above = _branch(inside.subs(g, 1 / h), h, -x, is_log).xreplace(back).xreplace({h: decaying})
    below = _branch(inside.subs(g, h), h, x, is_log).xreplace(back).xreplace({h: decaying})
    if above == below:
        return above
    common = sp.simplify(above - below) if is_log else None
    if common is not None and not common.has(log1p):  # softplus: the branches differ by x alone
        shared = log1p(decaying) if above.has(log1p(decaying)) else None
        if shared is not None and not (below - shared).has(log1p):
            return sp.Add(sp.Max(above - shared, below - shared, evaluate=False), shared, evaluate=False) if _is_max(
                above - shared, below - shared, x
            ) else sp.Add(sp.Min(above - shared, below - shared, evaluate=False), shared, evaluate=False)
        if above.has(-log1p(decaying)):
            rest_above, rest_below = above + log1p(decaying), below + log1p(decaying)
            if not rest_above.has(log1p) and not rest_below.has(log1p):
                extreme = sp.Max if _is_max(rest_above, rest_below, x) else sp.Min
                return sp.Add(extreme(rest_above, rest_below, evaluate=False), -log1p(decaying), evaluate=False)
    return sp.Piecewise((above, x >= 0), (below, True), evaluate=False)


def _is_max(above: sp.Expr, below: sp.Expr, x: sp.Expr) -> bool:
    """Whether the branch for x >= 0 is the larger there."""
    return bool((above - below).subs(x, 1) >= 0)


def _branch(ratio: sp.Expr, h: sp.Symbol, log_h: sp.Expr, is_log: bool) -> sp.Expr:
    """A rational function of h in (0, 1], or its logarithm with powers of h and constants taken out."""
    numerator, denominator = sp.fraction(sp.cancel(sp.together(ratio)))
    if not is_log:
        return _without_cancellation(numerator, h, log_h) / _without_cancellation(denominator, h, log_h)
    total: sp.Expr = sp.Integer(0)
    for sign, part in ((1, numerator), (-1, denominator)):
        power = min(m[0] for m in sp.Poly(part, h).monoms())
        rest = sp.expand(part / h**power)
        constant = rest.subs(h, 0)
        beyond = sp.expand(rest / constant - 1)
        total += sign * (power * log_h + sp.log(constant) + (log1p(beyond) if beyond != 0 else 0))
    return total


def _without_cancellation(e: sp.Expr, h: sp.Symbol, log_h: sp.Expr) -> sp.Expr:
    """``c (1 - h**k)`` as ``-c expm1(k log h)``; anything else as it is."""
    polynomial = sp.Poly(e, h)
    if len(polynomial.monoms()) == 2 and e.subs(h, 1) == 0:
        low, high = sorted(m[0] for m in polynomial.monoms())
        constant = polynomial.coeff_monomial(h**low)
        return -constant * h**low * expm1(-(high - low) * sp.Abs(log_h))
    return e


def _small_arguments(e: sp.Expr) -> sp.Expr | None:
    """exp(x) - 1 as expm1(x), log(1 + x) as log1p(x); None if ``e`` is neither."""
    if isinstance(e, sp.log) and e.args[0].as_coeff_Add()[0] == 1:
        return log1p(stable_expression(e.args[0].as_coeff_Add()[1]))
    if isinstance(e, sp.Add):
        for power in sorted(e.atoms(sp.exp), key=str):
            factor = e.coeff(power)
            constant = e.as_independent(*tensors_of(e), as_Add=True)[0]
            if factor != 0 and constant == -factor:
                return factor * expm1(power.exp) + stable_expression(sp.expand(e - factor * power - constant))
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
        addends.append(weighed(weight, stable_expression(value)) if guarded else weight * value)
    return sp.Add(*addends)


def _is_weight(factor: sp.Expr, weights: set[str]) -> bool:
    operands = tensors_of(factor)
    return bool(operands) and {o.base.name for o in operands} <= weights and factor.is_polynomial(*operands)


def relative_to_largest(equations: list[Equation]) -> list[Equation]:
    """Sums of exponentials ``s = sum over k of exp(u_k)`` taken relative to the largest of the u.

    With ``m = max u``: ``exp(u) = exp(u - m) exp(m)``, so ratios to s hold with m taken from both, and
    ``log s = m + log1p(r)``, where r sums all but the largest term.
    """
    elementwise = {e.name: e for e in equations if e.kind == "sum" and len(e.terms) == 1 and not e.terms[0].over}
    for equation in equations:
        found = _exponential_sum(equation, elementwise)
        if found is None:
            continue
        u, term = found
        return relative_to_largest(_relative(equations, equation, u, term, elementwise))
    return equations


def _exponential_sum(equation: Equation, elementwise: dict[str, Equation]) -> tuple[sp.Expr, Term] | None:
    """(u, term) if the equation is ``s = sum of exp(u)`` and u is not yet relative to a largest."""
    if equation.kind != "sum" or len(equation.terms) != 1 or not equation.terms[0].over:
        return None
    (term,) = equation.terms
    if len(term.over) != 1:
        return None
    body = _unfolded(term.body, elementwise)
    if not isinstance(body, sp.exp) or any(x.base.name.endswith("_relative") for x in tensors_of(body)):
        return None
    return body.exp, term


def _unfolded(e: sp.Expr, elementwise: dict[str, Equation]) -> sp.Expr:
    """A tensor that an elementwise equation defines as an exponential, by that exponential."""
    if isinstance(e, sp.Indexed) and e.base.name in elementwise:
        source = elementwise[e.base.name]
        body = source.terms[0].body.xreplace(dict(zip(source.target.indices, e.indices, strict=True)))
        return body if isinstance(body, sp.exp) else e
    return e


def _relative(
    equations: list[Equation], total: Equation, u: sp.Expr, term: Term, elementwise: dict[str, Equation]
) -> list[Equation]:
    at = total.target.indices
    summed = tuple(k for k, *_ in term.over)
    stem = tensors_of(u)[0].base.name
    largest = tensor(f"{stem}_max")[at]
    difference = tensor(f"{stem}_relative")[(*at, *summed)]
    rest = tensor(f"{total.name}_rest")[at]
    folded = {e.name for e in elementwise.values() if isinstance(e.terms[0].body, sp.exp)}
    new: list[Equation] = []
    for equation in equations:
        if equation.name in folded or equation is total:
            continue
        terms = []
        for t in equation.terms:
            body = t.body.xreplace({x: _unfolded(x, elementwise) for x in tensors_of(t.body)})
            body = body.replace(sp.log, lambda a: sp.expand_log(sp.log(a), force=True))
            body = replace_at_any_index(body, total.target, sp.log(total.target), largest + log1p(rest))
            body = replace_at_any_index(body, total.target, total.target, total.target * sp.exp(largest))
            body = replace_at_any_index(body, difference, sp.exp(u), sp.exp(difference) * sp.exp(largest))
            if body.has(log1p):
                body = sp.expand(replace_at_any_index(body, difference, u, difference + largest))
            terms.append(replace(t, body=sp.powsimp(body)))
        new.append(replace(equation, terms=tuple(terms)))
    first = [Equation(largest, (Term(u, term.over),), "max"), Equation(difference, (Term(u - largest),))]
    if any(rest.base.name in e.reads() for e in new):
        winner = sp.IndexedBase(f"{largest.base.name}_at", integer=True)[at]
        others = sp.Piecewise((0, sp.Eq(summed[0], winner)), (sp.exp(difference), True), evaluate=False)
        first += [Equation(rest, (Term(others, term.over),)), Equation(total.target, (Term(1 + rest),))]
    else:
        first += [Equation(total.target, (Term(sp.exp(difference), term.over),))]
    return first + new


def _no_negated_minimum(e: sp.Expr) -> sp.Expr:
    return e.replace(
        lambda m: isinstance(m, sp.Mul) and any(isinstance(f, sp.Min) for f in m.args) and m.could_extract_minus_sign(),
        lambda m: sp.Mul(*(sp.Max(*(-a for a in f.args)) if isinstance(f, sp.Min) else f for f in (-m).args))
        if isinstance(-m, sp.Mul)
        else sp.Max(*(-a for a in (-m).args)),
    )
