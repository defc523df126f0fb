"""The instances at which two sides are compared: networks from the smallest up."""

import itertools
from collections import Counter
from collections.abc import Iterator

import sympy as sp

from derive.audit.judging.exact import Undefined
from derive.audit.judging.instance import Instance, Polynomial, Sizes
from derive.audit.meaning.network import (
    Definitions,
    Extent,
    channels,
    columns,
    last,
    layer,
    rows,
    samples,
    stem,
    units,
)
from derive.audit.meaning.values import Bound

ACTIVATIONS: tuple[Polynomial, ...] = ((0, 0, 1), (1, -1, 1), (0, 1, 0, 1))
NETWORKS = 3  # choices of the depth and the layer l
WIDEST = 2  # units of a layer
OF_EACH = 2  # shapes of each depth and window, at least
ATTEMPTS = 3  # sets of values for each choice of sizes


def has_instance(bound: Bound, network: Definitions) -> bool:
    """Whether some network has every layer that is named."""
    return bool(networks(bound, network))


def everything(bound: Bound) -> sp.Tuple:
    return sp.Tuple(
        bound.left, bound.right, *bound.free.values(), *(size for pair in bound.mismatches for size in pair)
    )


def networks(bound: Bound, network: Definitions) -> list[tuple[int, int | None]]:
    """Depths, and layers l in them, at which everything named exists."""
    both = everything(bound)
    named = [x.indices[0] for x in both.atoms(sp.Indexed) if is_layered(x, network)]
    least = max([2, *(int(i) for i in named if i.is_Integer)])
    shifts = [0, *(int(i - s) for i in named for s in (layer, last) if i.has(s))]
    return [
        (depth, at)
        for depth in range(least, least + max(shifts) - min(shifts) + 3)
        for at in (range(1, depth + 1) if both.has(layer) else [None])
        if exists(both, depth, at, network)
    ]


def is_layered(x: sp.Indexed, network: Definitions) -> bool:
    return stem(x.base.name.partition("_at_")[0]) in network.features


def instances(bound: Bound, network: Definitions, most: int) -> Iterator[Instance]:
    """Networks from the smallest up, at least some of each depth and window. Sizes that the formula takes for equal are made equal."""
    both = everything(bound)
    coupled = network.kind.coupled
    speaks_of_all = both.has(samples) or any(
        x.base.name.startswith("E") or "_new" in x.base.name for x in both.atoms(sp.Indexed)
    )
    batches = (bound.batch,) if bound.batch else (1, 2) if speaks_of_all or coupled else (1,)
    found = []
    for depth, at in networks(bound, network)[:NETWORKS]:
        change = at_depth(depth, at)
        given = {
            (type(size).__name__, int(size.args[0].xreplace(change))): int(n)
            for size, n in bound.fixed.items()
            if isinstance(size, Extent)
        }
        for extents, side in shapes(layers_read(both, depth, at, network), depth, network, given):
            found += [Instance(network, depth, at, extents, batch, ACTIVATIONS[0], 0, side) for batch in batches]
    ties = [*bound.mismatches, *bound.fixed.items()]
    found.sort(key=lambda i: (i.depth + sum(i.extents.values()) + i.samples + i.window, i.depth))
    given_of: Counter[tuple[int, int | None, int]] = Counter()
    for i in found:
        kind = i.depth, i.layer, i.window
        enough = given_of.total() * ATTEMPTS >= most and given_of[kind] >= OF_EACH
        if enough or not all(tied(i, one, other) for one, other in ties):
            continue
        given_of[kind] += 1
        for attempt in range(ATTEMPTS):
            activation = ACTIVATIONS[attempt % len(ACTIVATIONS)]
            yield Instance(network, i.depth, i.layer, i.extents, i.samples, activation, attempt, i.window)


def shapes(used: set[int], depth: int, network: Definitions, given: Sizes) -> Iterator[tuple[Sizes, int]]:
    """Sizes of every layer, of which only those of the `used` matter, and the side of a pooling window."""
    every = range(1, depth + 1)
    if not network.kind.planes:
        for widths in itertools.product(range(1, WIDEST + 1), repeat=len(used)):
            wide = dict(zip(sorted(used), widths, strict=True))
            yield {("units", i): wide.get(i, 1) for i in every}, 1
        return
    pools = network.name != "convolution"
    filters = [] if pools else [(name, i) for i in sorted(used) if i > 1 for name in ("height", "breadth")]
    top = depth if pools else max(used, default=depth)
    free = [("rows", top), ("columns", top), *filters]
    free += [("channels", i) for i in sorted(used)][: 1 if pools else None]
    ranges = [[given[size]] if size in given else range(1, WIDEST + 1) for size in free]
    for chosen in itertools.product(*ranges):
        sizes = dict(zip(free, chosen, strict=True))
        side = WIDEST if pools else 1  # a window of one place would pool nothing
        yield planes(sizes, top, depth, side, pools), side


def planes(sizes: Sizes, top: int, depth: int, side: int, pools: bool) -> Sizes:
    """The planes of all layers, from those of the layer `top` and the filters or windows between them."""
    found = dict(sizes)
    for name, taps in (("rows", "height"), ("columns", "breadth")):
        for i in range(top + 1, depth + 1):
            found[name, i] = found[name, top]
        for i in range(top - 1, 0, -1):
            above = found[name, i + 1]
            found[name, i] = side * above if pools else above + found.get((taps, i + 1), 1) - 1
    if pools:
        of_all = next((n for (name, _), n in sizes.items() if name == "channels"), 1)
        found |= {("channels", i): of_all for i in range(1, depth + 1)}
    return found


def tied(instance: Instance, one: sp.Expr, other: sp.Expr) -> bool:
    try:
        return instance.evaluate(one, {}) == instance.evaluate(other, {})
    except Undefined:
        return False


def at_depth(depth: int, at: int | None) -> dict[sp.Basic, sp.Basic]:
    return {last: sp.Integer(depth)} | ({layer: sp.Integer(at)} if at is not None else {})


def exists(both: sp.Tuple, depth: int, at: int | None, network: Definitions) -> bool:
    """Whether a network of that depth has every layer that is named."""
    change = at_depth(depth, at)
    for x in both.atoms(sp.Indexed):
        if not is_layered(x, network):
            continue
        i = x.indices[0].xreplace(change)
        if not network.lowest(x.base.name) <= i <= depth:
            return False
    return all(1 <= u.args[0].xreplace(change) <= depth for u in both.atoms(units, channels, rows, columns))


def layers_read(both: sp.Tuple, depth: int, at: int | None, network: Definitions) -> set[int]:
    """The layers whose sizes matter: those named, and the one before each."""
    change = at_depth(depth, at)
    found = {int(u.args[0].xreplace(change)) for u in both.atoms(Extent)}
    for x in both.atoms(sp.Indexed):
        name = x.base.name
        if is_layered(x, network):
            i = int(x.indices[0].xreplace(change))
            found |= {i} | ({i - 1} if stem(name)[:1] == "w" or network.kind.planes else set())
        elif name in ("y", "C"):
            found |= {depth}
        elif name.startswith("any "):
            found |= {1}
    return {i for i in found if 1 <= i <= depth}
