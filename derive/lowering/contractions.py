"""Contractions as calls of the engine: offsets and strides of both operands and of the target."""

import sympy as sp

from derive.calculus.equation import Term, size_of
from derive.lowering.kernel import Assign, EngineCall, If
from derive.lowering.kinds import Contraction, as_stored
from derive.lowering.nests import FIRST, LAST, Nest, whole


def stride(x: sp.Indexed, index: sp.Symbol | None, nest: Nest) -> sp.Expr:
    """How many elements apart two neighbours along an index lie."""
    storage = as_stored(x, nest.declared, nest.arrays)
    if index is None or index not in storage:
        return sp.Integer(0)
    return sp.Mul(*(size_of(i) for i in storage[storage.index(index) + 1 :]))


KEPT, SHARE = sp.symbols("kept share", real=True)


def contraction_body(c: Contraction, nest: Nest, *, added: bool = False) -> list:
    """The statements of a contraction's kernel over [first, last) of its split index.

    ``added``: the target becomes ``kept`` times what it was, plus ``share`` times the sum.
    """
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
    ranges = [
        (i, FIRST, LAST - 1) if i.name == split else whole(i)
        for i in as_stored(target, nest.declared, nest.arrays)
        if isinstance(i, sp.Symbol)
    ]
    if added:
        arguments["scale"] = nest.value(SHARE)
    routine = "contract_add" if added else "contract_bias" if bias is not None else "contract"
    call = EngineCall(routine, arguments)
    lines = nest.loops([r for r in ranges if r[0] in outer], [call])
    place, after = nest.place(target), list[Assign]()
    if added:
        return [If("kept != 1", nest.loops(ranges, [Assign(place, nest.value(KEPT), "*=")])), *lines]
    rest = [t for t in c.rest if bias is None or t.body != bias]
    if c.scale != 1:
        after.append(Assign(place, nest.value(c.scale), "*="))
    after += [Assign(place, nest.value(t.body), "+=") for t in rest]
    return lines + (nest.loops(ranges, after) if after else [])


def _is_bias(term: Term, c: Contraction) -> bool:
    return isinstance(term.body, sp.Indexed) and term.body.indices == (c.lane,)
