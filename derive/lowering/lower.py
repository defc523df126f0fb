"""From a derivation to its kernels: the driver of this room, which reads as its table of contents.

1. Equations are rewritten: what is cheap is computed again, sums over samples become partial sums, operands of
   contractions that are expressions become equations of their own.
2. Each equation is a contraction, a sum added up in memory, a sum of boxes, or a nest of loops, over lanes if it can be.
3. Nests over the same rows share a kernel; what only they read stays in local variables.
4. What one kernel leaves for another is a buffer.
"""

import keyword
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import sympy as sp

from derive.calculus.derivation import Derivation
from derive.calculus.equation import Equation, size_of, tensor, tensors_of
from derive.calculus.system import DefinitionError, System
from derive.calculus.text import TextPrinter, equation_text
from derive.lowering.contractions import KEPT, SHARE, contraction_body
from derive.lowering.expressions import FUNCTIONS, LanePrinter, ValuePrinter
from derive.lowering.filtered import filtered
from derive.lowering.kernel import Assign, Filtered, Kernel, Loop, Phase
from derive.lowering.kinds import (
    Contraction,
    as_stored,
    contraction,
    is_flat,
    storage_for,
    stored_order,
    with_plain_operands,
)
from derive.lowering.lanes import (
    in_lanes,
    lane_body,
    lane_of,
    plane_body,
    shares_planes,
    wants_lanes,
    weighted_body,
    weights_of,
)
from derive.lowering.nests import RESERVED, Nest, accumulated, boxed, in_range, is_boxed, is_scatter, row_body
from derive.lowering.rewriting import (
    in_groups,
    is_elementwise,
    merged,
    put_in,
    recomputed,
    with_small_parts,
)
from derive.lowering.windows import WindowContraction, box_of, split_of, window_body, window_contraction


@dataclass(frozen=True)
class Lowered:
    """The kernels of a system: its forward phase, what of that is `late`, its backward phase; how parameters are stored.

    ``descent`` are kernels that add a gradient onto its parameter at once, ``groups`` indices that count groups of GROUP of
    another.
    """

    forward: Phase
    late: Phase
    backward: Phase
    storage: dict[str, tuple[str, ...]]
    groups: dict[str, str]
    dtypes: dict[str, str]
    descent: list[Kernel]


def lower(derivation: Derivation, names: Mapping[str, str], late: Set[str] = frozenset()) -> Lowered:
    """Kernels for the forward and backward equations; ``names`` gives a kernel's name for each tensor it computes.

    What is forward and depends on the tensors ``late``, which are there only after the rest of it, has kernels of its own.

    Raises DefinitionError, naming the equation, for one that no kernel can be made of.
    """
    system = derivation.system
    _check_names(system)
    both = (*derivation.forward, *derivation.backward)
    declared = _declared(system, both)
    order = {name: stored_order(at) for name, at in declared.items()}
    storage = storage_for(derivation.forward, system.parameters, declared)
    storage |= _storage_of_filters(derivation.forward, system, declared, order)
    order |= storage | {f"nabla_{name}": at for name, at in storage.items()}
    given = {x.base.name for x in (*system.inputs, *system.parameters)}
    outputs = _results(system)
    wanted = {n for e in derivation.backward if (n := e.name).removeprefix("nabla_").removeprefix("delta_") in given}
    passes, dtypes, groups = _rewritten(derivation, declared, order, wanted, late)
    room = _Room(system, declared, order, names, dtypes)
    phases = []
    for number, (equations, results) in enumerate(zip(passes, (outputs, outputs, wanted), strict=True)):
        read = {n for later in passes[number + 1 :] for e in later for n in e.reads()}
        phases.append(room.phase(equations, results, read))
    forward, after, backward = phases
    descent = [k for e in passes[-1] if (k := room.descent(e)) is not None]
    return Lowered(forward, after, backward, storage, groups, dtypes, descent)


def _apart(equations: Sequence[Equation], late: Set[str]) -> tuple[list[Equation], list[Equation]]:
    """The equations that depend on none of the tensors ``late``, and those that do."""
    known: set[str] = set(late)
    early, waiting = list[Equation](), list[Equation]()
    for e in equations:
        depends = bool(e.reads() & known)
        known |= {e.name} if depends else set()
        (waiting if depends else early).append(e)
    return early, waiting


def _results(system: System) -> set[str]:
    """What the forward pass is for: the outputs, and what becomes of the states."""
    return {x.base.name for x in system.outputs} | {f"{x.base.name}_new" for x in system.states}


def _rewritten(
    derivation: Derivation,
    declared: dict[str, tuple[sp.Expr, ...]],
    order: dict[str, tuple[str, ...]],
    wanted: Set[str],
    late: Set[str],
) -> tuple[list[list[Equation]], dict[str, str], dict[str, str]]:
    """(the equations: forward, late, backward; other dtypes than the network's; groups).

    New tensors join ``declared`` and ``order``.
    """
    system = derivation.system
    outputs = _results(system)
    given = (*system.inputs, *system.parameters, *system.constants, *system.targets, *system.states, *system.random)
    kept = {x.base.name for x in given}
    kept |= outputs | {f"delta_{name}" for name in outputs}
    gradients = {f"nabla_{x.base.name}" for x in system.parameters}
    constants = {x.base.name for x in system.constants}
    early, waiting = _apart(derivation.forward, late)
    early, rest = recomputed(early, [*waiting, *derivation.backward], kept, wanted)
    after = {e.name for e in waiting}
    passes = (early, [e for e in rest if e.name in after], [e for e in rest if e.name not in after])
    dtypes: dict[str, str] = {}
    groups: dict[str, str] = {}
    shared: dict[sp.Expr, sp.Indexed] = {}
    result = []
    for equations in passes:
        dtypes |= _winners_dtypes(equations, system)
        taken = {*declared, *(str(i) for at in declared.values() for i in at), *(s.name for s in system.settings)}
        grouped = in_groups(merged(equations, gradients), declared, order, taken, groups)
        _declare(grouped.equations, declared, order)
        groups = grouped.groups
        equations = with_small_parts(grouped.equations, declared, order, shared)
        equations.sort(key=lambda e: not e.reads() or not e.reads() <= constants)  # the rest can share kernels then
        dtypes |= dict.fromkeys(grouped.double, "float64")
        equations = with_plain_operands(equations, declared, order)
        _declare(equations, declared, order)
        result.append(equations)
    return result, dtypes, groups


def _declare(
    equations: Sequence[Equation], declared: dict[str, tuple[sp.Expr, ...]], order: dict[str, tuple[str, ...]]
) -> None:
    for e in equations:
        declared.setdefault(e.name, e.target.indices)
        order.setdefault(e.name, stored_order(e.target.indices))


def _winners_dtypes(equations: Sequence[Equation], system: System) -> dict[str, str]:
    """Places of maxima are whole numbers; those inside a window, whose size is a setting, are small ones."""
    return {
        at.base.name: "int16" if size_of(k) in system.settings else "int32"
        for e in equations
        if e.kind == "max"
        for k, at in e.winners().items()
    }


def _storage_of_filters(
    equations: Sequence[Equation], system: System, declared: Mapping[str, tuple[sp.Expr, ...]], order: Mapping
) -> dict[str, tuple[str, ...]]:
    """Filters are stored as the forward equation reads them: groups, taps, then what is summed within, then the lane.

    One that has the lane of its equation's target beside the lane of the other operand has no more than taps and lane.
    """
    parameters = {p.base.name for p in system.parameters}
    found: dict[str, tuple[str, ...]] = {}
    for e in equations:
        c = window_contraction(e, declared, order)
        if c is not None and c.b.base.name in parameters:
            own = dict(zip(c.b.indices, map(str, declared[c.b.base.name]), strict=True))
            found[c.b.base.name] = tuple(own[i] for i in (*c.groups, *(w.tap for w in c.windows), c.inner, c.lane))
            continue
        (*_, lane) = as_stored(e.target, declared, order) or [None]
        for x in (x for t in e.terms if t.over for x in tensors_of(t.body) if x.base.name in parameters):
            others = [y for t in e.terms for y in tensors_of(t.body) if y.base.name not in parameters]
            shared = all(lane == as_stored(y, declared, order)[-1] for y in others if y.indices)
            if lane in x.indices and shared and all(isinstance(i, sp.Symbol) for i in x.indices) and len(x.indices) > 2:
                own = dict(zip(x.indices, map(str, declared[x.base.name]), strict=True))
                found[x.base.name] = (*(own[i] for i in x.indices if i != lane), own[lane])
    return found


def _check_names(system: System) -> None:
    """Names that a kernel gives a meaning of its own, or that Python does, are refused."""
    names = {"tensor": set(system.declared()), "setting": {s.name for s in system.settings}}
    names["index"] = {i.name for x in system.declared().values() for i in x.indices if isinstance(i, sp.Symbol)}
    for what, found in names.items():
        for name in sorted(found):
            if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
                raise DefinitionError(
                    f"{system.source}: system {system.name!r}: the name {name!r} of a {what} means something else in a kernel; "
                    "give it another"
                )


def _declared(system: System, equations: Sequence[Equation]) -> dict[str, tuple[sp.Expr, ...]]:
    """The indices of every tensor, sensitivities and the places of maxima among them."""
    declared = {name: x.indices for name, x in system.declared().items()}
    for equation in equations:
        declared.setdefault(equation.name, equation.target.indices)
        if equation.kind == "max":
            declared |= {at.base.name: equation.target.indices for at in equation.winners().values()}
    return {f"delta_{name}": at for name, at in declared.items()} | declared


@dataclass(frozen=True)
class _Room:
    """What every step of lowering a system needs to know."""

    system: System
    declared: dict[str, tuple[sp.Expr, ...]]
    order: dict[str, tuple[str, ...]]
    names: Mapping[str, str]
    dtypes: Mapping[str, str]
    windows: dict[str, WindowContraction] = field(default_factory=dict)

    def phase(self, equations: Sequence[Equation], outputs: set[str], later: set[str]) -> Phase:
        """The kernels of one pass. ``outputs`` are what it is for, ``later`` what another pass reads."""
        shown = {e.name: e for e in equations}
        found = {e.name: window_contraction(e, self.declared, self.order) for e in equations}
        self.windows.update({name: windows for name, windows in found.items() if windows is not None})
        groups = self._groups([in_range(e, self.declared, self.system.relations) for e in equations])
        kernels = []
        for number, group in enumerate(groups):
            elsewhere = outputs | later | {n for g in groups[number + 1 :] for e in g for n in e.reads()}
            text = [equation_text(shown[e.name]) for e in group]
            try:
                kernels.append(replace(self._kernel(group, elsewhere), equations=text))
            except NotImplementedError as error:
                said = "; ".join(text)
                raise DefinitionError(f"{self.system.source}: system {self.system.name!r}, {said}: {error}") from error
        made = {name: at for k in kernels for name, at in k.arguments.items() if name in k.writes}
        return Phase(kernels, {name: at for name, at in sorted(made.items()) if name not in outputs})

    def descent(self, gradient: Equation) -> Kernel | None:
        """The kernel for a parameter's new value where its rule is linear and its gradient a contraction: no array of the
        gradient exists."""
        parameter = gradient.name.removeprefix("nabla_")
        own = {x.base.name for x in self.system.parameters if f"nabla_{x.base.name}" == gradient.name}
        taken = {*self.declared, *(s.name for s in self.system.settings)}
        found = None if gradient.name in self.windows else self._contraction(gradient)
        if not own or found is None or found.rest or found.scale != 1 or taken & {KEPT.name, SHARE.name}:
            return None
        target = tensor(parameter)[gradient.target.indices]
        equation = replace(gradient, target=target)
        found = replace(found, equation=equation)
        name = f"{self.system.name}_{parameter}_descent"
        kernel = self._contracted(found, name, str(self._stored(target)[0]), added=True)
        place = str(list(target.indices))
        new = f"{parameter}_new{place} = {KEPT}*{parameter}{place} + {SHARE}*{gradient.name}{place}"
        return replace(kernel, equations=[equation_text(gradient), new])

    def _groups(self, equations: Sequence[Equation]) -> list[list[Equation]]:
        """The equations in an order in which they can be computed, those that share a kernel together."""
        groups: list[list[Equation]] = []
        waiting = list(equations)
        while waiting:
            unknown = {n for e in waiting for n in _made([e])}
            ready = [e for e in waiting if not e.reads() & (unknown - _made([e]))] or waiting
            joining = [e for e in ready if groups and self._joins(groups[-1], e)]
            if joining:
                groups[-1].append(joining[0])
            else:
                groups.append(ready[:1])
            waiting.remove(groups[-1][-1])
        return groups

    def _contraction(self, equation: Equation) -> Contraction | None:
        return contraction(equation, self.declared, self.order)

    def _is_accumulated(self, equation: Equation) -> bool:
        """Whether the sum runs over a slow index of its operand, the target along the fast one: rows are added up."""
        if is_scatter(equation):
            return True
        target = equation.target.indices
        if equation.kind != "sum" or not isinstance(target[-1], sp.Symbol) or self._reduces_in_lanes(equation):
            return False
        for term in equation.terms:
            summed = {k for k, *_ in term.over}
            for x in tensors_of(term.body):
                stored = as_stored(x, self.declared, self.order)
                if x.base.name not in self.dtypes and summed & set(stored):
                    if stored[-1] == target[-1] and target[0] not in stored[:1]:
                        return True
        return False

    def _reduces_in_lanes(self, equation: Equation) -> bool:
        return any(t.over for t in equation.terms) and lane_of(equation, self.declared, self.order) is not None

    def _stands_alone(self, equation: Equation) -> bool:
        known = self.windows.get(equation.name) or self._contraction(equation)
        return known is not None or self._is_accumulated(equation) or is_boxed(equation)

    def _joins(self, group: Sequence[Equation], equation: Equation) -> bool:
        """Whether an equation can share the group's loops over rows: what it reads of the group is of its own row.

        The gradient of a parameter shares a kernel with others of its kind alone: it may be wanted later than the rest. What
        treats all elements alike stays so where it needs nothing of the group.
        """
        if self._stands_alone(group[0]) or self._stands_alone(equation):
            return False
        if len(equation.target.indices) > 1 and all(is_flat(e, self.order) for e in (*group, equation)):
            if not equation.reads() & _made(group):
                return False
        gradients = {f"nabla_{x.base.name}" for x in self.system.parameters}
        if (group[0].name in gradients) != (equation.name in gradients):
            return False
        if any(self._reduces_in_lanes(e) for e in (*group, equation)):
            rows = tuple(self._stored(equation.target))
            if not all(e.target.indices == equation.target.indices for e in group):
                return False
            if not all(lane_of(e, self.declared, self.order) for e in (*group, equation)):
                return False
        else:
            rows = self._rows([*group, equation])
        reads = [x for t in equation.terms for x in t.operands() if x.base.name in _made(group)]
        return bool(rows) and all(tuple(self._stored(x)[: len(rows)]) == rows for x in reads)

    def _stored(self, x: sp.Indexed) -> list[sp.Expr]:
        return as_stored(x, self.declared, self.order)

    def _rows(self, group: Sequence[Equation]) -> tuple[sp.Symbol, ...]:
        """The indices with which all targets begin as they are stored."""
        rows = []
        for at in zip(*(self._stored(e.target) for e in group), strict=False):
            if len(set(at)) > 1 or not isinstance(at[0], sp.Symbol):
                break
            rows.append(at[0])
        return tuple(rows)

    def _kernel(self, group: list[Equation], elsewhere: set[str]) -> Kernel:
        name = next(self.names[e.name] for e in reversed(group) if e.name in self.names)
        if len(group) == 1 and is_flat(group[0], self.order):
            return self._flat(group[0], name)
        stored = _made(group) & elsewhere
        if self._stands_alone(group[0]):
            return self._alone(group[0], name)
        if wants_lanes(group, self.declared, self.order):
            return self._in_lanes(group, name, stored)
        rows = self._rows(group)
        whole = _made(group)
        if rows:
            group, stored = _without_row_tensors(group, rows, stored)
        else:
            stored |= {e.name for e in group}
        first = rows[0].name if rows else ""
        nest = self._nest(group, stored, first, made=whole)
        body = row_body(nest, group, rows, stored)
        body = nest.loops([(i, sp.Integer(0), size_of(i) - 1) for i in rows[1:]], body)
        body = [Loop(first, "first", "last", body)] if rows else body
        return self._finished(nest, name, stored, body, self._is_local(group, first))

    def _nest(
        self,
        group: Sequence[Equation],
        stored: set[str],
        split: str,
        rows: Sequence[sp.Symbol] = (),
        made: Set[str] = frozenset(),
    ) -> Nest:
        """The nest of a group: its arrays are what the group reads and does not make, then what is stored."""
        read = [n for e in group for n in sorted(e.reads()) if n not in _made(group) | made]
        arrays = {n: self.order[n] for n in (*read, *(n for e in group for n in (e.name, *_winners(e)) if n in stored))}
        moving = {i for e in group for i in (*e.target.indices, *(k for t in e.terms for k, *_ in t.over))} - set(rows)
        nest = Nest(arrays, self.declared, split, self.dtypes, rows, moving)
        nest.reserve(group)
        return nest

    def _in_lanes(self, group: Sequence[Equation], name: str, stored: set[str]) -> Kernel:
        *rows, lane = self._stored(group[0].target)
        taps = self._taps(group)
        tap = next((i for i in rows[1:] if i.name in taps and shares_planes(group, i)), None)
        nest = self._nest(group, stored, rows[0].name, [i for i in rows if i != tap])
        nest.printer = LanePrinter(nest.place, nest.index, nest.whole_number)
        weights = weights_of(group, rows, lane, taps)
        if tap is not None:
            body = nest.in_rows(in_lanes(nest, lane, plane_body(nest, group[0], tap)))
        elif weights is not None:
            kept, lines = weighted_body(nest, group[0], stored, weights)
            body = nest.in_rows(lines, lambda inner: in_lanes(nest, lane, [kept, *inner]))
        else:
            body = nest.in_rows(in_lanes(nest, lane, lane_body(nest, group, stored)))
        kernel = self._finished(nest, name, stored, body, self._is_local(group, rows[0].name))
        # A maximum holds its places and masks beside it, a sum over taps its weights.
        narrow = weights is not None or any(e.kind == "max" for e in group)
        fixed = taps | {s.name for s in self.system.settings if s.is_integer} & set(kernel.scalars)
        return replace(kernel, lane=lane.name, registers=2 if narrow else 0, fixed=tuple(sorted(fixed)))

    def _taps(self, group: Sequence[Equation]) -> set[str]:
        """The indices of parameters that count places of a window."""
        at = {c for e in group for t in e.terms for x in t.operands() for c in x.indices if not c.is_Symbol}
        own = {i for x in self.system.parameters for i in x.indices}
        return {i.name for i in own & {s for c in at for s in c.free_symbols}}

    def _alone(self, equation: Equation, name: str) -> Kernel:
        """The kernel of an equation that shares none: a contraction, a sum in memory, a sum of boxes."""
        windows, made = self.windows.get(equation.name), {equation.name}
        found = self._contraction(equation) if windows is None else None
        rows = self._stored(equation.target)
        split = str(rows[0]) if rows else ""
        if windows is not None:
            nest = self._nest([equation], made, " ".join(split_of(windows)))
            kernel = self._finished(nest, name, made, window_body(windows, nest), local=False)
            kernel = replace(kernel, contracts=True, box=box_of(windows))
            return replace(kernel, filtered=self._filtered(windows, kernel))
        if found is not None:
            kernel = self._contracted(found, name, split)
            return replace(kernel, across=self._across(found, kernel))
        if is_boxed(equation):
            limited = {n for n, i in enumerate(rows) for t in equation.terms for c in t.conditions if c.has(i)}
            outer = max(1, min(limited, default=len(rows)))  # of sizes alone, no index is limited
            rows, inner = rows[:outer], rows[outer:]
            nest = self._nest([equation], made, split, rows)
            body = nest.in_rows(boxed(nest, equation, inner))
        else:
            nest = self._nest([equation], made, split)
            body = accumulated(nest, equation)
        return self._finished(nest, name, made, body, self._is_local([equation], split))

    def _contracted(self, c: Contraction, name: str, split: str, *, added: bool = False) -> Kernel:
        """The kernel of a contraction over ranges of one of its target's indices; ``added`` as in `contraction_body`."""
        made = {c.equation.name}
        nest = self._nest([c.equation], made, split)
        body = contraction_body(c, nest, added=added)
        local = not added and self._is_local([c.equation], split)
        return replace(self._finished(nest, name, made, body, local), contracts=True)

    def _across(self, found: Contraction, kernel: Kernel) -> Kernel | None:
        """The same over ranges of its lane; not of a gradient, which shares its rows with an update."""
        own = {f"nabla_{x.base.name}" for x in self.system.parameters}
        lane = found.lane.name
        if found.outer or found.row is None or lane == kernel.split or found.equation.name in own:
            return None
        return self._contracted(found, f"{kernel.name}_across", lane)

    def _filtered(self, windows: WindowContraction, kernel: Kernel) -> Filtered | None:
        """Another way to the same, by minimal filtering."""

        def nest(arrays: Mapping[str, tuple[str, ...]], split: str) -> Nest:
            made = Nest(arrays, self.declared, split, self.dtypes)
            made.reserve([windows.equation])
            return made

        def finish(nest: Nest, name: str, writes: str, body: list) -> Kernel:
            return replace(self._finished(nest, name, {writes}, body), equations=[equation_text(windows.equation)])

        return filtered(windows, kernel, self.order, nest, finish)

    def _is_local(self, group: Sequence[Equation], split: str) -> bool:
        """Whether everything that has the split index is read and written at exactly that index."""
        for e in group:
            for x in (e.target, *(x for t in e.terms for x in t.operands())):
                own = dict(zip(map(str, self.declared[x.base.name]), x.indices, strict=True))
                if str(own.get(split, split)) != split:
                    return False
        return True

    def _flat(self, equation: Equation, name: str) -> Kernel:
        """All elements alike: one loop over them, whatever the rank."""
        i = sp.Symbol("i", integer=True)
        operands = {equation.target, *(x for t in equation.terms for x in tensors_of(t.body))}
        read = sorted({x.base.name for x in operands} - {equation.name})
        nest = Nest(dict.fromkeys((*read, equation.name), ("i",)), dict.fromkeys((*read, equation.name), (i,)), "i")
        moved = equation.map({x: x.base[i] for x in operands})
        lines = nest.statements({f"{equation.name}[i]": sp.Add(*(t.body for t in moved.terms))})
        kernel = self._finished(nest, name, {equation.name}, [Loop("i", "first", "last", lines, plain=True)])
        at = {n: self.order[n] for n in kernel.arguments}
        return replace(kernel, flat=True, arguments=at, split=self.order[equation.name][0])

    def _finished(self, nest: Nest, name: str, writes: Set[str], body: list, local: bool = True) -> Kernel:
        counts = {s for s in self.system.settings if s.is_integer}
        of_system = (*self.system.inputs, *self.system.outputs, *self.system.parameters)
        given = {x.base.name: self.order[x.base.name] for x in of_system}
        return replace(_kernel(nest, name, tuple(sorted(writes)), body, counts, given), local=local)


def _winners(equation: Equation) -> list[str]:
    return [at.base.name for at in equation.winners().values()] if equation.kind == "max" else []


def _made(group: Sequence[Equation]) -> set[str]:
    """What a group computes, the places of maxima among it."""
    return {n for e in group for n in (e.name, *_winners(e))}


def _without_row_tensors(
    group: Sequence[Equation], rows: Sequence[sp.Symbol], stored: set[str]
) -> tuple[list[Equation], set[str]]:
    """(equations, what must be stored): what only its own row reads is put in where it is read, if that repeats no call.

    A value for a whole row stays in a local variable; any other is stored.
    """
    readers = {e.name: sum(e.name in other.reads() for other in group) for e in group}
    known: dict[str, Equation] = {}
    kept: list[Equation] = []
    stored = set(stored)
    for equation in group:
        equation = put_in(equation, known)
        calls = any(f.func.__name__ in FUNCTIONS for f in equation.terms[0].body.atoms(sp.Function, sp.exp))
        whole_row = set(equation.target.indices) == set(rows)
        few = readers[equation.name] < 2 or not calls
        if is_elementwise(equation) and not whole_row and few and equation.name not in stored:
            known[equation.name] = equation
            continue
        kept.append(equation)
        if not whole_row:
            stored |= {n for n in (equation.name, *_winners(equation)) if n in {m for e in group for m in e.reads()}}
            stored.add(equation.name)
    return kept, stored


def lower_update(equations: Sequence[Equation], name: str, states: Sequence[str], parameter: str) -> Kernel:
    """An update rule as one loop: all that is new is computed from what was, then stored in its place.

    Raises DefinitionError for a rule that is not elementwise, or that leaves something without its new value.
    """
    index = equations[0].target.indices
    changed = [parameter, *states]
    made = {e.name for e in equations}
    for e in equations:
        places = {x.indices for t in e.terms for x in (e.target, *tensors_of(t.body))}
        if places != {index} or len(index) != 1 or e.kind != "sum" or any(t.over or t.conditions for t in e.terms):
            said = f"an update rule treats each element by itself, as w_new[i] = ...; {equation_text(e)} does not"
            raise DefinitionError(f"{name.removesuffix('_update')}: {said}")
    for missing in (t for t in changed if f"{t}_new" not in made):
        raise DefinitionError(f"{name.removesuffix('_update')}: no equation defines {missing}_new{list(index)}")
    read = {n for e in equations for n in e.reads()} - made
    i = str(index[0])
    arrays = dict.fromkeys([*changed, *sorted(read - set(changed))], (i,))
    nest = Nest(arrays, dict.fromkeys([*arrays, *made], index), i)
    nest.reserve(equations)
    lines: list = []
    for e in equations:
        lines += nest.statements({e.name: sp.Add(*(t.body for t in e.terms))})
        nest.locals.add(e.name)
    lines += [Assign(f"{t}[{i}]", f"{t}_new") for t in changed]
    kernel = _kernel(nest, name, tuple(changed), [Loop(i, "first", "last", lines, plain=True)])
    return replace(kernel, flat=True, equations=list(map(equation_text, equations)))


def lower_linear(equations: Sequence[Equation], name: str, parameter: str, gradient: str) -> Kernel | None:
    """The factors of a rule that is linear, w_new = kept w + share nabla with factors of settings alone; None if it is not."""
    index = equations[0].target.indices
    known: dict[sp.Basic, sp.Expr] = {}
    for e in equations:
        known[e.target] = sp.Add(*(t.body for t in e.terms)).xreplace(known)
    old, slope = tensor(parameter)[index], tensor(gradient)[index]
    new = known[tensor(f"{parameter}_new")[index]]
    factors = {KEPT: sp.diff(new, old), SHARE: sp.diff(new, slope)}
    rest = sp.expand(new - factors[KEPT] * old - factors[SHARE] * slope)
    if rest != 0 or any(f.has(sp.Indexed) for f in factors.values()):
        return None
    named = [tensor(f.name)[sp.Integer(0)] for f in factors]
    nest = Nest({f.name: ("one",) for f in factors}, {f.name: (sp.Symbol("one"),) for f in factors}, "")
    values = {x: sp.factor_terms(value) for x, value in zip(named, factors.values(), strict=True)}
    printer = ValuePrinter(nest.place, nest.index, typed=False)
    body: list = [Assign(nest.place(x), printer.doprint(value)) for x, value in values.items()]
    nest.printer.scalars |= printer.scalars
    kernel = _kernel(nest, name, tuple(f.name for f in factors), body)
    texts = [f"{parameter}_new{list(index)} = {KEPT}*{old} + {SHARE}*{slope}"]
    texts += [f"{f} = {TextPrinter().doprint(value)}" for f, value in zip(factors, values.values(), strict=True)]
    return replace(kernel, equations=texts, dtypes={f.name: "float64" for f in factors})


def _kernel(
    nest: Nest,
    name: str,
    writes: tuple[str, ...],
    body: list,
    counts: Set[sp.Symbol] = frozenset(),
    given: Mapping[str, tuple[str, ...]] | None = None,
) -> Kernel:
    """The kernel around a body; ``counts`` are settings that are whole numbers, sizes among them.

    ``given`` are arrays that it can have for their sizes alone.
    """
    hoisted = _hoisted(nest)
    sizes = _sizes(nest, counts, given or {})
    integers = {s.name for s in counts} & (nest.integers | {size.name for size in nest.sizes})
    scalars = nest.printer.scalars | integers
    whole_numbers = [Assign(s, f"int({s})") for s in sorted(integers)]
    return Kernel(
        name=name,
        arguments=dict(nest.arrays),
        writes=writes,
        split=nest.split,
        body=sizes + whole_numbers + hoisted + body,
        scalars=tuple(sorted(scalars)),
        functions=tuple(sorted(nest.printer.used)),
        dtypes={name: nest.dtypes[name] for name in nest.arrays if name in nest.dtypes},
        typed=_typed(nest) if nest.printer.constants else "",
    )


def _typed(nest: Nest) -> str:
    """An array of the network's dtype: the last, which the kernel writes, if it is one."""
    return next((name for name in reversed(nest.arrays) if name not in nest.dtypes), "")


def _hoisted(nest: Nest) -> list:
    """What no index changes, computed once in double precision."""
    lines: list = []
    for e, name in nest.constants.items():
        plain = ValuePrinter(nest.place, nest.index, typed=False)
        text = plain.doprint(e)
        bare = text[1:-1] if isinstance(e, sp.Piecewise) else text  # the call has parentheses enough
        lines.append(Assign(name, nest.printer.number(bare)))
        nest.printer.scalars |= plain.scalars
        nest.printer.used |= plain.used
    return lines


def _sizes(nest: Nest, counts: Set[sp.Symbol], given: Mapping[str, tuple[str, ...]]) -> list:
    """The sizes that the kernel names and that no setting gives, from the shapes of its arrays."""
    lines: list = []
    for size in sorted(nest.sizes - counts, key=str):
        own = [*nest.arrays.items()][::-1]
        own.sort(key=lambda pair: pair[0] in nest.dtypes)
        for array, at in (*own, *given.items()):
            position = next((p for p, i in enumerate(at) if size_of(sp.Symbol(i)) == size), None)
            if position is not None:
                lines.append(Assign(nest.size(size), f"{array}.shape[{position}]"))
                if array not in nest.arrays:
                    nest.arrays = {array: at, **nest.arrays}
                break
        else:
            raise NotImplementedError(f"no array that the kernel reads or writes has the size {size}")
    return lines
