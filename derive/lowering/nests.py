"""Elementwise equations, reductions and scatters as nests of loops; equations over the same rows share the loops over them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.adjoint import loop_bounds
from derive.calculus.equation import Equation, Term, holds, index_of, size_of, tensors_of
from derive.calculus.ranges import Inside
from derive.lowering.expressions import FUNCTIONS, OF_NUMPY, IndexPrinter, ValuePrinter, first_tap, gcd, with_locals
from derive.lowering.kernel import Assign, If, Loop, While
from derive.lowering.kinds import conditions_in

FIRST, LAST = sp.symbols("first last", integer=True)
CALLED = {
    *FUNCTIONS,
    *OF_NUMPY,
    "range",
    "span",
    "int",
    "abs",
    "max",
    "min",
    "contract",
    "contract_add",
    "contract_bias",
}
CALLED |= {"contract_nest", "contract_nest_bias", "contract_nest_add", "border", "first_tap", "gcd", "BOX", "FEW"}
CALLED |= {"filtered_filters", "filtered_places", "filtered_places_bias", "filtered_products", "filtered_gradient"}
CALLED |= {"ahead", "ahead_in_part", "lanes", "near", "where", "double", "fma", "inf", "int16", "int32"}
RESERVED = {"T", "first", "last", "scratch", "box", *CALLED}  # what names mean in every kernel


class Nest:
    """Builds the body of one kernel; collects what its text needs: functions, scalars, sizes, typed constants.

    ``arrays`` gives each array's indices in the order of storage, ``declared`` each tensor's in the order of its definition,
    ``dtypes`` that of tensors that have another than the network. Inside loops over ``rows``, what bounds a loop and none of
    the ``moving`` indices changes is computed where its row begins.
    """

    def __init__(
        self,
        arrays: Mapping[str, tuple[str, ...]],
        declared: Mapping[str, Sequence[sp.Symbol]],
        split: str,
        dtypes: Mapping[str, str] | None = None,
        rows: Sequence[sp.Symbol] = (),
        moving: Iterable[sp.Symbol] = (),
    ) -> None:
        self.arrays, self.declared, self.split = dict(arrays), declared, split
        self.dtypes, self.rows = dict(dtypes or {}), tuple(rows)
        self.moving = set(moving)
        self.held: dict[sp.Expr, str] = {}  # whole numbers in local variables
        self.rising: list[tuple[sp.Expr, str]] = []  # what these are, in the order of their need
        self.locals: set[str] = set()  # tensors held in a local variable: one value a row
        self.copies: dict[str, str] = {}  # of tensors that are stored as well, unrounded
        self.constants: dict[sp.Expr, str] = {}
        self.sizes: set[sp.Symbol] = set()
        self.integers: set[str] = set()  # names that stand in addresses: indices, sizes, settings that count
        self.names = RESERVED | {*arrays, *declared, *(i for at in arrays.values() for i in at)}
        self.printer = ValuePrinter(self.place, self.index)

    def reserve(self, equations: Iterable[Equation]) -> None:
        """Keep the indices and settings of these equations from being taken for local variables."""
        for equation in equations:
            for part in (
                equation.target,
                *(e for t in equation.terms for e in (t.body, *t.conditions, *sum(t.over, ()))),
            ):
                self.names |= {s.name for s in part.atoms(sp.Symbol)}

    def fresh(self, name: str) -> str:
        """``name``, or the first of name1, name2, ... that nothing else has."""
        count, found = 0, name
        while found in self.names:
            count += 1
            found = f"{name}{count}"
        self.names.add(found)
        return found

    def size(self, size: sp.Symbol) -> str:
        """A size by its letter; by its index where something else has that name."""
        self.sizes.add(size)
        return size.name if size.name not in (RESERVED | {*self.arrays}) else f"size_{index_of(size)}"

    def place(self, x: sp.Indexed) -> str:
        """How a component is read: a local variable, or an element of an array in the order of its storage."""
        name = x.base.name
        if name in self.locals:
            return name
        if name in self.copies:
            return self.copies[name]
        at = dict(zip(map(str, self.declared[name]), x.indices, strict=True))
        for own, component in at.items():
            for part in sorted(component.atoms(sp.floor, sp.Mod), key=sp.count_ops):
                self.hold(part, own if part == component else "at")
        return f"{name}[{', '.join(self.index(at[i]) for i in self.arrays[name]) or '0'}]"

    def stored(self, x: sp.Indexed) -> list[sp.Expr]:
        """The indices of a component in the order of storage; of one in a local variable as they are."""
        at = dict(zip(map(str, self.declared[x.base.name]), x.indices, strict=True))
        return [at[i] for i in self.arrays.get(x.base.name, at)]

    def index(self, e: sp.Expr) -> str:
        """An integer expression as text: indices, sizes, addresses that a tensor holds."""
        text: dict[sp.Basic, sp.Basic] = {x: sp.Symbol(f"int({self.place(x)})", integer=True) for x in tensors_of(e)}
        e = e.xreplace({part: sp.Symbol(name, integer=True) for part, name in self.held.items()}).xreplace(text)
        self.integers |= {s.name for s in e.atoms(sp.Symbol)}
        for s in e.atoms(sp.Symbol):
            if s.name[:1].isupper():
                text[s] = sp.Symbol(self.size(s), integer=True)
        return IndexPrinter().doprint(e.xreplace(text))

    def value(self, e: sp.Expr) -> str:
        """A real expression as text, its index-free parts computed once in double precision."""
        return self.printer.doprint(e.xreplace(self._hoisted(e)))

    def _hoisted(self, e: sp.Expr) -> dict[sp.Expr, sp.Symbol]:
        change: dict[sp.Expr, sp.Symbol] = {}

        def visit(part: sp.Expr) -> None:
            symbols = part.atoms(sp.Symbol)
            if part.args and not part.has(sp.Indexed) and _worth_hoisting(part, symbols):
                change[part] = self._constant(part)
            elif not isinstance(part, sp.Indexed):
                for a in part.args:
                    if isinstance(a, sp.Expr):
                        visit(a)

        visit(e)
        return change

    def _constant(self, value: sp.Expr) -> sp.Symbol:
        """The local variable that holds a value which no index changes."""
        value = value.args[0] if isinstance(value, sp.UnevaluatedExpr) else value
        if value not in self.constants:
            self.constants[value] = self.fresh(f"c{len(self.constants) + 1}")
        return sp.Symbol(f".{self.constants[value]}", real=True)

    def _with_one_number(self, e: sp.Expr) -> sp.Expr:
        """The irrational numbers that a product is of as one constant."""

        def gathered(*factors: sp.Expr) -> sp.Expr:
            numbers = [f for f in factors if f.is_number]
            if len(numbers) == len(factors) or all(f.is_rational or f.is_Float for f in numbers):
                return sp.Mul(*factors)
            return self._constant(sp.Mul(*numbers)) * sp.Mul(*(f for f in factors if not f.is_number))

        return e.replace(sp.Mul, gathered)

    def statements(self, bodies: Mapping[str, sp.Expr], operator: str = "=") -> list:
        """``name operator body`` for each, with common subexpressions as local variables."""
        found, right = with_locals([self._with_one_number(e) for e in bodies.values()], self.names)
        fixed = {name: held[e] for name, e in found if e in (held := self._hoisted(e))}
        lines = [
            Assign(self.printer.doprint(name), self.value(e.xreplace(fixed))) for name, e in found if name not in fixed
        ]
        right = [e.xreplace(fixed) for e in right]
        return lines + [self._assigned(left, e, operator) for left, e in zip(bodies, right, strict=True)]

    def _assigned(self, left: str, e: sp.Expr, operator: str) -> Assign:
        """``left operator e``; in lanes, a product that is added is rounded but once, with the sum."""
        factors = (e.base, e.base) if e.is_Pow and e.exp == 2 else sp.Mul.make_args(e)
        if operator == "+=" and len(factors) == 2 and self.printer.fuses:
            self.printer.used.add("fma")
            return Assign(left, f"fma({', '.join(map(self.value, factors))}, {left})")
        return Assign(left, self.value(e), operator)

    def loops(self, ranges: Sequence[tuple[sp.Symbol, sp.Expr, sp.Expr]], body: list) -> list:
        """``body`` inside one loop a range, the first outermost."""
        for k, low, high in reversed(ranges):
            first, last = self.bounds_of(k, low, high)
            body = [Loop(k.name, self.index(first), self.index(last), body)]
        return body

    def bounds_of(self, k: sp.Symbol, low: sp.Expr, high: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """The first value of an index, and one more than its last."""
        first, last = low, _after(high)
        for bound, name in ((first, f"first_{k}"), (last, f"last_{k}")):
            if bound.has(sp.Max, sp.Min, sp.floor, sp.ceiling):
                self.hold(bound, name)
        return first, last

    def named(self, e: sp.Expr) -> sp.Expr:
        """A whole number, or the variable that holds it."""
        return sp.Symbol(self.held[e], integer=True) if e in self.held else e

    def summed(self, term: Term, bodies: Mapping[str, sp.Expr]) -> list:
        """``name += body`` for each, over the ranges of a term where its conditions hold.

        An index on which a multiple depends, and no index of a loop inside, goes from one multiple to the next; what it is a
        multiple of goes along.
        """
        left, multiples = list(term.conditions), dict[sp.Symbol, _Multiple]()
        for n, (k, *_) in enumerate(term.over):
            inside = [i for i, *_ in term.over[n + 1 :]]
            found = [(c, m) for c in left if (m := _multiple(c, k)) and not m.value.has(*inside)]
            if found:
                condition, multiples[k] = found[0]
                left.remove(condition)
        floors = {
            part for body in bodies.values() for x in tensors_of(body) for i in x.indices for part in i.atoms(sp.floor)
        }
        quotients = {
            k: {f: self.fresh(f"at_{k}") for f in sorted(floors, key=str) if m.has_quotient(f)}
            for k, m in multiples.items()
        }
        carried = {f: name for found in quotients.values() for f, name in found.items()}
        self.held |= carried
        body = self.conditional(left, self.statements(bodies, "+="))
        for quotient in carried:
            del self.held[quotient]
        for k, low, high in reversed(term.over):
            if k not in multiples:
                body = self.loops([(k, low, high)], body)
                continue
            m = multiples[k]
            first, last = self.bounds_of(k, low, high)
            begin = first + first_tap(m.value.xreplace({k: first}), -m.slope, m.divisor, last - first)
            starts = {name: f.xreplace({k: begin}) for f, name in quotients[k].items()}
            held = {f"begin_{k}": begin, **{f"first_{name}": start for name, start in starts.items()}}
            for name, number in {**held, "step": m.step, "change": m.change}.items():
                if not number.is_Atom:
                    self.hold(number, name)
            sign = "-=" if m.slope.is_negative else "+="
            body += [Assign(k.name, self.index(m.step), "+=")]
            body += [Assign(name, self.index(m.change), sign) for name in starts]
            moving = [Assign(k.name, self.index(begin)), *(Assign(name, self.index(e)) for name, e in starts.items())]
            body = [*moving, While(f"{k} < {self.index(last)}", body)]
        return body

    def hold(self, e: sp.Expr, name: str) -> None:
        """Have a whole number that only rows change computed where its row begins, in a variable of that name."""
        if self.rows and e not in self.held and not e.free_symbols & self.moving:
            self.rising.append((e, self.index(e)))
            self.held[e] = self.fresh(name)

    def in_rows(self, body: list, within: Callable[[list], list] = lambda body: body) -> list:
        """``body`` inside the loops over the rows, each with what it holds; the split row over the kernel's own range.

        ``within`` gives what the last of them stands in.
        """
        for depth in reversed(range(-1, len(self.rows))):
            body = within(body) if depth == len(self.rows) - 2 else body
            rows_of = {e: max((n for n, i in enumerate(self.rows) if e.has(i)), default=-1) for e in self.held}
            body = [Assign(self.held[e], text) for e, text in self.rising if rows_of[e] == depth] + body
            if depth >= 0:
                row = self.rows[depth]
                own = ("first", "last") if row.name == self.split else ("0", self.index(size_of(row)))
                body = [Loop(row.name, *own, body)]
        return body

    def conditional(self, conditions: Sequence[sp.Basic], body: list) -> list:
        """``body`` where all conditions hold."""
        if not conditions:
            return body
        return [If(" and ".join(self.printer.condition(holds(c), of_places=True) for c in conditions), body)]

    def is_double(self, name: str) -> bool:
        """Whether a tensor is read in double precision in a network of single precision."""
        return self.dtypes.get(name) == "float64" or name in self.copies

    def zero(self, name: str = "") -> str:
        """Zero to add to: in the dtype of that tensor, if it has one of its own, else in the kernel's."""
        return "0.0" if name in self.dtypes else self.printer.number("0")

    def whole_number(self, name: str, text: str) -> str:
        """A whole number in the dtype of the tensor that holds it."""
        self.printer.used.add(self.dtypes[name])
        return f"{self.dtypes[name]}({text})"


@dataclass(frozen=True)
class _Multiple:
    """That ``value``, which grows by ``slope`` with an index, is a multiple of ``divisor``."""

    value: sp.Expr
    slope: sp.Expr
    divisor: sp.Expr

    def has_quotient(self, floor: sp.Expr) -> bool:
        """Whether that is the value over the divisor."""
        return sp.expand(floor.args[0] * self.divisor - self.value) == 0

    @property
    def step(self) -> sp.Expr:
        """From one value of the index to the next."""
        return self.divisor if abs(self.slope) == 1 else sp.floor(self.divisor / gcd(self.divisor, abs(self.slope)))

    @property
    def change(self) -> sp.Expr:
        """By how much the quotient grows, or falls, from one value of the index to the next."""
        return sp.Integer(1) if abs(self.slope) == 1 else sp.floor(abs(self.slope) / gcd(self.divisor, abs(self.slope)))


def _multiple(condition: sp.Basic, k: sp.Symbol) -> _Multiple | None:
    """The condition, if it is that something linear in k, of a known sign, is a multiple of what k does not change."""
    condition = holds(condition)
    if not isinstance(condition, sp.Eq) or not isinstance(condition.lhs, sp.Mod) or condition.rhs != 0:
        return None
    value, divisor = condition.lhs.args
    slope = sp.expand(value).coeff(k)
    if not (slope.is_positive or slope.is_negative) or slope.has(sp.Indexed) or divisor.has(k):
        return None
    return None if sp.expand(value - slope * k).has(k) else _Multiple(value, slope, divisor)


def _after(last: sp.Expr) -> sp.Expr:
    """One more than the last value of an index."""
    return last.func(*map(_after, last.args)) if isinstance(last, sp.Min) else sp.expand(last + 1)


def _worth_hoisting(part: sp.Expr, symbols: set[sp.Symbol]) -> bool:
    """Whether no index and no variable changes the part, and it is more than arithmetic on sizes, which reads best in place.

    Of numbers the irrational ones; and what is held together.
    """
    if part.is_number:
        return not part.is_rational
    if any(s.name.startswith(".") or (s.is_integer and s.name[:1].islower()) for s in symbols):
        return False
    if isinstance(part, sp.UnevaluatedExpr):
        return True
    return not all(s.is_integer for s in symbols) or (bool(symbols) and not part.is_rational_function(*symbols))


def whole(i: sp.Symbol) -> tuple[sp.Symbol, sp.Expr, sp.Expr]:
    """An index with its whole range."""
    return i, sp.Integer(0), size_of(i) - 1


def in_range(
    equation: Equation, declared: Mapping[str, Sequence[sp.Symbol]], sizes: Mapping[sp.Symbol, sp.Expr] | None = None
) -> Equation:
    """The equation with every operand read inside its sizes only: beyond them a tensor is zero.

    Where that makes the whole body zero, it is a bound of the loops or a condition; elsewhere the operand is a choice.
    Factors that only choose places (Kronecker deltas, cases over indices) become conditions as well. ``sizes`` are those
    that follow from others.
    """
    natural = [i for i in equation.target.indices if isinstance(i, sp.Symbol)]
    known = Inside(natural, sizes or {})
    terms = []
    for term in (part for t in equation.terms for part in _apart(t, declared, known)):
        body, conditions = conditions_in(term.body)
        conditions = [*term.conditions, *conditions]
        summed = [k for k, *_ in term.over]
        known = replace(known, natural=[*natural, *(r[0] for r in term.over if r == whole(r[0]))])
        for x in tensors_of(body):
            inside = known.open(_bounds(x, declared.get(x.base.name, x.indices)), summed, conditions)
            if not inside:
                continue
            if equation.kind == "sum" and body.xreplace({x: sp.Integer(0)}) == 0:
                conditions += inside
            else:
                choice = sp.Piecewise((x, sp.And(*(c >= 0 for c in inside))), (0, True), evaluate=False)
                body = body.xreplace({x: choice})
        affine = [c for c in conditions if isinstance(c, sp.Expr) and not c.has(sp.Indexed)]
        open_ones = known.open(affine, summed)
        over, left = loop_bounds({k: (low, high) for k, low, high in term.over}, open_ones, natural)
        left += [c for c in conditions if c not in affine]
        terms.append(Term(body, tuple(over), tuple(left)))  # type: ignore[arg-type]
    return Equation(equation.target, tuple(terms), equation.kind, equation.note)


def _apart(term: Term, declared: Mapping[str, Sequence[sp.Symbol]], known: Inside) -> list[Term]:
    """The addends of a term without a sum, each by itself if any of them reads beyond a tensor's sizes."""
    addends = sp.Add.make_args(term.body)
    bounds = [c for x in tensors_of(term.body) for c in _bounds(x, declared.get(x.base.name, x.indices))]
    if term.over or not known.open(bounds, ()):
        return [term]
    return [replace(term, body=a) for a in addends]


def _bounds(x: sp.Indexed, own: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """What must be >= 0 for the component to be inside the tensor, where a component is not an index of that size."""
    found: list[sp.Expr] = []
    for component, i in zip(x.indices, own, strict=True):
        plain = isinstance(component, sp.Symbol) and size_of(component) == size_of(i)
        plain |= isinstance(component, sp.Mod) and component.args[1] == size_of(i)
        if isinstance(component, sp.floor):
            top, bottom = sp.fraction(sp.together(component.args[0]))
            found += [sp.expand(top), sp.expand(bottom * size_of(i) - 1 - top)]
        elif isinstance(i, sp.Symbol) and not plain:
            found += [sp.expand(component), sp.expand(size_of(i) - 1 - component)]
    return found


def row_body(nest: Nest, equations: Sequence[Equation], rows: Sequence[sp.Symbol], stored: set[str]) -> list:
    """One row: each equation after the other, values that only the row needs in local variables."""
    lines: list = []
    for number, equation in enumerate(equations):
        inner = [i for i in nest.stored(equation.target) if isinstance(i, sp.Symbol) and i not in rows]
        place = nest.place(equation.target) if equation.name in stored else ""
        later = any(equation.name in e.reads() for e in equations[number + 1 :])
        if place and later and not inner and any(nest.is_double(name) for name in equation.reads()):
            nest.copies[equation.name] = nest.fresh(f"{equation.name}_double")
        if equation.kind == "max":
            wanted = stored.union(*(e.reads() for e in equations))
            row = _maximum(nest, equation, stored, wanted)
        else:
            row = _value(nest, equation, stored)
        lines += nest.loops(list(map(whole, inner)), row)
        if equation.name in nest.copies:
            lines.append(Assign(place, nest.copies[equation.name]))
    return lines


def _value(nest: Nest, equation: Equation, stored: set[str]) -> list:
    """One component: each sum in a variable, then the equation from those variables."""
    kept = equation.name in stored
    place = nest.place(equation.target) if kept else equation.name
    plain = [t.body for t in equation.terms if not t.over and not t.conditions]
    limited = [t for t in equation.terms if not t.over and t.conditions]
    reductions = [t for t in equation.terms if t.over]
    if not kept:
        nest.locals.add(equation.name)
    if len(reductions) == len(equation.terms) == 1 and not kept and outside(reductions[0]) == 1:
        return _sum(nest, reductions[0], place)
    lines: list = []
    for term in reductions:
        name = nest.fresh("total")
        lines += _sum(nest, term, name)
        plain.append(outside(term) * sp.Symbol(f".{name}", real=True))
    lines += nest.statements({place: sp.Add(*plain)})
    for term in limited:
        lines += nest.conditional(term.conditions, nest.statements({place: term.body}, "+="))
    return lines


def outside(term: Term) -> sp.Expr:
    """The factors of a sum's body that are the same for all its addends; numbers below one stay, lest squares overflow."""
    summed = [k for k, *_ in term.over]
    shared = [f for f in sp.Mul.make_args(term.body) if not f.has(*summed)]
    return sp.Mul(*(f for f in shared if not (f.is_number and abs(f) < 1)))


def _sum(nest: Nest, term: Term, name: str) -> list:
    return [Assign(name, nest.zero()), *nest.summed(term, {name: term.body / outside(term)})]


def _maximum(nest: Nest, equation: Equation, stored: set[str], wanted: set[str]) -> list:
    """The largest value and, where that is wanted, the place it first stands at."""
    (term,) = equation.terms
    winners = {k: at.base.name for k, at in equation.winners().items() if at.base.name in wanted}
    first = {k: low for k, low, _ in term.over}
    kept = [name for name in (equation.name, *winners.values()) if name in stored]
    best = {name: nest.fresh(f"{name}_so_far") if name in kept else name for name in (equation.name, *winners.values())}
    plain = isinstance(term.body, sp.Indexed)
    value = nest.place(term.body) if plain else nest.fresh("value")
    take = [Assign(best[equation.name], value), *(Assign(best[at], k.name) for k, at in winners.items())]
    lines: list = nest.statements({best[equation.name]: term.body.xreplace(first)})
    lines += [Assign(best[at], nest.index(first[k])) for k, at in winners.items()]
    each = [] if plain else nest.statements({value: term.body})
    lines += nest.loops(term.over, [*each, If(f"{value} > {best[equation.name]}", take)])
    nest.locals |= set(best) - stored
    return lines + [Assign(nest.place(tensor_at(name, equation)), best[name]) for name in kept]


def is_boxed(equation: Equation) -> bool:
    """Whether some addend stands in a part of the target alone, a box that bounds of its indices or their values describe."""
    limited = [t for t in equation.terms if t.conditions]
    plain = equation.kind == "sum" and not any(t.over for t in equation.terms)
    indices = [i for i in equation.target.indices if isinstance(i, sp.Symbol)]
    return (
        plain
        and bool(limited)
        and all(
            (isinstance(c, sp.Expr) or _pinned([c], indices)) and not c.has(sp.Indexed)
            for t in limited
            for c in t.conditions
        )
    )


def _pinned(conditions: Iterable[sp.Basic], indices: Sequence[sp.Symbol]) -> dict[sp.Basic, sp.Expr]:
    """The indices that a condition gives a number, and that number."""
    sides = [s for c in conditions if isinstance(c, sp.Eq) for s in (c.args, c.args[::-1])]
    return {i: value for i, value in sides if i in indices and value.is_Integer}


def boxed(nest: Nest, equation: Equation, inner: Sequence[sp.Symbol]) -> list:
    """A sum of shifted tensors inside its rows: each is added where it stands, along the ``inner`` indices."""
    place = nest.place(equation.target)
    plain = sp.Add(*(t.body for t in equation.terms if not t.conditions))
    lines = nest.loops(list(map(whole, inner)), nest.statements({place: plain}))
    for t in (t for t in equation.terms if t.conditions):
        at = _pinned(t.conditions, inner)
        body, target = t.body.xreplace(at), equation.target.xreplace(at)
        bounds = [c for c in t.conditions if isinstance(c, sp.Expr)]
        free = {i: whole(i)[1:] for i in inner if i not in at}
        over, left = loop_bounds(free, [c.xreplace(at) for c in bounds], nest.rows)  # type: ignore[arg-type]
        lines += nest.summed(Term(body, tuple(over), tuple(left)), {nest.place(target): body})
    return lines


def tensor_at(name: str, equation: Equation) -> sp.Indexed:
    """The component of another tensor at the place of an equation's target."""
    return sp.IndexedBase(name)[equation.target.indices]


def accumulated(nest: Nest, equation: Equation) -> list:
    """A sum whose addends are added up in memory: rows one after the other along unit stride, or where an address says."""
    ranges = [
        (i, FIRST, LAST - 1) if i.name == nest.split else whole(i)
        for i in equation.target.indices
        if isinstance(i, sp.Symbol)
    ]
    place = nest.place(equation.target)
    plain = sp.Add(*(t.body for t in equation.terms if not t.over))
    lines = nest.loops(ranges, nest.statements({place: plain}))
    single = len(equation.terms) == 1
    for term in equation.terms:
        if not term.over:
            continue
        shared = outside(term) if single and not outside(term).has(sp.Indexed) else sp.Integer(1)
        places, conditions = _places(term, [i for i, *_ in ranges])
        added: list = nest.statements({place: term.body / shared}, "+=")
        limiting = {i for _, *bounds in term.over for bound in bounds for i in bound.free_symbols}
        own = [r for r in ranges if r[0] not in places]
        added = nest.loops([r for r in own if r[0] not in limiting], nest.conditional(conditions, added))
        for i, at in places.items():
            low, high = (FIRST, LAST) if i.name == nest.split else (sp.Integer(0), size_of(i))
            added = [Assign(i.name, nest.index(at)), If(f"{nest.index(low)} <= {i.name} < {nest.index(high)}", added)]
        lines += nest.loops([*(r for r in own if r[0] in limiting), *term.over], added)
        if shared != 1:
            lines += nest.loops(ranges, [Assign(place, nest.value(shared), "*=")])
    return _plain_spans(lines, nest.split)


def _places(term: Term, targets: Sequence[sp.Symbol]) -> tuple[dict[sp.Symbol, sp.Expr], list[sp.Basic]]:
    """Indices of the target that an address gives, one in a tensor or one with `//` and `%`, and the conditions that remain."""
    places: dict[sp.Symbol, sp.Expr] = {}
    left: list[sp.Basic] = []
    summed = {k for k, *_ in term.over}

    def is_address(at: sp.Expr) -> bool:
        divided = at.has(sp.floor, sp.Mod) and at.has(*summed) and not at.has(*targets)
        return at.has(sp.Indexed) or divided

    for c in term.conditions:
        sides = c.args if isinstance(c, sp.Eq) else ()
        found = [(i, at) for i, at in (sides, sides[::-1]) if i in targets and is_address(at)] if sides else []
        if found and found[0][0] not in places:
            places[found[0][0]] = found[0][1]
        else:
            left.append(c)
    return places, left


def is_scatter(equation: Equation) -> bool:
    """Whether an address says which component of the target an addend belongs to."""
    targets = [i for i in equation.target.indices if isinstance(i, sp.Symbol)]
    return equation.kind == "sum" and any(t.over and _places(t, targets)[0] for t in equation.terms)


def _plain_spans(lines: list, split: str) -> list:
    """Marks the loops over the split index: here it is an address as it stands, never part of an affine one."""
    for line in lines:
        if isinstance(line, Loop):
            line.plain = line.index == split
        if isinstance(line, Loop | If):
            _plain_spans(line.body, split)
    return lines
