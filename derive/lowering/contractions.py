"""Contractions as calls of the engine: offsets and strides of both operands and of the target."""

from collections.abc import Sequence

import sympy as sp

from derive.calculus.equation import Equation, Term, size_of
from derive.lowering.kernel import Assign, Contract
from derive.lowering.kinds import Contraction
from derive.lowering.nests import Nest

FIRST, LAST = sp.symbols("first last", integer=True)


def stride(x: sp.Indexed, index: sp.Symbol | None, nest: Nest) -> sp.Expr:
    """How many elements apart two neighbours along an index lie."""
    order = nest.arrays[x.base.name]
    names = dict(zip(nest.declared[x.base.name], x.indices, strict=True))
    storage = [names[i] for i in order]
    if index is None or index not in storage:
        return sp.Integer(0)
    return sp.Mul(*(size_of(i) for i in storage[storage.index(index) + 1 :]))


def contraction_body(c: Contraction, nest: Nest) -> tuple[list, bool]:
    """The statements of a contraction's kernel over [first, last) of its split index, and whether it starts from a bias."""
    target = c.equation.target
    split = nest.split
    outer = list(c.outer)
    rows = sp.Integer(1) if c.row is None else size_of(c.row)
    columns: sp.Expr = size_of(c.lane)
    offset: dict[sp.Symbol, sp.Expr] = {i: i for i in outer}
    if c.row is not None and c.row.name == split:
        rows, offset[c.row] = LAST - FIRST, FIRST
    elif c.lane.name == split:
        columns, offset[c.lane] = LAST - FIRST, FIRST
    segment, step = c.summed if len(c.summed) == 2 else (None, c.summed[0])
    bias = next((t.body for t in c.rest if _is_bias(t, c)), None) if c.scale == 1 else None

    def begin(x: sp.Indexed) -> str:
        return nest.index(sp.expand(sp.Add(*(at * stride(x, i, nest) for i, at in offset.items()))))

    def along(x: sp.Indexed, index: sp.Symbol | None) -> str:
        return nest.index(stride(x, index, nest))

    a, b = c.a, c.b
    arguments = {
        "rows": nest.index(rows),
        "columns": nest.index(columns),
        "segments": nest.index(size_of(segment)) if segment is not None else "1",
        "length": nest.index(size_of(step)),
        "a": a.base.name,
        "a0": begin(a),
        "a_row": along(a, c.row),
        "a_segment": along(a, segment),
        "a_step": along(a, step),
        "b": b.base.name,
        "b0": begin(b),
        "b_segment": along(b, segment),
        "b_step": along(b, step),
        "b_lane": along(b, c.lane),
        "c": target.base.name,
        "c0": begin(target),
        "c_row": along(target, c.row),
        "scratch": "scratch",
    }
    if bias is not None:
        arguments |= {"bias": bias.base.name, "bias0": begin(bias)}
    lines: list = [Contract("contract_bias" if bias is not None else "contract", arguments)]
    ranges = [
        (i, FIRST, LAST - 1) if i.name == split else (i, sp.Integer(0), size_of(i) - 1)
        for i in [*outer, *([c.row] if c.row is not None else []), c.lane]
    ]
    lines = nest.loops([r for r in ranges if r[0] in outer], lines)
    rest = [t for t in c.rest if bias is None or t.body != bias]
    if c.scale != 1 or rest:
        place = nest.place(target)
        after: list = []
        if c.scale != 1:
            after.append(Assign(place, nest.value(c.scale), "*="))
        after += [Assign(place, nest.value(t.body), "+=") for t in rest]
        lines += nest.loops(_in_storage_order(ranges, target, nest), after)
    return lines, bias is not None


def _is_bias(term: Term, c: Contraction) -> bool:
    return isinstance(term.body, sp.Indexed) and term.body.indices == (c.lane,)


def _in_storage_order(ranges: Sequence[tuple], target: sp.Indexed, nest: Nest) -> list[tuple]:
    names = dict(zip(nest.declared[target.base.name], target.indices, strict=True))
    by_index = {r[0]: r for r in ranges}
    return [by_index[names[i]] for i in nest.arrays[target.base.name]]


def storage_for(equations: Sequence[Equation], parameters: Sequence[sp.Indexed]) -> dict[str, tuple[str, ...]]:
    """The order in which each parameter's indices are stored: the forward contraction's lane last, so it reads in place."""
    from derive.lowering.kinds import contraction

    order = {p.base.name: tuple(str(i) for i in p.indices) for p in parameters}
    for equation in equations:
        found = contraction(equation, [i for i in equation.target.indices if isinstance(i, sp.Symbol)])
        if found is None or found.b.base.name not in order:
            continue
        declared = next(p for p in parameters if p.base.name == found.b.base.name)
        names = dict(zip(found.b.indices, map(str, declared.indices), strict=True))
        rest = [names[i] for i in found.b.indices if i != found.lane]
        order[found.b.base.name] = (*rest, names[found.lane])
    return order
