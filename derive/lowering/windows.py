"""Contractions that read one operand through windows: convolutions of any stride, padding and dilation, and their gradients.

In each of them one component of an operand follows from an index of the target, the row, and one that is summed, the tap:

    slot = (row_step row + tap_step tap + offset) / divisor

A convolution reads its input so (the row an output's place, the tap a filter's), the gradient of its filter as well (the row
a filter's place, the tap an output's). The gradient of its input reads the output's sensitivity at (p + top - dilation u) /
stride, where that is whole: the rows p fall into phases by their remainder, and each phase has taps of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from derive.calculus.adjoint import loop_bounds
from derive.calculus.equation import Equation, Range, Term, size_of
from derive.lowering.expressions import first_tap, gcd
from derive.lowering.kernel import Assign, EngineCall, Loop, While
from derive.lowering.kinds import Declared, Order, as_stored, conditions_in
from derive.lowering.nests import FIRST, LAST, Nest

ONE, NONE = sp.Integer(1), sp.Integer(0)


@dataclass(frozen=True)
class Window:
    """One axis: ``slot = (row_step row + tap_step tap + offset) / divisor``, the slot an index of the read operand."""

    slot: sp.Symbol
    row: sp.Symbol
    tap: sp.Symbol
    row_step: sp.Expr
    tap_step: sp.Expr
    offset: sp.Expr
    divisor: sp.Expr = ONE

    @property
    def is_turned(self) -> bool:
        """Whether the slots go back as the taps go on; only then can there be a divisor."""
        return bool(self.tap_step.is_negative)


@dataclass(frozen=True)
class WindowContraction:
    """``target[outer, rows, groups, lane] = bias + sum over taps and the inner index of a[outer, slots, groups, inner] b[...]``.

    ``inner`` is the last index of a in memory: summed, or a row of the target as well. ``repeated`` are further summed
    indices of both, outside of all others; ``groups`` are indices that the target and both operands share.
    """

    equation: Equation
    a: sp.Indexed
    b: sp.Indexed
    windows: tuple[Window, ...]
    inner: sp.Symbol
    lane: sp.Symbol
    outer: tuple[sp.Symbol, ...]
    repeated: tuple[sp.Symbol, ...]
    groups: tuple[sp.Symbol, ...]
    bias: sp.Indexed | None

    @property
    def inner_is_summed(self) -> bool:
        """Whether the inner index is contracted; else it is a row."""
        return self.inner not in self.equation.target.indices

    @property
    def has_phases(self) -> bool:
        """Whether rows fall into phases."""
        return any(w.is_turned for w in self.windows)


def window_contraction(equation: Equation, declared: Declared, order: Order) -> WindowContraction | None:
    """The equation as a contraction through windows into its target as that is stored; None if it is of another kind."""
    summed_terms = [t for t in equation.terms if t.over]
    if equation.kind != "sum" or len(summed_terms) != 1:
        return None
    (term,) = summed_terms
    body, conditions = conditions_in(term.body)
    factors = sp.Mul.make_args(body)
    if len(factors) != 2 or not all(isinstance(x, sp.Indexed) for x in factors):
        return None
    rest = [t for t in equation.terms if not t.over]
    bias = rest[0].body if len(rest) == 1 else None
    if len(rest) > 1 or (rest and not isinstance(bias, sp.Indexed)):
        return None
    for a, b in (factors, factors[::-1]):
        found = _windows(equation, term, a, b, [*term.conditions, *conditions], declared)
        placed = _placed(equation, term, a, b, found, bias, declared, order) if found else None
        if placed:
            return placed
        if found and not conditions and not term.conditions:
            term, plain, moved = _over_slots(term, a, b, found)
            found = _windows(equation, term, moved, plain, [], declared)
            return _placed(equation, term, moved, plain, found, bias, declared, order) if found else None
    return None


def _over_slots(
    term: Term, a: sp.Indexed, b: sp.Indexed, windows: tuple[Window, ...]
) -> tuple[Term, sp.Indexed, sp.Indexed]:
    """The same sum over the slots of ``a`` where it is over taps: then a has plain indices, and ``b`` is read through windows.

    Only taps whose steps are -1 are exchanged, as the adjoint of a correlation with steps of 1 has them.
    """
    steps = (1, -1, 1)
    exchanged = {
        w.tap: w for w in windows if (w.row_step, w.tap_step, w.divisor) == steps and not term.body.has(w.slot)
    }
    over: list[Range] = []
    for k, low, high in term.over:
        w = exchanged.get(k)
        if w:  # tap = row + offset - slot
            end = w.row + w.offset
            low, high = sp.Max(0, end - size_of(k) + 1), sp.Min(size_of(w.slot) - 1, end)
        over.append((w.slot if w else k, low, high))
    values = {tap: w.row + w.offset - w.slot for tap, w in exchanged.items()}
    a, b = a.xreplace(values), b.xreplace(values)
    return Term(a * b, tuple(over)), a, b


def _windows(
    equation: Equation, term: Term, a: sp.Indexed, b: sp.Indexed, conditions: Sequence[sp.Basic], declared: Declared
) -> tuple[Window, ...]:
    """The windows through which ``a`` is read beside a ``b`` of plain indices; none if it is not so."""
    rows, taps = set(equation.target.indices), {k for k, *_ in term.over}
    if not all(isinstance(i, sp.Symbol) for i in b.indices):
        return ()
    windows, bounds = [], []
    for component, slot in zip(a.indices, declared[a.base.name], strict=True):
        if isinstance(component, sp.Symbol):
            continue
        over, divisor = (component, ONE)
        if isinstance(component, sp.floor):
            over, divisor = sp.fraction(sp.together(component.args[0]))
        over = sp.expand(over)
        row = [i for i in rows if over.coeff(i) != 0]
        tap = [k for k in taps if over.coeff(k) != 0]
        if len(row) != 1 or len(tap) != 1 or not isinstance(slot, sp.Symbol):
            return ()
        row_step, tap_step = over.coeff(row[0]), over.coeff(tap[0])
        offset = sp.expand(over - row_step * row[0] - tap_step * tap[0])
        if offset.free_symbols & (rows | taps) or row[0] in a.indices or tap[0] in a.indices:
            return ()
        forward = divisor == 1 and row_step.is_positive and tap_step.is_positive
        if not forward and not (row_step == 1 and tap_step.is_negative):
            return ()
        windows.append(Window(slot, row[0], tap[0], row_step, tap_step, offset, divisor))
        bounds += [over, sp.expand(divisor * (size_of(slot) - 1) - over)]
    known = {sp.expand(w.row_step * w.row + w.tap_step * w.tap + w.offset): w.divisor for w in windows}
    whole = [c.lhs.args for c in conditions if isinstance(c, sp.Eq) and isinstance(c.lhs, sp.Mod) and c.rhs == 0]
    if len(whole) != len(conditions) or {sp.expand(e): d for e, d in whole} != {
        e: d for e, d in known.items() if d != 1
    }:
        return ()
    taken = {x for w in windows for x in (w.row, w.tap)}
    if len(taken) != 2 * len(windows) or not all(w.tap in b.indices for w in windows):
        return ()
    return tuple(windows) if _ranges_say_it(term.over, bounds, equation) else ()


def _ranges_say_it(over: Sequence[Range], bounds: list[sp.Expr], equation: Equation) -> bool:
    """Whether the sums run over whole indices, but for what the sizes of the operand read imply."""
    whole = {k: (NONE, size_of(k) - 1) for k, *_ in over}
    limited, left = loop_bounds(whole, bounds, [i for i in equation.target.indices if isinstance(i, sp.Symbol)])
    implied = {k: {*_parts(low, sp.Max), *_parts(high, sp.Min)} for k, low, high in limited}
    return not left and all(
        (low, high) == whole[k] or {*_parts(low, sp.Max), *_parts(high, sp.Min)} <= implied[k] | {*whole[k]}
        for k, low, high in over
    )


def _parts(bound: sp.Expr, kind: type) -> tuple[sp.Basic, ...]:
    return bound.args if bound.func is kind else (bound,)


def _placed(
    equation: Equation, term: Term, a: sp.Indexed, b: sp.Indexed, windows: tuple[Window, ...], bias: sp.Indexed | None,
    declared: Declared, order: Order,
) -> WindowContraction | None:  # fmt: skip
    """The contraction, if its indices lie in memory as the engine asks."""
    by_slot = {w.slot: w for w in windows}
    target = as_stored(equation.target, declared, order)
    lane = target[-1]
    own = [sp.Symbol(i, integer=True) for i in order[a.base.name]]  # of a, slots by the indices of its definition
    at = dict(zip(declared[a.base.name], a.indices, strict=True))
    places = [place for place, slot in enumerate(own) if slot in by_slot]
    if places != list(range(places[0], places[0] + len(windows))) or places[-1] == len(own) - 1:
        return None
    windows = tuple(by_slot[own[place]] for place in places)
    *groups, inner = (at[slot] for slot in own[places[-1] + 1 :])
    outside_indices = [at[slot] for slot in own[: places[0]]]
    summed = {k for k, *_ in term.over}
    outer = tuple(i for i in outside_indices if i not in summed)
    repeated = tuple(i for i in outside_indices if i in summed)
    rows = [w.row for w in windows]
    wanted = [*outer, *rows, *groups, lane] if inner in summed else [*groups, *outer, *rows, inner, lane]
    expected = {*(w.tap for w in windows), *repeated, *([inner] if inner in summed else [])}
    fits = list(target) == wanted and summed == expected and len(windows) <= 2 and len(outer) <= 1
    fits &= len(groups) <= 1 and all(g in b.indices for g in groups)
    fits &= bias is None or (bias.indices == (*groups, lane) and inner in summed)
    if not fits or lane not in b.indices or lane in a.indices or set(outer) & set(b.indices):
        return None
    if (
        (inner in summed) == bool(repeated)
        or set(rows) & set(b.indices)
        or (inner not in summed and inner in b.indices)
    ):
        return None
    if any(w.is_turned for w in windows) and inner not in summed:
        return None
    return WindowContraction(equation, a, b, windows, inner, lane, outer, repeated, tuple(groups), bias)


# The kernel ------------------------------------------------------------------------------------------------------------


def split_of(c: WindowContraction) -> tuple[str, ...]:
    """The indices, the first of the target in memory, that are counted through together and split."""
    rows = [w.row for w in c.windows]
    places = rows[:1] if c.has_phases else rows
    return tuple(map(str, [*c.outer, *places] if c.inner_is_summed else [*c.groups, *rows, c.inner]))


def box_of(c: WindowContraction) -> sp.Expr:
    """The elements that the box must have room for: what one row of places reads."""
    first, *others = c.windows if c.inner_is_summed else tuple(map(_turned, c.windows))
    channels = [size_of(i) for i in (*c.groups, c.inner)]
    return sp.Mul(*channels, _extent(first, ONE), *(_extent(w, size_of(w.row)) for w in others))


def window_body(c: WindowContraction, nest: Nest) -> list:
    """The statements over [first, last): of (outer, places) together, or of all rows of a filter."""
    body = Body(c, nest, nest.arrays)
    return body.place_rows() if c.inner_is_summed else body.filter_rows()


@dataclass(frozen=True)
class _Axis:
    """One axis of a call of the engine: how many rows and taps there are, and where each of them lies."""

    rows: sp.Expr
    taps: sp.Expr
    a_first: sp.Expr  # in the box, in slots
    a_row: sp.Expr
    a_tap: sp.Expr
    b_first: sp.Expr  # in taps
    b_tap: sp.Expr
    target_first: sp.Expr  # in rows
    target_row: sp.Expr


class Body:
    """Builds the statements of one kernel."""

    def __init__(self, c: WindowContraction, nest: Nest, order: Order) -> None:
        self.c, self.nest, self.order, self.inner = c, nest, order, size_of(c.inner)
        self.channels = sp.Mul(self.inner, *map(size_of, c.groups))  # of one place in the box
        self.group = c.groups[0] if c.groups else NONE
        self.a_step, self.b_step, self.target_step = map(self._steps, (c.a, c.b, c.equation.target))

    def _steps(self, x: sp.Indexed) -> dict[sp.Expr, sp.Expr]:
        """How many elements apart two neighbours along each index lie."""
        stored = [sp.Symbol(i, integer=True) for i in self.order[x.base.name]]
        at = dict(zip(map(str, self.nest.declared[x.base.name]), x.indices, strict=True))
        return {at[str(i)]: sp.Mul(*map(size_of, stored[place + 1 :])) for place, i in enumerate(stored)}

    def name(self, wanted: str) -> sp.Symbol:
        """A local variable of that name, or of one like it."""
        return sp.Symbol(self.nest.fresh(wanted), integer=True)

    def text(self, e: sp.Expr | int) -> str:
        return self.nest.index(sp.sympify(e))

    def three(self, *parts: sp.Expr, filler: sp.Expr = NONE) -> str:
        return f"({', '.join(map(self.text, [filler] * (3 - len(parts)) + list(parts)))})"

    def assign(self, name: sp.Symbol, value: sp.Expr) -> Assign:
        return Assign(name.name, self.text(value))

    def step(self, steps: dict[sp.Expr, sp.Expr]) -> sp.Expr:
        """How far into a tensor the group lies."""
        return sum((steps[g] * g for g in self.c.groups), NONE)

    def for_groups(self, body: list) -> list:
        """The body once for each group."""
        return self.nest.loops([(g, NONE, size_of(g) - 1) for g in self.c.groups], body)

    def border(self, strip: "_Strip", place: sp.Expr) -> EngineCall:
        """What a strip reads of the planes from ``place`` on, zeros around it: in the box, or where it lies if it has no border."""
        slots = [size_of(w.slot) for w in self.c.windows] + [ONE] * (2 - len(self.c.windows))
        sizes = (
            strip.planes, place, *slots, self.channels, strip.low, strip.high, strip.left, strip.wide, strip.apart,
        )  # fmt: skip
        return EngineCall(
            "border",
            {"box": "box", "a": self.c.a.base.name, **{str(k): self.text(e) for k, e in enumerate(sizes)}},
            result=strip.array,
        )

    def call(
        self, strip: "_Strip", add: str, first: sp.Expr, last: sp.Expr, sizes: tuple, a: tuple, b: tuple, target: tuple
    ) -> EngineCall:
        """A call of the engine; a, b and target are offset, strides of rows, strides of what is summed."""
        c = self.c
        arguments = [self.text(first), self.text(last), self.three(*sizes[0], filler=ONE), self.text(size_of(c.lane)),
                     self.three(*sizes[1], filler=ONE), strip.array, self.text(a[0]), self.three(*a[1]), self.three(*a[2]),
                     c.b.base.name, self.text(b[0]), self.three(*b[1]), self.text(self.b_step[c.lane]),
                     c.equation.name, self.text(target[0]), self.three(*target[1]), "scratch"]  # fmt: skip
        if c.bias is not None:
            arguments += [c.bias.base.name, self.text(self.group * size_of(c.lane))]
        return EngineCall(f"contract_nest{add}", {str(k): text for k, text in enumerate(arguments)})

    def strips(self, strip: "_Strip", begin: sp.Expr, end: sp.Expr, body: list) -> list:
        """The body for one strip after the other: rows of a plane, or whole planes, that the box has room for.

        The rows of places, of all planes, are counted through; those from ``begin`` to ``end`` (exclusive) are done.
        """
        first, plane, rows = strip.first, strip.plane, size_of(strip.first.row)
        room, most = map(self.name, ("room", "most"))
        lines: list = [
            self.assign(strip.wide, strip.width),
            Assign(room.name, f"BOX // ({self.text(strip.wide * self.channels)})"),
            Assign(most.name, f"max(1, {self.text(_rows_within(first, room))})"),
            self.assign(most, _shared(rows, most)),
            *self.layout(strip),
            self.assign(strip.row, begin),
        ]
        inside: list = [] if plane is None else [self.assign(plane, strip.row // rows)]
        inside += [
            self.assign(first.row, strip.row if plane is None else sp.Mod(strip.row, rows)),
            Assign(strip.count.name, f"min({most}, {self.text(rows - first.row)}, {self.text(end - strip.row)})"),
            self.assign(strip.low, _first(first, first.row)),
            self.assign(strip.high, _extent(first, strip.count)),
        ]
        if plane is not None:
            fit, left = self.text(room // strip.high), self.text((end - strip.row) // rows)
            whole = f"{strip.count} == {self.text(rows)}"
            inside.append(Assign(strip.planes.name, f"max(1, min({fit}, {left})) if {whole} else 1"))
        place = NONE if plane is None else self.a_step[plane] * plane
        inside.append(self.border(strip, place))
        done = Assign(strip.row.name, self.text(strip.count * strip.planes), "+=")
        return [*lines, While(f"{strip.row} < {self.text(end)}", [*inside, *body, done])]

    def strip(self, windows: Sequence[Window], plane: sp.Symbol | None, by_lanes: bool = False) -> "_Strip":
        """The names of a strip's parts, and what it reads; ``by_lanes``: how it lies in the box depends on their number."""
        first, *others = windows
        width = _extent(others[0], size_of(others[0].row)) if others else ONE
        left = _first(others[0], NONE) if others else NONE
        row, count, low, high, wide = map(self.name, ("row", "count", "low", "high", "wide"))
        array = self.nest.fresh("strip")
        planes = ONE if plane is None else self.name("planes")
        pitch, apart = map(self.name, ("pitch", "apart")) if others and by_lanes else (self.channels, ONE)
        return _Strip(first, plane, row, count, planes, low, high, left, wide, width, pitch, apart, array)

    def place_rows(self) -> list:
        """Strips of rows of places: the box takes what a strip reads, the engine goes through its places."""
        c, (first, *others) = self.c, self.c.windows
        strip = self.strip(c.windows, c.outer[0] if c.outer else None, by_lanes=True)
        counts, bases = [strip.count, *(size_of(o.row) for o in others)], [strip.low, strip.left]
        axes, phases = [], []
        for w, start, rows, base in zip(c.windows, (first.row, NONE), counts, bases, strict=False):
            axis, lines_of_phase, phase = self._axis(w, start, rows, base)
            axes.append(axis)
            phases.append((phase, w.divisor, lines_of_phase))
        pitches = self.pitches(strip)
        rows, taps = [w.row for w in c.windows], [w.tap for w in c.windows]
        across = sp.Mul(*(size_of(r) for r in rows[1:])) if not c.has_phases else ONE  # of the split to a row of places
        most = strip.planes * sp.Mul(*(x.rows for x in axes))
        part, of_part, before, stop = (NONE, most), [], [], LAST
        if across != 1:
            part = begin, end = self.name("begin"), self.name("end")
            stop = self.name("stop")
            before = [self.assign(stop, (LAST - 1) // across + 1)]
            of_part = [
                Assign(begin.name, f"max(0, {self.text(FIRST - strip.row * across)})"),
                Assign(end.name, f"min({self.text(most)}, {self.text(LAST - strip.row * across)})"),
            ]
        of_plane = [] if strip.plane is None else [strip.plane]
        body: list = [self.call(
            strip, "_bias" if c.bias is not None else "", *part,
            ([strip.planes] * len(of_plane) + [x.rows for x in axes], [*(x.taps for x in axes), self.inner]),
            (self.group * self.inner * strip.apart + sum(x.a_first * p for x, p in zip(axes, pitches, strict=True)),
             [strip.high * pitches[0]] * len(of_plane) + [x.a_row * p for x, p in zip(axes, pitches, strict=True)],
             [*(x.a_tap * p for x, p in zip(axes, pitches, strict=True)), strip.apart]),
            (self.step(self.b_step) + sum(x.b_first * self.b_step[t] for x, t in zip(axes, taps, strict=True)),
             [*(x.b_tap * self.b_step[t] for x, t in zip(axes, taps, strict=True)), self.b_step[c.inner]]),
            (self.step(self.target_step) + strip.row * self.target_step[rows[0]] + sum(x.target_first * self.target_step[r] for x, r in zip(axes, rows, strict=True)),
             [*(self.target_step[i] for i in of_plane), *(x.target_row * self.target_step[r] for x, r in zip(axes, rows, strict=True))]),
        )]  # fmt: skip
        body = of_part + self.for_groups(body)
        for phase, divisor, lines_of_phase in reversed(phases):
            if phase is not None:
                body = [Loop(phase.name, "0", self.text(divisor), lines_of_phase + body)]
        return [*before, *self.strips(strip, FIRST // across, stop, body)]

    def layout(self, strip: "_Strip") -> list[Assign]:
        """How a strip lies in the box: the places of a channel side by side if the engine takes several rows at a time."""
        if strip.apart == 1:
            return []
        step = self.c.windows[-1].row_step
        few = f"{self.text(size_of(self.c.lane))} <= FEW" + (f" and {self.text(step)} == 1" if step != 1 else "")
        values = (strip.pitch, "1", self.text(self.channels)), (strip.apart, self.text(strip.wide), "1")
        return [Assign(name.name, f"{then} if {few} else {other}") for name, then, other in values]

    def pitches(self, strip: "_Strip") -> list[sp.Expr]:
        """How many elements apart neighbours along each window lie in the box."""
        return [strip.wide * self.channels, strip.pitch][2 - len(self.c.windows) :]

    def _axis(self, w: Window, start: sp.Expr, rows: sp.Expr, base: sp.Expr) -> tuple[_Axis, list, sp.Symbol | None]:
        """The axis for rows from ``start`` on, the box beginning at slot ``base``; with phases, what each begins with."""
        taps = size_of(w.tap)
        if not w.is_turned:
            return _Axis(rows, taps, NONE, w.row_step, w.tap_step, NONE, ONE, NONE, ONE), [], None
        phase, at, tap, step, count = (self.name(f"{n}_{w.row}") for n in ("phase", "at", "tap", "step", "taps"))
        lines = [
            self.assign(at, start + phase + w.offset),
            self.assign(step, sp.floor(w.divisor / gcd(w.divisor, -w.tap_step))),
            self.assign(tap, first_tap(at, -w.tap_step, w.divisor, taps)),
            Assign(count.name, f"max(0, {self.text((taps - tap + step - 1) // step)})"),
            self.assign(tap, tap + step * (count - 1)),
        ]
        axis = _Axis(
            rows=(rows - phase + w.divisor - 1) // w.divisor, taps=count, a_first=(at + w.tap_step * tap) // w.divisor - base,
            a_row=ONE, a_tap=(-w.tap_step * step) // w.divisor, b_first=tap, b_tap=-step, target_first=phase, target_row=w.divisor,
        )  # fmt: skip
        return axis, lines, phase

    def filter_rows(self) -> list:
        """A filter's rows: the sum goes over all places, strip by strip, the box holding what a strip reads."""
        c = self.c
        first, *others = turned = tuple(map(_turned, c.windows))
        *repeated, plane = c.repeated
        strip = self.strip(turned, plane)
        places, counts = [first.row, *(o.row for o in others)], [strip.count, *(size_of(o.row) for o in others)]
        pitches = self.pitches(strip)
        rows = [*(w.row for w in c.windows), c.inner]
        begin, end = map(self.name, ("begin", "end")) if c.groups else (FIRST, LAST)
        call = self.call(
            strip, "_add", begin, end, ([size_of(r) for r in rows], [strip.planes, *counts]),
            (self.group * self.inner, [*(w.row_step * p for w, p in zip(c.windows, pitches, strict=True)), ONE],
             [strip.high * pitches[0], *(w.tap_step * p for w, p in zip(c.windows, pitches, strict=True))]),
            (sum((self.b_step[i] * i for i in (*c.groups, *c.repeated, places[0])), NONE), [self.b_step[k] for k in (plane, *places)]),
            (self.step(self.target_step), [self.target_step[r] for r in rows]),
        )  # fmt: skip
        call.arguments["again"] = f"{self.text(sum(repeated, strip.row))} > 0"
        within = sp.Mul(*map(size_of, rows))
        of_group = [] if not c.groups else [
            Assign(begin.name, f"max(0, {self.text(FIRST - self.group * within)})"),
            Assign(end.name, f"min({self.text(within)}, {self.text(LAST - self.group * within)})"),
        ]  # fmt: skip
        body = self.strips(strip, NONE, size_of(plane) * size_of(first.row), self.for_groups([*of_group, call]))
        return self.nest.loops([(i, NONE, size_of(i) - 1) for i in repeated], body)


@dataclass(frozen=True)
class _Strip:
    """Rows of places that are done together: some of a plane, or all of several planes."""

    first: Window  # whose rows they are
    plane: sp.Symbol | None  # the index of planes
    row: sp.Symbol  # the first of them
    count: sp.Symbol  # of rows in each plane
    planes: sp.Expr  # how many
    low: sp.Symbol  # the first slot that they read
    high: sp.Symbol  # slots from there on
    left: sp.Expr  # the same of the second window
    wide: sp.Symbol
    width: sp.Expr  # what ``wide`` is
    pitch: sp.Expr  # how far apart neighbours along the second window lie in the box
    apart: sp.Expr  # the same of channels
    array: str  # the variable that holds what they read


def _turned(w: Window) -> Window:
    """The window with the parts of row and tap exchanged."""
    return Window(w.slot, w.tap, w.row, w.tap_step, w.row_step, w.offset, w.divisor)


def _extent(w: Window, rows: sp.Expr) -> sp.Expr:
    """Slots that so many rows, one after the other, read from."""
    if not w.is_turned:
        return sp.expand(w.row_step * (rows - 1) + w.tap_step * (size_of(w.tap) - 1) + 1)
    reach = rows - 1 - w.tap_step * (size_of(w.tap) - 1)
    return sp.expand(reach + w.divisor - 1) // w.divisor + 1  # wherever between two slots the first of them begins


def _rows_within(w: Window, room: sp.Expr) -> sp.Expr:
    """The most rows whose extent is at most ``room``: the other way round than `_extent`."""
    reach = w.tap_step * (size_of(w.tap) - 1)
    if not w.is_turned:
        return (room - reach - 1) // w.row_step + 1
    return (room - 1) * w.divisor + reach + 1


def _shared(whole: sp.Expr, most: sp.Expr) -> sp.Expr:
    """The size of equal parts of at most ``most``."""
    parts = (whole - 1) // most + 1
    return (whole - 1) // parts + 1


def _first(w: Window, row: sp.Expr) -> sp.Expr:
    """The first slot that rows from ``row`` on read from."""
    if not w.is_turned:
        return sp.expand(w.row_step * row + w.offset)
    return sp.expand(row + w.offset + w.tap_step * (size_of(w.tap) - 1)) // w.divisor
