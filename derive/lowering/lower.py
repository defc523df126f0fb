"""From a derivation to its kernels: the driver of this room, which reads as its table of contents.

1. Operands of contractions that are expressions become equations of their own.
2. Each equation is a contraction, a sum added up in memory, or a nest of loops.
3. Neighbouring nests over the same rows share a kernel; what only they read stays in local variables.
4. What one kernel leaves for another is a buffer.
"""

import keyword
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import sympy as sp

from derive.calculus.derivation import Derivation
from derive.calculus.equation import Equation, size_of, tensors_of
from derive.calculus.system import DefinitionError, System
from derive.calculus.text import equation_text
from derive.lowering.contractions import contraction_body
from derive.lowering.expressions import FUNCTIONS, ValuePrinter
from derive.lowering.kernel import Assign, Kernel, Loop, Phase
from derive.lowering.kinds import (
    Contraction,
    as_stored,
    contraction,
    is_flat,
    storage_for,
    stored_order,
    with_plain_operands,
)
from derive.lowering.nests import RESERVED, Nest, accumulated, in_range, is_scatter, row_body
from derive.lowering.windows import WindowContraction, box_of, split_of, window_body, window_contraction


@dataclass(frozen=True)
class Lowered:
    """The kernels of a system: its forward and its backward phase, and how its parameters are stored."""

    forward: Phase
    backward: Phase
    storage: dict[str, tuple[str, ...]]


def lower(derivation: Derivation, names: Mapping[str, str]) -> Lowered:
    """Kernels for the forward and backward equations; ``names`` gives a kernel's name for each tensor it computes.

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
    forward, backward = (
        with_plain_operands(equations, declared, order) for equations in (derivation.forward, derivation.backward)
    )
    for e in (*forward, *backward):
        declared.setdefault(e.name, e.target.indices)
        order.setdefault(e.name, tuple(str(i) for i in e.target.indices if isinstance(i, sp.Symbol)))
    given = {x.base.name for x in (*system.inputs, *system.parameters)}
    wanted = {e.name for e in backward if e.name.removeprefix("nabla_").removeprefix("delta_") in given}
    room = _Room(system, declared, order, names)
    return Lowered(
        room.phase(forward, {x.base.name for x in system.outputs}, {n for e in backward for n in e.reads()}),
        room.phase(backward, wanted, set()),
        storage,
    )


def _storage_of_filters(
    equations: Sequence[Equation], system: System, declared: Mapping[str, tuple[sp.Expr, ...]], order: Mapping
) -> dict[str, tuple[str, ...]]:
    """Filters are stored as the forward contraction reads them: taps, then what is summed within, then its lane."""
    found = {}
    for c in (window_contraction(e, declared, order) for e in equations):
        if c is not None and c.b.base.name in {p.base.name for p in system.parameters}:
            own = dict(zip(c.b.indices, map(str, declared[c.b.base.name]), strict=True))
            found[c.b.base.name] = tuple(own[i] for i in (*(w.tap for w in c.windows), c.inner, c.lane))
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
    windows: dict[str, WindowContraction] = field(default_factory=dict)

    def phase(self, equations: Sequence[Equation], outputs: set[str], later: set[str]) -> Phase:
        """The kernels of one pass. ``outputs`` are what it is for, ``later`` what another pass reads."""
        shown = {e.name: e for e in equations}
        found = {e.name: window_contraction(e, self.declared, self.order) for e in equations}
        self.windows.update({name: windows for name, windows in found.items() if windows is not None})
        groups: list[list[Equation]] = []
        for equation in (in_range(e, self.declared) for e in equations):
            if groups and self._joins(groups[-1], equation):
                groups[-1].append(equation)
            else:
                groups.append([equation])
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

    def _contraction(self, equation: Equation) -> Contraction | None:
        return contraction(equation, self.declared, self.order)

    def _is_accumulated(self, equation: Equation) -> bool:
        """Whether the sum runs over a slow index of its operand, the target along the fast one: rows are added up."""
        if is_scatter(equation):
            return True
        target = equation.target.indices
        if equation.kind != "sum" or not isinstance(target[-1], sp.Symbol):
            return False
        for term in equation.terms:
            summed = {k for k, *_ in term.over}
            for x in tensors_of(term.body):
                stored = as_stored(x, self.declared, self.order)
                if summed & set(stored) and stored[-1] == target[-1] and target[0] not in stored[:1]:
                    return True
        return False

    def _windows(self, name: str) -> WindowContraction | None:
        """The equation of that name as a contraction through windows."""
        return self.windows.get(name)

    def _stands_alone(self, equation: Equation) -> bool:
        known = self._windows(equation.name) or self._contraction(equation)
        return known is not None or self._is_accumulated(equation)

    def _joins(self, group: Sequence[Equation], equation: Equation) -> bool:
        """Whether an equation can share the group's loops over rows: what it reads of the group is of its own row."""
        if self._stands_alone(group[0]) or self._stands_alone(equation):
            return False
        rows = _rows([*group, equation])
        if not rows:
            return False
        made = {n for e in group for n in (e.name, *(_winners(e)))}
        reads = [x for t in equation.terms for x in t.operands() if x.base.name in made]
        return all(x.indices[: len(rows)] == rows for x in reads)

    def _kernel(self, group: list[Equation], elsewhere: set[str]) -> Kernel:
        name = next(self.names[e.name] for e in reversed(group) if e.name in self.names)
        if len(group) == 1 and is_flat(group[0], self.order):
            return self._flat(group[0], name)
        rows = _rows(group)
        whole, stored = list(group), {n for e in group for n in (e.name, *_winners(e)) if n in elsewhere}
        alone = self._stands_alone(group[0])
        if alone or not rows:
            stored |= {e.name for e in group}
        else:
            group, stored = _without_row_tensors(group, rows, stored)
        made = {n for e in whole for n in (e.name, *_winners(e))}
        read = [n for e in group for n in sorted(e.reads()) if n not in made]
        arrays = {n: self.order[n] for n in read} | {n: self.order[n] for n in _in_order_made(group, stored)}
        first = rows[0].name if rows else ""
        split = self.order[group[0].name][0] if alone and self.order[group[0].name] else first
        windows = self._windows(group[0].name) if len(group) == 1 else None
        if windows is not None:
            split = " ".join(split_of(windows))
        nest = Nest(arrays, self.declared, split)
        nest.reserve(group)
        found = self._contraction(group[0]) if len(group) == 1 and windows is None else None
        if windows is not None:
            body = window_body(windows, nest)
        elif found is not None:
            body = contraction_body(found, nest)
        elif alone:
            body = accumulated(nest, group[0])
        else:
            body = row_body(nest, group, rows, stored)
            body = nest.loops([(i, sp.Integer(0), size_of(i) - 1) for i in rows[1:]], body)
            body = [Loop(first, "first", "last", body)] if rows else body
        kernel = self._finished(nest, name, tuple(sorted(stored)), body)
        contracts, box = found is not None or windows is not None, box_of(windows) if windows else None
        local = windows is None and self._is_local(group, split)
        return replace(kernel, contracts=contracts, local=local, box=box)

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
        kernel = self._finished(nest, name, (equation.name,), [Loop("i", "first", "last", lines, plain=True)])
        at = {n: self.order[n] for n in kernel.arguments}
        return replace(kernel, flat=True, arguments=at, split=self.order[equation.name][0])

    def _finished(self, nest: Nest, name: str, writes: tuple[str, ...], body: list) -> Kernel:
        return _kernel(nest, name, writes, body, {s for s in self.system.settings if s.is_integer})


def _rows(group: Sequence[Equation]) -> tuple[sp.Symbol, ...]:
    """The indices with which all targets begin."""
    rows = []
    for at in zip(*(e.target.indices for e in group), strict=False):
        if len(set(at)) > 1 or not isinstance(at[0], sp.Symbol):
            break
        rows.append(at[0])
    return tuple(rows)


def _winners(equation: Equation) -> list[str]:
    return [at.base.name for at in equation.winners().values()] if equation.kind == "max" else []


def _in_order_made(group: Sequence[Equation], stored: set[str]) -> list[str]:
    return [n for e in group for n in (e.name, *_winners(e)) if n in stored]


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
        terms = []
        for t in equation.terms:
            body = t.body
            for x in tensors_of(body):
                if x.base.name in known:
                    source = known[x.base.name]
                    place = dict(zip(source.target.indices, x.indices, strict=True))
                    value = source.terms[0].body.xreplace(place)
                    body = body.xreplace({x: sp.UnevaluatedExpr(value) if value.is_Add else value})  # z - max first
            terms.append(replace(t, body=body))
        equation = replace(equation, terms=tuple(terms))
        (term, *more) = equation.terms
        calls = any(f.func.__name__ in FUNCTIONS for f in term.body.atoms(sp.Function, sp.exp))
        elementwise = equation.kind == "sum" and not more and not term.over and not term.conditions
        whole_row = equation.target.indices == tuple(rows)
        if elementwise and not whole_row and equation.name not in stored and (readers[equation.name] < 2 or not calls):
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


def _kernel(nest: Nest, name: str, writes: tuple[str, ...], body: list, counts: Set[sp.Symbol] = frozenset()) -> Kernel:
    """The kernel around a body; ``counts`` are settings that are whole numbers, sizes among them."""
    hoisted = _hoisted(nest)
    integers = {s.name for s in counts} & (nest.integers | {size.name for size in nest.sizes})
    scalars = nest.printer.scalars | integers
    whole_numbers = [Assign(s, f"int({s})") for s in sorted(integers)]
    return Kernel(
        name=name,
        arguments=dict(nest.arrays),
        writes=writes,
        split=nest.split,
        body=_sizes(nest, counts) + whole_numbers + hoisted + body,
        scalars=tuple(sorted(scalars)),
        functions=tuple(sorted(nest.printer.used)),
        typed=list(nest.arrays)[-1] if nest.printer.constants else "",
    )


def _hoisted(nest: Nest) -> list:
    """What no index changes, computed once in double precision."""
    lines: list = []
    for e, name in nest.constants.items():
        plain = ValuePrinter(nest.place, nest.index, typed=False)
        lines.append(Assign(name, nest.printer.number(plain.doprint(e))))
        nest.printer.scalars |= plain.scalars
        nest.printer.used |= plain.used
    return lines


def _sizes(nest: Nest, counts: Set[sp.Symbol]) -> list:
    """The sizes that the kernel names and that no setting gives, from the shapes of its arrays."""
    lines: list = []
    for size in sorted(nest.sizes - counts, key=str):
        for array, at in reversed(list(nest.arrays.items())):
            position = next((p for p, i in enumerate(at) if size_of(sp.Symbol(i)) == size), None)
            if position is not None:
                lines.append(Assign(nest.size(size), f"{array}.shape[{position}]"))
                break
        else:
            raise NotImplementedError(f"no array that the kernel reads or writes has the size {size}")
    return lines
