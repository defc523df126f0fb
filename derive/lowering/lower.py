"""From a derivation to its kernels: the driver of this room, which reads as its table of contents.

1. Operands of contractions that are expressions become equations of their own.
2. Each equation is a contraction or a nest of loops.
3. Neighbouring nests over the same rows share a kernel; what only they read stays in local variables.
4. What one kernel leaves for another is a buffer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.derivation import Derivation
from derive.calculus.equation import Equation, Term, tensors_of
from derive.calculus.text import equation_text
from derive.lowering.contractions import contraction_body, storage_for
from derive.lowering.kernel import Assign, Kernel, Loop, Phase
from derive.lowering.kinds import contraction, is_flat, with_plain_operands
from derive.lowering.nests import Nest, accumulated, in_range, row_body


@dataclass(frozen=True)
class Lowered:
    """The kernels of a system: its forward and its backward phase, and how its parameters are stored."""

    forward: Phase
    backward: Phase
    storage: dict[str, tuple[str, ...]]


def lower(derivation: Derivation, names: dict[str, str]) -> Lowered:
    """Kernels for the forward and backward equations; ``names`` gives a kernel's name for each tensor it computes."""
    system = derivation.system
    forward, backward = with_plain_operands(derivation.forward), with_plain_operands(derivation.backward)
    storage = storage_for(forward, system.parameters)
    declared = {name: x.indices for name, x in system.declared().items()}
    for equation in (*forward, *backward):
        declared.setdefault(equation.name, equation.target.indices)
    for name in list(declared):
        declared.setdefault(f"delta_{name}", declared[name])
    order = {name: tuple(str(i) for i in at if isinstance(i, sp.Symbol)) for name, at in declared.items()}
    declared |= {f"{e.name}_at": e.target.indices for e in (*forward, *backward) if e.kind == "max"}
    order |= storage | {f"nabla_{name}": at for name, at in storage.items()}
    outputs = {x.base.name for x in system.outputs}
    wanted = {e.name for e in backward if e.name.removeprefix("nabla_").removeprefix("delta_") in _given(system)}
    later = {name for e in backward for name in e.reads()}
    return Lowered(
        _phase(forward, outputs, later, declared, order, names),
        _phase(backward, wanted, set(), declared, order, names),
        storage,
    )


def lower_update(equations: Sequence[Equation], name: str, states: Sequence[str], parameter: str) -> Kernel:
    """An update rule as one loop: all that is new is computed from what was, then stored in its place."""
    declared = {x.base.name: x.indices for e in equations for t in e.terms for x in tensors_of(t.body)}
    order = {tensor_name: ("i",) for tensor_name in declared}
    nest = Nest(order, "i")
    nest.declared = {k: tuple(map(str, v)) for k, v in declared.items()}
    lines: list = []
    for e in equations:
        lines += nest.statements({e.name: sp.Add(*(t.body for t in e.terms))})
        nest.locals[e.name] = e.name
    changed = [parameter, *states]
    lines += [Assign(f"{t}[i]", f"{t}_new") for t in changed]
    arrays = {t: ("i",) for t in [*changed, *sorted(set(declared) - set(changed) - set(nest.locals))]}
    return _kernel(nest, name, equations, arrays, tuple(changed), _hoisted(nest) + [Loop("i", "first", "last", lines, plain=True)], flat=True)


def _given(system) -> set[str]:
    return {x.base.name for x in (*system.inputs, *system.parameters)}


def _phase(
    equations: list[Equation],
    outputs: set[str],
    later: set[str],
    declared: dict[str, tuple],
    order: dict[str, tuple[str, ...]],
    names: dict[str, str],
) -> Phase:
    groups: list[list[Equation]] = []
    for equation in equations:
        target = _storage_indices(equation, declared, order)
        alone = contraction(equation, target) is not None or _adds_rows(equation, declared, order)
        if groups and not alone and _joins(groups[-1], equation, declared, order):
            groups[-1].append(equation)
        else:
            groups.append([equation])
    kernels = []
    for number, group in enumerate(groups):
        read_elsewhere = outputs | later | {n for g in groups[number + 1 :] for e in g for n in e.reads()}
        kernels.append(_lowered_group(group, read_elsewhere, declared, order, names))
    made = {name for k in kernels for name in k.writes}
    known = {name: at for k in kernels for name, at in k.arguments.items()}
    buffers = {name: known[name] for name in made if name not in outputs}
    return Phase(kernels, dict(sorted(buffers.items())))


def _storage_indices(equation: Equation, declared: dict, order: dict) -> list[sp.Symbol]:
    names = dict(zip(map(str, declared[equation.name]), equation.target.indices, strict=True))
    return [names[i] for i in order[equation.name]]


def _adds_rows(equation: Equation, declared: dict, order: dict) -> bool:
    """Whether the sum runs over a slow index of its operand, the target along the fast one: rows are added up."""
    target = equation.target.indices
    if equation.kind != "sum" or not isinstance(target[-1], sp.Symbol):
        return False
    for term in equation.terms:
        summed = {k for k, *_ in term.over}
        for x in tensors_of(term.body):
            if x.base.name not in order:  # the place of a maximum, which the row itself keeps
                continue
            names = dict(zip(map(str, declared[x.base.name]), x.indices, strict=True))
            stored = [names[i] for i in order[x.base.name]]
            if summed & set(x.indices) and stored and stored[-1] == target[-1] and target[0] not in stored[:1]:
                return True
    return False


def _joins(group: Sequence[Equation], equation: Equation, declared: dict, order: dict) -> bool:
    """Whether an equation can share the group's loop over rows: the same first index, and what it reads is of its row."""
    first = group[0].target.indices[0]
    alone = any(
        contraction(e, _storage_indices(e, declared, order)) or _adds_rows(e, declared, order) for e in group
    )
    if alone or not isinstance(first, sp.Symbol) or equation.target.indices[0] != first:
        return False
    made = {e.name for e in group} | {f"{e.name}_at" for e in group}
    reads = [x for t in equation.terms for x in t.body.atoms(sp.Indexed) if x.base.name in made]
    return all(x.indices[0] == first for x in reads)


def _lowered_group(
    group: list[Equation], read_elsewhere: set[str], declared: dict, order: dict, names: dict[str, str]
) -> Kernel:
    stored = {e.name for e in group if e.name in read_elsewhere}
    name = next(names[e.name] for e in reversed(group) if e.name in names)
    at = _storage_indices(group[-1], declared, order)
    split = str(at[0]) if at else ""
    arrays = {n: order[n] for e in group for n in sorted(e.reads() | {e.name}) if n in order}
    nest = Nest({**arrays}, split)
    nest.declared = {n: tuple(map(str, indices)) for n, indices in declared.items()}
    found = contraction(group[-1], at) if len(group) == 1 else None
    equations = list(group)
    if found is not None:
        body, _ = contraction_body(found, nest)
    elif len(group) == 1 and _adds_rows(group[0], declared, order):
        body = accumulated(nest, group[0])
    elif is_flat(group) and len(group) == 1:
        return _flat(group[0], name, nest)
    else:
        group = _without_row_tensors(group, stored)
        bounded = [replace(e, terms=tuple(in_range(t, e.target.indices, declared) for t in e.terms)) for e in group]
        body = row_body(nest, bounded, stored)
        if split:
            body = [Loop(split, "first", "last", body)]
    kept = {n: at for n, at in arrays.items() if n in stored or any(n in e.reads() for e in group) and n not in nest.locals}
    kept = {n: at for n, at in kept.items() if n not in {e.name for e in equations} or n in stored}
    return _kernel(nest, name, equations, _signature(kept, stored), tuple(sorted(stored)), _hoisted(nest) + body,
                   contracts=found is not None)  # fmt: skip


def _without_row_tensors(group: Sequence[Equation], stored: set[str]) -> list[Equation]:
    """Elementwise equations that only their own row reads are put in where they are read."""
    rows = len(group[0].target.indices[:1])
    known: dict[str, Equation] = {}
    kept = []
    for equation in group:
        terms = []
        for t in equation.terms:
            body = t.body
            for x in tensors_of(body):
                if x.base.name in known:
                    source = known[x.base.name]
                    place = dict(zip(source.target.indices, x.indices, strict=True))
                    value = source.terms[0].body.xreplace(place)
                    grouped = sp.UnevaluatedExpr(value) if value.is_Add else value  # z - max first: it is exact
                    body = body.xreplace({x: grouped})
            terms.append(replace(t, body=body))
        equation = replace(equation, terms=tuple(terms))
        elementwise = equation.kind == "sum" and len(terms) == 1 and not terms[0].over and not terms[0].conditions
        if elementwise and equation.name not in stored and len(equation.target.indices) > rows:
            known[equation.name] = equation
        else:
            kept.append(equation)
    return kept


def _flat(equation: Equation, name: str, nest: Nest) -> Kernel:
    """All elements alike: one loop over them, whatever the rank."""
    i = sp.Symbol("i", integer=True)
    arrays = {n: ("i",) for n in nest.arrays}
    flat = Nest(arrays, "i")
    flat.declared = {n: ("i",) for n in nest.arrays}
    change = {x: x.base[i] for t in equation.terms for x in (*tensors_of(t.body), equation.target)}
    moved = Equation(equation.target.base[i], tuple(Term(t.body.xreplace(change)) for t in equation.terms))
    (place, whole) = f"{equation.name}[i]", sp.Add(*(t.body for t in moved.terms))
    body = [Loop("i", "first", "last", list(flat.statements({place: whole})), plain=True)]
    kernel = _kernel(flat, name, [equation], _signature(nest.arrays, {equation.name}), (equation.name,), _hoisted(flat) + body, flat=True)
    kernel.split = nest.split
    return kernel


def _hoisted(nest: Nest) -> list:
    """What no index changes, computed once in double precision."""
    lines: list = []
    for e, name in nest.constants.items():
        plain = type(nest.printer)(nest.place, typed=False)
        lines.append(Assign(name, f"T({plain.doprint(e)})"))
        nest.printer.constants = True
        nest.printer.scalars |= plain.scalars
        nest.printer.sizes |= plain.sizes
        nest.printer.used |= plain.used
    return lines


def _signature(arrays: dict[str, tuple[str, ...]], written: set[str]) -> dict[str, tuple[str, ...]]:
    """What is read, then what is written."""
    return {n: at for n, at in arrays.items() if n not in written} | {n: at for n, at in arrays.items() if n in written}


def _kernel(nest, name, equations, arguments, writes, body, *, flat=False, contracts=False) -> Kernel:
    return Kernel(
        name=name,
        equations=[equation_text(e) for e in equations],
        arguments=dict(arguments),
        writes=writes,
        split=nest.split,
        body=_sizes(nest, arguments) + body,
        scalars=tuple(sorted(nest.printer.scalars)),
        functions=tuple(sorted(nest.printer.used)),
        flat=flat,
        contracts=contracts,
        typed=(list(arguments)[-1] if nest.printer.constants else ""),
    )


def _sizes(nest: Nest, arguments: dict[str, tuple[str, ...]]) -> list:
    """The sizes that the kernel names, from the shapes of its arrays."""
    lines: list = []
    for size in sorted(nest.index_sizes | nest.printer.sizes):
        for array, at in reversed(arguments.items()):
            position = next((p for p, i in enumerate(at) if i.rstrip("0123456789").capitalize() == size), None)
            if position is not None:
                lines.append(Assign(size, f"{array}.shape[{position}]"))
                break
        else:
            raise NotImplementedError(f"no array of the kernel has the size {size}")
    return lines
