"""Reverse accumulation on index equations, for every size (Urban & van der Smagt, arXiv:1711.01348).

Where an equation ``y[i] = sum over k of body`` reads ``x[A(i, k)]``, the adjoint of x receives

    x_bar[p] += sum over (i, k) with A(i, k) = p of y_bar[i] * d body / d x[A(i, k)].

Each component of ``A(i, k) = p`` is solved for an index of unit coefficient (that is the elimination of its Kronecker
delta); what that index's range says remains as bounds on the others. So a stride or a padding ends as loop bounds, and
every adjoint is a gather. A component ``floor(A / c) = p`` is nothing but bounds: ``c p <= A < c p + c``. Where ``A mod c``
is read as well, the two are digits of A: indices of their own, of which ``A = c floor(A / c) + A mod c`` is one equation more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from derive.calculus.equation import Equation, Range, Term, fresh, size_of, tensor, tensors_of
from derive.calculus.ranges import Inside

SlopeForm = Callable[[Equation, sp.Expr], sp.Expr]


def adjoint(
    equations: Sequence[Equation],
    seeds: Iterable[str],
    *,
    declared: Mapping[str, sp.Indexed] | None = None,
    parameters: Iterable[str] = (),
    slope_form: SlopeForm | None = None,
    sizes: Mapping[sp.Symbol, sp.Expr] | None = None,
) -> dict[str, Equation]:
    """The adjoint of every tensor that the tensors named in ``seeds`` depend on, last equation first.

    The adjoint of ``x`` is named ``delta_x``, of a parameter ``nabla_x``. Those of the seeds are given; a seed that
    another equation reads has a ``delta_x_total`` besides. ``declared`` says with which indices a tensor's adjoint is to
    be written, ``slope_form`` how a derivative is, ``sizes`` which sizes follow from others.
    """
    declared, parameters = dict(declared or {}), set(parameters)
    bars = {}
    terms: dict[str, list[Term]] = {}
    reached, waiting = set(seeds), list(reversed(equations))
    for equation in equations:
        at = declared.setdefault(equation.name, equation.target).indices
        bars[equation.name] = tensor(bar_name(equation.name, parameters))
        if equation.name in reached and any(equation.name in e.reads() for e in equations if e.name != equation.name):
            terms[equation.name] = [Term(bars[equation.name][at])]  # what is given, then what its readers send back
            bars[equation.name] = tensor(f"{bar_name(equation.name, parameters)}_total")
    while ready := [e for e in waiting if e.name in reached]:  # once round, unless the equations are a recurrence
        for equation in ready:
            for name, term in contributions(equation, bars[equation.name], declared, slope_form, sizes):
                bars.setdefault(name, tensor(bar_name(name, parameters)))
                terms.setdefault(name, []).append(term)
                reached.add(name)
        waiting = [e for e in waiting if e not in ready]
    order = [e.name for e in reversed(equations) if e.name in terms]
    order += [name for name in terms if name not in order]
    return {name: Equation(bars[name][declared[name].indices], tuple(terms[name])) for name in order}


def bar_name(name: str, parameters: Iterable[str] = ()) -> str:
    """The name of a tensor's adjoint: the sensitivity ``delta_x``, or a parameter's gradient ``nabla_x``."""
    return f"nabla_{name}" if name in set(parameters) else f"delta_{name}"


def contributions(
    equation: Equation,
    y_bar: sp.IndexedBase,
    declared: dict[str, sp.Indexed],
    slope_form: SlopeForm | None = None,
    sizes: Mapping[sp.Symbol, sp.Expr] | None = None,
) -> Iterable[tuple[str, Term]]:
    """What each operand of an equation receives from the equation's own adjoint."""
    for term in equation.terms:
        for x in tensors_of(term.body):
            slope = derivative(term.body, x)
            if slope_form:
                slope = slope_form(equation, slope)
            if slope == 0:
                continue
            at = declared.setdefault(x.base.name, x).indices
            sensitivity = y_bar[equation.target.indices]
            if equation.kind == "max":
                slope *= sp.Mul(*(sp.KroneckerDelta(winner, k) for k, winner in equation.winners().items()))
            yield x.base.name, gather(equation, term, x, sensitivity * slope, at, sizes or {})


def derivative(body: sp.Expr, x: sp.Indexed) -> sp.Expr:
    """The partial derivative of a body by one of its operands, all other operands held."""
    stand_in = sp.Dummy(real=True)
    moved = _choices(body.xreplace({x: stand_in}), stand_in)  # its floors have the slope 0
    flat = {f: sp.Dummy(real=True) for f in sorted(moved.atoms(sp.floor), key=str) if f.has(stand_in)}
    slope = sp.diff(moved.xreplace(flat), stand_in).doit()
    slope = slope.replace(sp.Derivative, _prime).replace(
        sp.Subs, lambda d, new, at: d.subs(dict(zip(new, at, strict=True)))
    )
    return slope.xreplace({d: f for f, d in flat.items()}).xreplace({stand_in: x})


def _choices(e: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """Maxima and minima of x and others as choices among them; of equal ones a constant is taken, if there is one."""
    if not (e.has(sp.Max, sp.Min) and e.has(x)):
        return e
    if not isinstance(e, sp.Max | sp.Min):
        return e.func(*(_choices(a, x) for a in e.args))
    beyond = sp.Gt if isinstance(e, sp.Max) else sp.Lt
    extreme, *rest = sorted(e.args, key=lambda a: (not a.is_number, str(a)))
    chosen = _choices(extreme, x)
    for a in rest:
        chosen = sp.Piecewise((_choices(a, x), beyond(a, extreme)), (chosen, True), evaluate=False)
        extreme = e.func(extreme, a)
    return chosen


def _prime(f: sp.Expr, *by: sp.Tuple) -> sp.Expr:
    """The derivative of an unknown function of one argument, as a function of that argument: sigma'(z)."""
    return sp.Function(f"{f.func.__name__}'", real=True)(*f.args)


def gather(
    equation: Equation,
    term: Term,
    operand: sp.Indexed,
    factor: sp.Expr,
    at: tuple[sp.Symbol, ...],
    sizes: Mapping[sp.Symbol, sp.Expr],
) -> Term:
    """The sum of ``factor`` over all (i, k) at which the equation's term reads ``operand`` at the place ``at``."""
    own = [i for i in equation.target.indices if isinstance(i, sp.Symbol)]
    apart = {v: sp.Dummy(v.name, integer=True) for v in (*own, *(k for k, *_ in term.over))}
    free: dict[sp.Symbol, tuple[sp.Expr, sp.Expr]] = {apart[i]: (sp.Integer(0), size_of(i) - 1) for i in own}
    moved = term.map(apart)
    free |= {k: (low, high) for k, low, high in moved.over}
    place = operand.xreplace(apart)

    solved: dict[sp.Basic, sp.Expr] = {}
    conditions: list[sp.Expr] = list(moved.conditions)
    implied: list[sp.Expr] = []  # by other conditions, and of use as bounds alone
    deltas: list[sp.Expr] = []
    digits = _Digits.of(place.indices, free)
    free |= digits.ranges
    equations = [*zip(digits.components, at, strict=True), *((e, sp.Integer(0)) for e in digits.wholes)]
    for component, p in equations:
        if isinstance(component, sp.floor):  # floor(top / c) = p says that c p <= top < c p + c
            top, c = sp.fraction(sp.together(component.args[0]))
            conditions += [top - c * p, c * p + c - 1 - top]
            continue
        gap = sp.expand(component.xreplace(solved) - p)
        others = [c for c, _ in equations if c != component]
        v = _solvable(gap, [v for v in free if not _address(gap, v)], others)
        if v is None:
            if gap != 0:
                deltas.append(sp.KroneckerDelta(component.xreplace(solved), p))
            continue
        slope = gap.coeff(v)
        multiple, c = sp.expand((slope * v - gap) * sp.sign(slope)), abs(slope)  # c v = multiple
        value = sp.floor(multiple / c)
        low, high = free.pop(v)
        solved = {k: sp.expand(e.xreplace({v: value})) for k, e in solved.items()} | {v: value}
        if c != 1:
            conditions.append(-sp.Mod(multiple, c))
        if not (value == p and (low, high) == (0, size_of(p) - 1)):  # else the place's own range already says it
            (implied if v in digits.high else conditions).extend([multiple - c * low, c * high - multiple])
    implied = [c for e in implied if (c := e.xreplace(solved)).has(*free)]
    conditions = [*implied, *(c.xreplace(solved) for c in conditions)]
    conditions = [c for c in conditions if c.has(sp.Mod)] + Inside(
        [i for i in at if isinstance(i, sp.Symbol)], sizes
    ).open([sp.expand(c) for c in conditions if not c.has(sp.Mod)], free)
    body = (factor.xreplace(apart) * sp.Mul(*deltas)).xreplace(solved)
    over, left = loop_bounds(free, conditions, at)
    back: dict[sp.Basic, sp.Basic] = {}
    for k, *_ in over:
        back[k] = fresh(sp.Symbol(k.name, integer=True), [*at, *back.values()])
    return Term(body, tuple(over), tuple(left)).map(back)


@dataclass(frozen=True)
class _Digits:
    """The components of a place with digits as indices: for each ``A mod c``, it and ``floor(A / c)``.

    wholes: for each, ``A - c floor - mod``, which is 0. ranges: of the digits. high: those that are floors.
    """

    components: list[sp.Expr]
    wholes: list[sp.Expr]
    ranges: dict[sp.Symbol, tuple[sp.Expr, sp.Expr]]
    high: set[sp.Symbol]

    @classmethod
    def of(cls, components: Iterable[sp.Expr], free: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]]) -> "_Digits":
        """What is innermost comes first. An A that may be below 0 stays as it is."""
        found = cls(list(components), [], {}, set())
        while remainder := found._next(free):
            found = found._with(remainder, free)
        return found

    def _next(self, free: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]]) -> sp.Mod | None:
        inside = sorted({m for e in self.components for m in e.atoms(sp.Mod)}, key=lambda m: (sp.count_ops(m), str(m)))
        known = {**free, **self.ranges}
        return next((m for m in inside if _extreme(m.args[0], known, 0).is_nonnegative), None)

    def _with(self, remainder: sp.Mod, free: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]]) -> "_Digits":
        whole, c = remainder.args
        high, low = sp.Dummy("high", integer=True), sp.Dummy("low", integer=True)
        digits = {remainder: low, sp.floor(whole / c): high}
        least, most = (sp.floor(_extreme(whole, {**free, **self.ranges}, end) / c) for end in (0, 1))
        return _Digits(
            [e.xreplace(digits) for e in self.components],
            [*self.wholes, whole - c * high - low],
            {**self.ranges, high: (least, most), low: (sp.Integer(0), c - 1)},
            self.high | {high},
        )


def _extreme(e: sp.Expr, free: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]], end: int) -> sp.Expr:
    """The least (end 0) or the largest (1) value of what is affine in indices of these ranges."""
    slopes = {v: sp.expand(e).coeff(v) for v in free if e.has(v)}
    return sp.expand(e).xreplace({v: free[v][end if slope.is_nonnegative else 1 - end] for v, slope in slopes.items()})


def _solvable(gap: sp.Expr, free: Sequence[sp.Symbol], others: Sequence[sp.Expr]) -> sp.Symbol | None:
    """The index to solve ``gap = 0`` for: of unit coefficient, or of another that no other component of the place has.

    Contracted indices, which come last, are solved first, so that what remains is an index of the output; where a stride is a
    symbol, the output's own are, so that what remains is the window.
    """
    for v in reversed(free):
        if gap.coeff(v) in (1, -1):
            return v
    alone = [v for v in free if gap.coeff(v) != 0 and not any(c.has(v) for c in others)]
    whole = [v for v in alone if gap.coeff(v).is_Integer]
    steps = [v for v in alone if gap.coeff(v).is_Symbol and gap.coeff(v).is_positive]
    return whole[-1] if whole else steps[0] if steps else None


def _address(gap: sp.Expr, index: sp.Symbol) -> bool:
    """Whether the index stands inside the address that a tensor holds, where no equation can be solved for it."""
    return any(x.has(index) for x in gap.atoms(sp.Indexed))


def loop_bounds(
    free: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]], conditions: Iterable[sp.Expr], indices: Iterable[sp.Symbol] = ()
) -> tuple[list[Range], list[sp.Expr]]:
    """Conditions on a single summed index become bounds of its loop (one step of Fourier-Motzkin); the rest are left.

    ``indices`` are those known not to be negative, besides the summed ones.
    """
    natural = {
        v: sp.Dummy(v.name, integer=True, nonnegative=True) for v in (*free, *indices) if isinstance(v, sp.Symbol)
    }
    rest_of = sp.Dummy(integer=True, nonnegative=True)
    facts = [natural, *(natural | {size_of(v): natural[v] + 1 + rest_of} for v in natural)]  # 0 <= v, and v < its size
    lows = {v: [low] for v, (low, _) in free.items()}
    highs = {v: [high] for v, (_, high) in free.items()}
    left = []
    for c in dict.fromkeys(conditions):
        if any(c.xreplace(fact).is_nonnegative for fact in facts):
            continue
        inside = [v for v in free if c.has(v)]
        slope = c.coeff(inside[0]) if len(inside) == 1 else sp.Integer(0)
        rest = sp.expand(c - slope * inside[0]) if inside else c
        if rest.has(*inside):
            left.append(c)
        elif slope.is_positive:
            lows[inside[0]].append(sp.ceiling(-rest / slope))
        elif slope.is_negative:
            highs[inside[0]].append(sp.floor(rest / -slope))
        else:
            left.append(c)
    left = [c for c in left if not any(c != d and sp.expand(c - d).is_nonnegative for d in left)]  # the others say more
    back = {d: v for v, d in natural.items()}

    def extreme(kind: type, bounds: list[sp.Expr]) -> sp.Expr:
        return kind(*(b.xreplace(natural) for b in bounds)).xreplace(back)

    return [(v, extreme(sp.Max, lows[v]), extreme(sp.Min, highs[v])) for v in free], left
