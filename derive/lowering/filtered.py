"""Contractions through windows by minimal filtering: another lowering of the same equation, where its steps are 1.

A place of the target reads ``slot = place + tap + offset``, or ``place - tap + offset``: then the filter is turned. The
filter, the operand that is read by plain indices, is transformed once, the other operand tile by tile. The gradient by a
filter has the taps as its rows and sums over places: the products of its tiles are added up, in shares of the places, and
transformed back at the end. The routines are those of ``tiles.py`` in the templates of the runtime.

How large tiles are, and whether this way is taken at all, follows from the sizes: ``choice.py`` there.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import sympy as sp

from derive.calculus.equation import size_of
from derive.lowering.kernel import EngineCall, Filtered, Kernel
from derive.lowering.kinds import as_stored
from derive.lowering.nests import Nest
from derive.lowering.windows import Body, Window, WindowContraction

ONE, NONE = sp.Integer(1), sp.Integer(0)
PARTS = tuple(sp.symbols("row_part column_part", integer=True))  # of a transformed tile or filter
SHARE = sp.Symbol("share", integer=True)  # of the places, whose products are added up by themselves

MakeNest = Callable[[Mapping[str, tuple[str, ...]], str], Nest]
Finish = Callable[[Nest, str, str, list], Kernel]


def filtered(
    c: WindowContraction, kernel: Kernel, order: Mapping[str, tuple[str, ...]], nest: MakeNest, finish: Finish
) -> Filtered | None:
    """The kernels that do by minimal filtering what ``kernel`` does; None where the steps cannot all be 1.

    ``nest`` makes the nest of a kernel of these arrays and this split; ``finish`` the kernel from the nest, a name, what it
    writes, and its body.
    """
    given = {s: ONE for w in c.windows for e in (w.row_step, w.tap_step, w.divisor) for s in e.free_symbols}
    windows = tuple(_with(w, given) for w in c.windows)
    turned = [w.is_turned for w in windows]
    if any(abs(w.tap_step) != 1 or w.row_step != 1 or w.divisor != 1 for w in windows):
        return None
    if len(c.repeated) > 1 or (any(turned) and not c.inner_is_summed):
        return None
    own = replace(c, windows=windows)
    kernels = (_of_places if c.inner_is_summed else _of_taps)(own, kernel, order, nest, finish)
    name = _names(c, order, nest({}, ""))
    pairs = [(w.row, w.tap) if c.inner_is_summed else (w.tap, w.row) for w in windows]
    planes = [name[i] for i in (*c.outer, *c.repeated)]
    return Filtered(
        kernels,
        places=(*(planes or [""]), *(name[place] for place, _ in pairs)),
        taps=tuple(name[tap] for _, tap in pairs),
        inner=name[c.inner],
        lane=name[c.lane],
        groups=tuple(name[g] for g in c.groups),
        settings={s.name: 1 for s in sorted(given, key=str)},
    )


def _names(c: WindowContraction, order: Mapping[str, tuple[str, ...]], nest: Nest) -> dict[sp.Expr, str]:
    """What the arrays call the equation's indices."""
    return {
        i: name
        for x in (c.b, c.equation.target)
        for i, name in zip(as_stored(x, nest.declared, order), order[x.base.name], strict=True)
    }


def _numbered(arguments: list[str]) -> dict[str, str]:
    """The arguments of a routine, in their order."""
    return {str(k): text for k, text in enumerate(arguments)}


def _with(w: Window, given: Mapping[sp.Symbol, sp.Expr]) -> Window:
    return Window(
        w.slot, w.row, w.tap, *(sp.expand(e.subs(given)) for e in (w.row_step, w.tap_step, w.offset, w.divisor))
    )


def _pair(body: Body, first: sp.Expr, *second: sp.Expr, filler: sp.Expr = ONE) -> str:
    """Two numbers, one for each axis of planes; what has one axis is one column wide."""
    return f"({body.text(first)}, {body.text(second[0] if second else filler)})"


def _pairs(body: Body, values: list[sp.Expr], filler: sp.Expr = ONE) -> str:
    return _pair(body, *values, filler=filler)


def _read(body: Body) -> list[str]:
    """How the operand that windows move over is read: array, place, step between planes, planes, step between places."""
    c = body.c
    plane = c.outer[0] if c.outer else (c.repeated[0] if c.repeated else None)
    step = body.a_step[plane] if plane is not None else NONE
    slots = _pairs(body, [size_of(w.slot) for w in c.windows])
    return [c.a.base.name, body.text(body.group * body.inner), body.text(step), slots, body.text(body.channels)]


def _of_places(
    c: WindowContraction, kernel: Kernel, order: Mapping[str, tuple[str, ...]], nest: MakeNest, finish: Finish
) -> list[Kernel]:
    """The filter's transform, and the places."""
    w, z, turned = c.b.base.name, c.equation.name, [x.is_turned for x in c.windows]
    taps = [x.tap for x in c.windows]
    name = f"{w}_{'turned' if any(turned) else 'filtered'}"

    making = nest({}, "")
    own = _names(c, order, making)
    *_, channel, lane = (i for i in as_stored(c.b, making.declared, order) if i not in taps)
    within = [*c.groups, *PARTS, channel, lane]
    arrays = {w: order[w], name: tuple(own.get(i, str(i)) for i in within)}
    making = nest(arrays, own[channel])
    body = Body(c, making, order)
    steps = [body.b_step[t] for t in taps]
    at = body.step(body.b_step) + sum(
        (size_of(t) - 1) * s for t, s, back in zip(taps, steps, turned, strict=True) if back
    )
    size = sp.Mul(*map(size_of, within[len(c.groups) :]))
    call = EngineCall("filtered_filters", _numbered([
        "first", "last", body.text(size_of(channel)), body.text(size_of(lane)), w, body.text(at),
        _pairs(body, [-s if back else s for s, back in zip(steps, turned, strict=True)]),
        body.text(body.b_step[channel]), name, body.text(body.group * size),
    ]))  # fmt: skip
    filters = finish(making, f"{kernel.name}_filters", name, body.for_groups([call]))

    bias = {} if c.bias is None else {c.bias.base.name: order[c.bias.base.name]}
    split = " ".join(own[i] for i in (*c.outer, c.windows[0].row))
    making = nest({c.a.base.name: order[c.a.base.name], **bias, name: arrays[name], z: order[z]}, split)
    body = Body(c, making, order)
    rows, plane = [x.row for x in c.windows], c.outer[0] if c.outer else None
    ahead = {i: sp.Mul(*map(size_of, within[k + 1 :])) for k, i in enumerate(within)}
    offset = [x.offset - (size_of(x.tap) - 1 if back else 0) for x, back in zip(c.windows, turned, strict=True)]
    arguments = [
        "first", "last", _pairs(body, [size_of(r) for r in rows]), body.text(size_of(c.lane)), *_read(body),
        body.text(body.inner), _pairs(body, offset, NONE), name, body.text(body.group * size), body.text(ahead[PARTS[1]]),
        f"({body.text(ahead[c.inner])}, {body.text(ahead[c.lane])})", z, body.text(body.step(body.target_step)),
        body.text(body.target_step[plane] if plane is not None else NONE), body.text(body.target_step[rows[-1]]), "box", "scratch",
    ]  # fmt: skip
    if c.bias is not None:
        arguments += [c.bias.base.name, body.text(body.group * size_of(c.lane))]
    call = EngineCall(f"filtered_places{'_bias' if c.bias is not None else ''}", _numbered(arguments))
    places = finish(making, f"{kernel.name}_filtered", z, body.for_groups([call]))
    return [
        replace(filters, local=False, vectors=(own[channel], own[lane])),
        replace(places, contracts=True, box=NONE, local=False, vectors=(own[c.inner], own[c.lane])),
    ]


def _of_taps(
    c: WindowContraction, kernel: Kernel, order: Mapping[str, tuple[str, ...]], nest: MakeNest, finish: Finish
) -> list[Kernel]:
    """The products of tiles, added up, and the gradient from them."""
    a, delta, w = c.a.base.name, c.b.base.name, c.equation.name
    name = f"{w}_filtered"
    within = [SHARE, *c.groups, *PARTS, c.inner, c.lane]
    own = _names(c, order, nest({}, ""))
    of_parts = tuple(own.get(i, str(i)) for i in within)
    steps = {i: sp.Mul(*map(size_of, within[k + 1 :])) for k, i in enumerate(within)}
    places = [x.tap for x in c.windows]

    making = nest({a: order[a], delta: order[delta], name: of_parts}, f"{SHARE} {PARTS[0]}")
    body = Body(c, making, order)
    at, plane = body.step(steps), c.repeated[0]
    call = EngineCall("filtered_products", _numbered([
        "first", "last", body.text(size_of(SHARE)), body.text(size_of(plane)), _pairs(body, [size_of(i) for i in places]),
        body.text(size_of(c.lane)), *_read(body), body.text(body.inner), _pairs(body, [x.offset for x in c.windows], NONE),
        delta, body.text(sum((body.b_step[g] * g for g in c.groups), NONE)), body.text(body.b_step[plane]),
        body.text(body.b_step[places[-1]]), name, body.text(at), body.text(steps[SHARE]), "box", "scratch",
    ]))  # fmt: skip
    products = finish(making, f"{kernel.name}_products", name, body.for_groups([call]))

    making = nest({name: of_parts, w: order[w]}, own[c.inner])
    body = Body(c, making, order)
    call = EngineCall("filtered_gradient", _numbered([
        "first", "last", body.text(size_of(SHARE)), body.text(body.inner), body.text(size_of(c.lane)), name, body.text(at),
        body.text(steps[SHARE]), w, body.text(body.step(body.target_step)),
        _pairs(body, [body.target_step[x.row] for x in c.windows]), body.text(body.target_step[c.inner]),
    ]))  # fmt: skip
    gradient = finish(making, f"{kernel.name}_filtered", w, body.for_groups([call]))
    vectors = own[c.inner], own[c.lane]
    return [
        replace(products, contracts=True, box=NONE, local=False, vectors=vectors),
        replace(gradient, local=False, vectors=vectors),
    ]
