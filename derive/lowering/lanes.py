"""Nests whose innermost places go several at a time: vectors along the fastest index, sums and maxima kept in registers.

So are reductions along slow indices (the window of a pooling layer, the samples of a batch), in which the fastest index of
the target is the fastest of every operand: its lane.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace

import sympy as sp

from derive.calculus.equation import Equation, Range, Term, holds, size_of, tensors_of
from derive.lowering.expressions import FUNCTIONS
from derive.lowering.kernel import Ahead, Assign, Loop
from derive.lowering.kinds import Declared, Order, as_stored, positions
from derive.lowering.nests import Nest, outside, tensor_at, whole

TERMS = 8  # of a sum in double precision that are added up in the network's own


def lane_of(equation: Equation, declared: Declared, order: Order) -> sp.Symbol | None:
    """The lane of an equation that can be done so: an index by which all that has it is stored last, and read as it stands."""
    stored = as_stored(equation.target, declared, order)
    if len(stored) < 2 or not all(isinstance(i, sp.Symbol) for i in stored):
        return None
    lane = stored[-1]
    for t in equation.terms:
        chosen = [c for p in t.body.atoms(sp.Piecewise) for _, c in p.args]
        if (t.conditions and not t.over) or any(map(_chooses_places, chosen)):
            return None  # what lies outside of a tensor is not to be read
        if any(f.func.__name__ in FUNCTIONS for f in t.body.atoms(sp.Function, sp.exp)) or not _has_plain_powers(
            t.body
        ):
            return None
        if any(bound.has(lane) for _, low, high in t.over for bound in (low, high)):
            return None
        if lane in positions(t.body) or any(lane in positions(holds(c)) for c in t.conditions):
            return None
        for x in t.operands():
            own = as_stored(x, declared, order)
            if any(i.has(lane) for i in own[:-1]) or (own and own[-1].has(lane) and own[-1] != lane):
                return None
    return lane


def _has_plain_powers(body: sp.Expr) -> bool:
    """Whether products, quotients and square roots are all the powers there are."""
    return all((2 * p.exp).is_Integer and abs(p.exp) <= 4 for p in body.atoms(sp.Pow) if p.has(sp.Indexed))


def _chooses_places(condition: sp.Basic) -> bool:
    return any(not c.has(sp.Indexed) for c in condition.atoms(sp.Rel))


def wants_lanes(group: Sequence[Equation], declared: Declared, order: Order) -> bool:
    """Whether these equations of one target's indices gain by it: they reduce, move places, or share a row of values."""
    lanes = [lane_of(e, declared, order) for e in group]
    if None in lanes or len(set(lanes)) > 1 or len({e.target.indices for e in group}) > 1:
        return False
    target = group[0].target.indices
    for e in group:
        for t in e.terms:
            if t.over or any(x.indices == (lanes[0],) for x in t.operands()):
                return True
            if any(i not in target for x in t.operands() for i in x.indices):
                return True
    return False


def in_lanes(nest: Nest, lane: sp.Symbol, body: list) -> list:
    """``body`` for several places of the lane at a time."""
    return [Loop(lane.name, "0", nest.index(size_of(lane)), body, lanes=True)]


def lane_body(nest: Nest, group: Sequence[Equation], stored: set[str]) -> list:
    """One row of all the equations, for some lanes."""
    lines: list = []
    for batch in _batches(group):
        if batch[0].kind == "max":
            lines += _maximum(nest, batch[0], stored)
        else:
            lines += _values(nest, batch, stored, _in_double if nest.is_double(batch[0].name) else Nest.summed)
    return lines


def _only_sum(group: Sequence[Equation]) -> Term | None:
    """The one sum of a group that is a single equation with a single sum."""
    sums = [t for e in group for t in e.terms if t.over and e.kind == "sum"]
    return sums[0] if len(group) == len(sums) == 1 else None


def weights_of(
    group: Sequence[Equation], rows: Sequence[sp.Symbol], lane: sp.Symbol, taps: Set[str]
) -> sp.Indexed | None:
    """What has the lane and the taps of a sum that the rows' place in a plane may cut short: a window's weights."""
    term = _only_sum(group)
    if term is None:
        return None
    summed = {k for k, *_ in term.over}
    cut = any(bound.has(*rows[1:]) for _, *bounds in term.over for bound in bounds)
    weights = [x for x in term.operands() if set(x.indices) == summed | {lane}]
    return weights[0] if cut and {k.name for k in summed} <= taps and len(weights) == 1 else None


def weighted_body(nest: Nest, equation: Equation, stored: set[str], weights: sp.Indexed) -> tuple[Assign, list]:
    """(how the weights are kept near by; one row of the equation, for some lanes).

    All taps are gone through, and those outside left out: so what is read of the weights stays in registers.
    """
    nest.printer.used.add("near")
    *taps, lane = map(nest.index, nest.stored(weights))
    kept = nest.fresh(f"near_{weights.base.name}")
    near = sp.Symbol(f".{kept}[{', '.join(taps)}]", real=True)

    def summed(nest: Nest, term: Term, bodies: Mapping[str, sp.Expr]) -> list:
        ends = [(k, *map(nest.named, nest.bounds_of(k, low, high))) for k, low, high in term.over]
        inside = [k - first for k, first, _ in ends if first != 0]
        inside += [last - 1 - k for k, _, last in ends if last != size_of(k)]
        term = replace(term, over=tuple(whole(k) for k, *_ in term.over), conditions=(*term.conditions, *inside))
        return nest.summed(term, {name: body.xreplace({weights: near}) for name, body in bodies.items()})

    return Assign(kept, f"near({weights.base.name}, {lane})"), _values(nest, [equation], stored, summed)


def shares_planes(group: Sequence[Equation], tap: sp.Symbol) -> bool:
    """Whether this is one sum over planes, which rows it takes depending on the tap, of products with something that is the
    same for all taps: a filter's gradient."""
    term = _only_sum(group)
    if term is None or len(group[0].terms) != 1 or len(term.over) < 2:
        return False
    (_, low, high), *inside = term.over
    moved = any(b.has(tap) for b in (low, high)) and not any(b.has(tap) for _, *bounds in inside for b in bounds)
    shared = any(not x.has(tap) for x in term.operands())
    return moved and shared and not term.conditions and outside(term) == 1


def plane_body(nest: Nest, equation: Equation, tap: sp.Symbol) -> list:
    """Such a sum with each row of the planes taken for all taps while it is near, their totals in memory.

    Every vector begins at zero, so one that moves back does all of its components anew.
    """
    (term,) = equation.terms
    (row, low, high), *inside = term.over
    place, total = nest.place(equation.target), nest.fresh("total")
    bounds, conditions = _bounds_without(tap, row, low, high)
    added = nest.summed(replace(term, over=tuple(inside)), {total: term.body})
    added = nest.conditional(conditions, [Assign(total, place), *added, Assign(place, total)])
    return nest.loops([whole(tap)], [Assign(place, nest.zero())]) + nest.loops([bounds, whole(tap)], added)


def _bounds_without(tap: sp.Symbol, row: sp.Symbol, low: sp.Expr, high: sp.Expr) -> tuple[Range, list[sp.Expr]]:
    """The range of a row for any tap, and what else must be >= 0: of a bound ceiling(a / b) or floor(a / b), nothing is
    divided."""
    lows, highs = sorted(sp.Max.make_args(low), key=str), sorted(sp.Min.make_args(high), key=str)
    conditions = []
    for bound, sign in (*((b, 1) for b in lows), *((b, -1) for b in highs)):
        if bound.has(tap):
            rounded = next(iter(bound.atoms(sp.floor, sp.ceiling)), None)
            above, below = sp.fraction(sp.together(rounded.args[0])) if rounded is not None else (sp.Integer(0), 1)
            rest = row - (bound - (rounded or 0))
            conditions.append(sp.expand(sign * (below * rest - above)))
    own = sp.Max(*(b for b in lows if not b.has(tap))), sp.Min(*(b for b in highs if not b.has(tap)))
    return (row, *own), conditions


def _batches(group: Sequence[Equation]) -> list[list[Equation]]:
    """Neighbours that sum over the same ranges, and do not wait for each other, together."""
    batches: list[list[Equation]] = []
    for e in group:
        e = _like(e, batches[-1][0]) if batches else e
        last = batches[-1] if batches else []
        same = last and e.kind == last[0].kind == "sum" and _ranges(e) == _ranges(last[0]) and _ranges(e)
        if same and not e.reads() & {other.name for other in last}:
            last.append(e)
        else:
            batches.append([e])
    return batches


def _ranges(equation: Equation) -> list:
    return [(t.over, t.conditions) for t in equation.terms if t.over]


def _like(equation: Equation, other: Equation) -> Equation:
    """The equation with the other's summed indices, where both sum over as many."""
    mine, theirs = _ranges(equation), _ranges(other)
    if len(mine) != 1 or len(theirs) != 1 or len(mine[0][0]) != len(theirs[0][0]):
        return equation
    change = {k: theirs[0][0][n][0] for n, (k, *_) in enumerate(mine[0][0])}
    return equation.map(change) if all(size_of(k) == size_of(v) for k, v in change.items()) else equation


def _values(nest: Nest, batch: Sequence[Equation], stored: set[str], summed: Callable[..., list]) -> list:
    """Sums over the same ranges in one loop, as ``summed`` makes it like `Nest.summed`; then each equation from its sums."""
    lines: list = []
    sums = [[(t, nest.fresh("total")) for t in e.terms if t.over] for e in batch]
    lines += [Assign(name, nest.zero(e.name)) for e, found in zip(batch, sums, strict=True) for _, name in found]
    for together in zip(*sums, strict=True):
        (first, _), bodies = together[0], {name: _masked(t) for t, name in together}
        term = replace(first, conditions=tuple(_of_places(first)))
        lines += _next_seen_from(nest, [t for t, _ in together])
        lines += summed(nest, term, bodies)
    for e, found in zip(batch, sums, strict=True):
        summands = [_held(outside(t)) * sp.Symbol(f".{name}", real=True) for t, name in found]
        plain = [t.body for t in e.terms if not t.over]
        kept = e.name in stored
        lines += nest.statements({nest.place(e.target) if kept else e.name: sp.Add(*plain, *summands)})
        nest.locals |= set() if kept else {e.name}
    return lines


def _in_double(nest: Nest, term: Term, bodies: Mapping[str, sp.Expr]) -> list:
    """``name += body`` for each in double precision: TERMS of them are added up in the network's own, then converted at once."""
    *outer, (k, low, high) = term.over
    step = sp.Symbol(nest.fresh("step"), integer=True)
    nest.moving.add(step)
    first = low + TERMS * step
    few = {name: nest.fresh("few") for name in bodies}
    lines: list = [Assign(name, nest.zero()) for name in few.values()]
    some = replace(term, over=((k, first, sp.Min(high, first + TERMS - 1)),))
    loops = nest.summed(some, {few[n]: b for n, b in bodies.items()})
    if isinstance(loops[-1], Loop):
        loops[-1].body[:0] = _below(nest, k, bodies.values())
    lines += loops
    lines += [Assign(name, f"double({part})", "+=") for name, part in few.items()]
    nest.printer.used.add("double")
    return nest.loops([*outer, (step, sp.Integer(0), sp.floor((high - low) / TERMS))], lines)


def _below(nest: Nest, k: sp.Symbol, bodies: Iterable[sp.Expr]) -> list:
    """Asks for the rows that come after the next TERMS, where each is longer than the vector: the processor would not see
    that coming."""
    read = sorted({x for body in bodies for x in tensors_of(body) if k in nest.stored(x)[-2:-1]}, key=str)
    nest.printer.used |= {"ahead_in_part"} if read else set()
    moved = [x.xreplace({k: k + TERMS}) for x in read]
    return [Ahead(x.base.name, ", ".join(map(nest.index, nest.stored(x))), "ahead_in_part") for x in moved]


def _held(factor: sp.Expr) -> sp.Expr:
    """A factor that divides by sizes as one number, so that the loops do not divide."""
    symbols = factor.free_symbols
    divides = symbols and factor.is_rational_function(*symbols) and not factor.is_polynomial(*symbols)
    return sp.UnevaluatedExpr(factor) if divides and not factor.has(sp.Indexed) else factor


def _of_places(term: Term) -> list:
    """The conditions that are the same for the whole lane."""
    return [c for c in term.conditions if not c.has(sp.Indexed)]


def _masked(term: Term) -> sp.Expr:
    """The body of a sum; zero where a condition on values does not hold."""
    body = term.body / outside(term)
    masks = [holds(c) for c in term.conditions if c.has(sp.Indexed)]
    return sp.Piecewise((body, sp.And(*masks)), (0, True), evaluate=False) if masks else body


def _maximum(nest: Nest, equation: Equation, stored: set[str]) -> list:
    """The largest value and the place it first stands at; a NaN is larger than all else, and of no values -oo the largest."""
    (term,) = equation.terms
    winners = {k: at.base.name for k, at in equation.winners().items() if at.base.name in stored}
    names = (equation.name, *winners.values())
    best = {name: nest.fresh(f"{name}_so_far") if name in stored else name for name in names}
    first = {k: low for k, low, _ in term.over}
    nest.printer.used |= {"inf", "where"}
    value, better = nest.fresh("value"), nest.fresh("better")
    take = [*nest.statements({value: term.body}), *_next_windows(nest, equation)]
    so_far = best[equation.name]
    take.append(Assign(better, f"({value} > {so_far}) | ({value} != {value})"))
    take.append(Assign(so_far, f"where({better}, {value}, {so_far})"))
    for k, at in winners.items():
        take.append(Assign(best[at], f"where({better}, {nest.whole_number(at, k.name)}, {best[at]})"))
    loops = nest.loops(term.over, nest.conditional(term.conditions, take))
    lines: list = [Assign(so_far, f"-{nest.printer.number('inf')}")]
    lines += [Assign(best[at], nest.whole_number(at, nest.index(first[k]))) for k, at in winners.items()]
    nest.locals |= set(names) - stored
    return [*lines, *loops, *(Assign(nest.place(tensor_at(n, equation)), best[n]) for n in names if n in stored)]


def _next_windows(nest: Nest, equation: Equation) -> list:
    """Asks for what the next row of windows reads: rows of a plane lie too far apart for the processor to see what comes."""
    (term,) = equation.terms
    windowed = {k for k, *_ in term.over}
    for row in nest.rows[1:]:
        moved = term.body.xreplace({row: row + 1})
        if isinstance(moved, sp.Indexed) and any(i.has(row) and i.free_symbols & windowed for i in moved.indices):
            return _asked(nest, [moved])
    return []


def _next_seen_from(nest: Nest, terms: Sequence[Term]) -> list:
    """The same for sums over the windows that a place lies in, which go in steps: asks for the row after the last of them."""
    over = terms[0].over
    for k, *ends in over:
        if ends[0].has(sp.ceiling) and any(end.has(*nest.rows[1:]) for end in ends):
            bounds = {i: nest.bounds_of(i, low, high) for i, low, high in over}
            below = {i: nest.named(last if i == k else first) for i, (first, last) in bounds.items()}
            read = [x for t in terms for x in t.operands() if {k, nest.rows[0]} <= set(nest.stored(x)[:-1])]
            return _asked(nest, [x.xreplace(below) for x in read])
    return []


def _asked(nest: Nest, wanted: Sequence[sp.Indexed]) -> list:
    nest.printer.used |= {"ahead"} if wanted else set()
    places = {x.base.name: ", ".join(map(nest.index, nest.stored(x))) for x in wanted}
    return [Ahead(name, place) for name, place in sorted(places.items())]
