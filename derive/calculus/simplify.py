"""Simplification of derived equations: derivatives in terms of outputs, common factors cancelled, known sums used.

Nothing is looked up: each form is found by algebra on the definition and equal to what it replaces by construction.
"""

from collections.abc import Callable, Iterable, Sequence

import sympy as sp

from derive.calculus.equation import Equation, Maximum, equations_for, tensors_of

TRANSCENDENTAL = (sp.exp, sp.log, sp.tanh, sp.sinh, sp.cosh)
Rights = dict[str, tuple[sp.Indexed, sp.Expr]]  # by name, a tensor and the right side of its equation
DEGREE = 3  # the highest power of an output that a derivative is sought in


def simplified(e: sp.Expr, given: Sequence[sp.Eq] = ()) -> sp.Expr:
    """An equal expression with fewer operations: sums rid of constant factors, fractions cancelled, given sums used."""
    e = e.replace(lambda s: isinstance(s, sp.Sum), lambda s: _sum(s, given))
    if e.has(sp.Piecewise):
        e = e.replace(
            lambda p: isinstance(p, sp.Piecewise),
            lambda p: sp.Piecewise(*((simplified(v, given), c) for v, c in p.args), evaluate=False),
        )
        e = _distributed(e)
    held = {s: sp.Dummy(real=True) for s in e.atoms(sp.Sum, sp.Piecewise, sp.Max, sp.Min)}
    plain, back = e.xreplace(held), {d: s for s, d in held.items()}
    g = sp.Dummy("g", positive=True)
    if (common := in_exponential([plain], g)) is not None:
        (plain,), unit = common
        back[g] = sp.exp(unit)
    roots = _roots(plain)
    back |= {r: sp.sqrt(x) for x, r in roots.items()}
    plain = plain.xreplace({x: r**2 for x, r in roots.items()})
    candidates = [plain, sp.expand(plain, power_exp=False)]
    if plain.is_rational_function(*plain.free_symbols, *plain.atoms(sp.Indexed)):
        candidates += [sp.cancel(plain), sp.factor(plain)]
    elif not plain.has(sp.exp):
        candidates += [sp.powsimp(sp.cancel(sp.expand(plain)))]
    candidates += [sp.factor_terms(c) for c in candidates]
    candidates = [c.subs(g, back[g]) if g in back else c for c in candidates]
    candidates = [c.xreplace({r: back[r] for r in roots.values()}) for c in candidates]
    best = min(candidates, key=lambda c: (_cost(c), len(str(c)), str(c)))
    return signs_inside(best.xreplace(back))


def _roots(e: sp.Expr) -> dict[sp.Indexed, sp.Dummy]:
    """Symbols for the square roots of tensors: with them the expression may be rational, and what they share cancels."""
    powers = (p for p in e.atoms(sp.Pow) if isinstance(p.base, sp.Indexed) and p.exp.is_Rational and p.exp.q == 2)
    return {x: sp.Dummy(positive=True) for x in sorted({p.base for p in powers}, key=str)}


def signs_inside(e: sp.Expr) -> sp.Expr:
    """``-(a - 1) a`` as books write it, ``(1 - a) a``; so a pole at 1 is reached from the side where a is."""
    if isinstance(e, sp.Mul) and e.args[0] == -1:
        for f in e.args:
            base, power = f.as_base_exp()
            if base.is_Add and len(base.args) == 2 and power.is_odd and sum(map(_is_negative, base.args)) == 1:
                if power > 0 or _is_negative(base.as_coeff_Add()[0]):
                    return sp.Mul(*((-base) ** power if g is f else g for g in e.args[1:]))
    return e


def _is_negative(e: sp.Expr) -> bool:
    return e.could_extract_minus_sign()


def _cost(e: sp.Expr) -> int:
    """Operations; dividing by a tensor counts as four (it is slow and can have a pole), a sum as six."""
    divisions = sum(1 for p in e.atoms(sp.Pow) if p.exp.could_extract_minus_sign() and p.base.has(sp.Indexed))
    return sp.count_ops(e) + 3 * divisions + 5 * len(e.atoms(sp.Sum))


def _distributed(e: sp.Expr) -> sp.Expr:
    """A factor beside a single case distinction goes into its branches, where it can cancel."""
    if isinstance(e, sp.Mul):
        choices = [f for f in e.args if isinstance(f, sp.Piecewise)]
        if len(choices) == 1:
            rest = sp.Mul(*(f for f in e.args if f is not choices[0]))
            if any(value == 0 or value == 1 for value, _ in choices[0].args):
                return sp.Piecewise(*((simplified(rest * v), c) for v, c in choices[0].args), evaluate=False)
    return e


def _sum(s: sp.Sum, given: Sequence[sp.Eq]) -> sp.Expr:
    """A sum of products, each with the factors that do not depend on the summed indices taken out."""
    summed = [k for k, *_ in s.limits]
    parts = []
    for addend in sp.Add.make_args(simplified(sp.expand(s.function), given)):
        inside: list[sp.Expr] = []
        outside: list[sp.Expr] = []
        for factor in sp.Mul.make_args(addend):
            (inside if factor.has(*summed) else outside).append(factor)
        if not inside:
            parts.append(addend * sp.Mul(*(high - low + 1 for _, low, high in s.limits)))
            continue
        parts.append(sp.Mul(*outside) * _known(sp.Sum(sp.Mul(*inside), *s.limits), given))
    return sp.Add(*parts)


def _known(s: sp.Sum, given: Sequence[sp.Eq]) -> sp.Expr:
    """A sum whose value a fact gives, at whatever free indices."""
    for fact in given:
        if len(s.limits) != 1 or s.limits[0][1:] != fact.lhs.limits[0][1:]:
            continue
        k, own = fact.lhs.limits[0][0], s.limits[0][0]
        wild = {i: sp.Wild(i.name, exclude=[own]) for i in _free_indices(fact.lhs)}
        found = s.function.match(fact.lhs.function.xreplace({k: own, **wild}))
        if found is not None:
            return fact.rhs.xreplace({i: found[w] for i, w in wild.items()})
    return s


def _free_indices(s: sp.Sum) -> list[sp.Symbol]:
    summed = {k for k, *_ in s.limits}
    inside = {i for x in s.function.atoms(sp.Indexed) for c in x.indices for i in c.atoms(sp.Symbol) if i.is_integer}
    return sorted(inside - summed, key=str)


def facts(equations: Iterable[Equation]) -> list[sp.Eq]:
    """What forward equations say of plain sums: from ``mu = sum of z / M``, the sum of z is ``M mu``."""
    found = []
    for equation in equations:
        if equation.kind == "sum" and len(equation.terms) == 1 and len(equation.terms[0].over) == 1:
            (term,) = equation.terms
            inside, outside = sp.Integer(1), sp.Integer(1)
            for factor in sp.Mul.make_args(term.body):
                inside, outside = (inside * factor, outside) if factor.has(sp.Indexed) else (inside, outside * factor)
            if isinstance(inside, sp.Indexed):
                found.append(sp.Eq(sp.Sum(inside, *term.over), equation.target / outside))
    return found


def in_output(value: sp.Expr, slope: sp.Expr, y: sp.Indexed) -> sp.Expr:
    """A derivative ``slope`` of ``y = value`` as a polynomial in ``y``, branch by branch, where there is one.

    With ``g = exp(x)`` both are rational in g; the coefficients of ``slope = sum of c_i value**i`` solve a linear system
    that the powers of g give, so what is found is an identity. Otherwise ``slope`` itself.
    """
    if isinstance(slope, sp.Piecewise) and isinstance(value, sp.Piecewise):
        values = {c: v for v, c in value.args}
        branches = [(in_output(values[c], s, y) if c in values else s, c) for s, c in slope.args]
        return sp.Piecewise(*branches, evaluate=False)
    curved = [f for f in sp.Mul.make_args(slope) if f.has(*TRANSCENDENTAL)]
    outside = slope / sp.Mul(*curved)
    g = sp.Dummy("g", positive=True)
    both = [sp.sympify(e).rewrite(sp.exp) for e in (value, sp.Mul(*curved))]
    common = in_exponential(both, g) if curved else None
    if common is None or any(tensors_of(e) for e in common[0]):
        return slope
    value_g, slope_g = common[0]
    unknowns = sp.symbols(f"c0:{DEGREE + 1}")
    gap = slope_g - sp.Add(*(c * value_g**i for i, c in enumerate(unknowns)))
    numerator, _ = sp.fraction(sp.together(gap))
    solutions = sp.solve(sp.Poly(sp.expand(numerator), g).coeffs(), unknowns, dict=True)
    if not solutions:
        return slope
    found = {c: solutions[0].get(c, c) for c in unknowns}
    found = {c: v.subs(dict.fromkeys(unknowns, 0)) for c, v in found.items()}
    polynomial = sp.Add(*(v * y**i for i, v in enumerate(found.values())))
    return outside * signs_inside(min((polynomial, sp.factor(polynomial)), key=_cost))


def in_exponential(expressions: Sequence[sp.Expr], g: sp.Symbol) -> tuple[list[sp.Expr], sp.Expr] | None:
    """(R, x) such that each expression is its ``R(g)``, rational in ``g = exp(x)``, for a common part x of all exponents.

    What stands outside of exponents may be anything without functions. None if there is no such x.
    """
    exponents = {p.exp for e in expressions for p in e.atoms(sp.exp)}
    if not exponents or any(e.has(sp.Piecewise, sp.Sum) for e in expressions):
        return None
    x = min(exponents, key=lambda p: (p.could_extract_minus_sign(), sp.count_ops(p), str(p)))
    x = x / x.as_coeff_Mul()[0]
    multiples = {p: sp.cancel(p / x) for p in exponents}
    if not all(m.is_Rational for m in multiples.values()):
        return None
    common = sp.ilcm(1, 1, *(m.q for m in multiples.values()))
    found = []
    for e in expressions:
        e = e.xreplace({sp.exp(p): g ** (m * common) for p, m in multiples.items()})
        held = {o: sp.Dummy(real=True) for o in tensors_of(e)}
        ratio = sp.cancel(sp.together(e.xreplace(held)))
        if not ratio.is_rational_function(g, *held.values()):
            return None
        found.append(ratio.xreplace({d: o for o, d in held.items()}))
    return found, x / common


def solved_for_intermediates(equations: Sequence[Equation]) -> list[tuple[sp.Indexed, sp.Expr, sp.Expr]]:
    """Parts of a product that its result determines: from ``a = e / s``, the exponential ``e`` is ``a * s``.

    Only exponentials and tensors defined as one, over tensors of fewer indices: so nothing is divided by.
    """
    exponentials = {e.name for e in equations if len(e.terms) == 1 and isinstance(e.terms[0].body, sp.exp)}
    found = []
    for equation in equations:
        if equation.kind != "sum" or len(equation.terms) != 1 or equation.terms[0].over:
            continue
        factors = sp.Mul.make_args(equation.terms[0].body)
        whole = [
            f for f in factors if isinstance(f, sp.exp) or (isinstance(f, sp.Indexed) and f.base.name in exponentials)
        ]
        rest = [f for f in factors if f not in whole]
        if len(whole) == 1 and rest and all(f.is_Pow and f.exp == -1 and isinstance(f.base, sp.Indexed) for f in rest):
            found.append((equation.target, whole[0], equation.target / sp.Mul(*rest)))
    return found


def replace_at_any_index(e: sp.Expr, target: sp.Indexed, pattern: sp.Expr, value: sp.Expr) -> sp.Expr:
    """``pattern``, a function of the target's indices, replaced by ``value`` wherever it stands and at whatever index."""
    indices = [i for i in target.indices if i.is_Symbol]
    wild = {i: sp.Wild(i.name, properties=(lambda w: w.is_Symbol or w.is_Add,)) for i in indices}
    return e.replace(pattern.xreplace(wild), value.xreplace(wild))


def solved_for_inputs(equations: Sequence[Equation]) -> list[tuple[sp.Indexed, sp.Indexed, sp.Expr]]:
    """Operands that an elementwise result determines: from ``z_hat = (z - mu) / sqrt(var)``, z is ``mu + z_hat sqrt(var)``.

    Only where nothing is divided by, and all else is over tensors of fewer indices.
    """
    found = []
    for equation in equations:
        if equation.kind != "sum" or len(equation.terms) != 1 or equation.terms[0].over:
            continue
        body, y = equation.terms[0].body, equation.target
        like = [x for x in tensors_of(body) if set(x.indices) >= set(y.indices)]
        if len(like) != 1 or like[0].indices != y.indices or body.has(sp.Piecewise):
            continue
        slope = sp.simplify(sp.diff(body, like[0]))
        if isinstance(slope, sp.Pow) and slope.exp.is_number and slope.exp.is_negative:
            rest = sp.simplify((body - slope * like[0]) / slope)
            found.append((y, like[0], y / slope - rest))
    return found


def closed_form(
    forward: Sequence[Equation], backward: Sequence[Equation], wanted: set[str], given: Sequence[sp.Eq] = ()
) -> list[Equation]:
    """The derived equations that ``wanted`` tensors need, in terms of outputs, with intermediate sensitivities put in.

    An elementwise equation takes in what it alone reads, and what is elementwise itself; a sum takes in what is
    elementwise if that makes it simpler. What that leaves without a second reader is put in by another round.
    """
    products, inputs = solved_for_intermediates(forward), solved_for_inputs(forward)
    given = [*given, *facts(forward)]

    def short(e: sp.Expr) -> sp.Expr:
        for target, pattern, value in products:
            e = replace_at_any_index(e, target, pattern, value)
        forms = [simplified(e, given)]
        for target, pattern, value in inputs:
            forms.append(simplified(replace_at_any_index(e, target, pattern, value), given))
        return min(forms, key=_cost)

    sums = {e.name for e in backward if any(t.over for t in e.terms)}
    found = {e.name: (e.target, e.expression()) for e in needed(backward, wanted)}
    before: Rights = {}
    while found != before:
        before, found = found, _only(_round(found, sums, short), wanted)
    return [e for target, right in found.values() for e in equations_for(target, right)]


def _round(rights: Rights, sums: set[str], short: Callable[[sp.Expr], sp.Expr]) -> Rights:
    readers = {name: sum(name in _reads(right) for _, right in rights.values()) for name in rights}
    done: Rights = {}
    for name, (target, right) in rights.items():
        elementwise = {name: known for name, known in done.items() if not known[1].has(sp.Sum)}
        once = {name: known for name, known in done.items() if readers[name] == 1}
        if name in sums:
            right = min((short(right), short(_inlined(right, elementwise))), key=_cost)
        else:
            right = short(_inlined(right, {**elementwise, **once}))
        done[name] = target, right
    return done


def _reads(right: sp.Expr) -> set[str]:
    return {x.base.name for x in right.atoms(sp.Indexed)}


def _only(rights: Rights, wanted: set[str]) -> Rights:
    """What the wanted tensors depend on."""
    kept = set(wanted)
    for name, (_, right) in reversed(rights.items()):
        kept |= _reads(right) if name in kept else set()
    return {name: known for name, known in rights.items() if name in kept}


def needed(equations: Sequence[Equation], wanted: set[str]) -> list[Equation]:
    """The equations that the wanted tensors depend on, in order."""
    wanted, kept = set(wanted), []
    for equation in reversed(equations):
        if equation.name in wanted:
            kept.append(equation)
            wanted |= equation.reads()
    return kept[::-1]


def _inlined(e: sp.Expr, done: Rights) -> sp.Expr:
    for x in tensors_of(e):
        if x.base.name in done:
            target, right = done[x.base.name]
            change = dict(zip(target.indices, x.indices, strict=True))
            e = e.xreplace({x: _renamed(right, change)})
    return e


def _renamed(right: sp.Expr, change: dict) -> sp.Expr:
    """``right`` at other indices; summed indices become dummies first, so that none captures an index put in."""
    return apart(right).xreplace(change)


def apart(e: sp.Expr) -> sp.Expr:
    """The same expression with summed indices of its own."""
    if isinstance(e, sp.Sum | Maximum):
        own = {k: sp.Dummy(k.name, integer=True) for k, *_ in e.limits}
        return e.func(apart(e.function).xreplace(own), *((own[k], low, high) for k, low, high in e.limits))
    return e.func(*map(apart, e.args)) if e.args and e.has(sp.Sum, Maximum) else e
