"""From a chain of layers to the program of a step: which kernels run, in which order, which of them together.

Kernels that treat one sample after the other share a stage: the stage goes through the mini-batch in chunks, and each
chunk passes through all of them while it is in the cache. A weight's gradient and its update share a stage as well,
over the rows of the weight. A stage runs in parallel when it has work enough to pay for that.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .definition import COSTS, LAYERS, PAIRS, Cost, Layer, Rule, stored, tensor
from .program import Call, Kernel, Stage

PARALLEL_WORK = 1 << 21  # multiplications from which a stage pays for a parallel region
CACHED = 1 << 16  # elements of a chunk of a gradient and its weights
ROWS = 5  # rows of the engine's tile: chunks are multiples of it


@dataclass
class Link:
    """A layer in its place: the sizes of its indices, its parameters and their gradients in the order of storage."""

    layer: Layer
    sizes: dict[str, int]
    settings: dict[str, np.ndarray]
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)

    def shape(self, slot: str, batch: int | None = None) -> tuple[int, ...]:
        """The sizes of a tensor's axes; the first index of the layer's input is the batch's."""
        axes = tensor(slot)[1]
        own = {**self.sizes, **({self.batch_index: batch} if batch is not None else {})}
        own |= {i: -(-own[of] // size) for i, (of, size) in self.layer.groups.items() if of in own}
        return tuple(1 if i == "one" else own[i] for i in axes)

    @property
    def batch_index(self) -> str:
        return tensor(self.layer.inputs[0])[1][0]


def link(
    layer: Layer, incoming: tuple[int, ...], sizes: Sequence[int], settings: Mapping[str, float], where: str
) -> Link:
    """Give a layer its sizes, from the shape of a sample that comes in and from what the user gives.

    Raises ValueError, saying ``where``, if the shapes do not fit or a size is missing.
    """
    if len(layer.inputs) != 1 or len(layer.outputs) != 1:
        raise ValueError(
            f"{where}: {layer.name!r} has {len(layer.inputs)} inputs and {len(layer.outputs)} outputs; one of each"
        )
    _, (_, *axes) = tensor(layer.inputs[0])
    if len(axes) == 1 and len(incoming) != 1:
        incoming = (prod(incoming),)  # a layer of flat samples takes any sample as one row
    if len(axes) != len(incoming):
        raise ValueError(
            f"{where}: {layer.name!r} takes samples of {len(axes)} axes, the layer before gives {incoming}"
        )
    values = settings_of(layer, settings, where)
    found = dict(zip(axes, incoming, strict=True)) | sizes_of(layer, sizes, where)
    for index, function in layer.sizes.items():
        found[index] = _following(function, found, values)
    if any(found[index] < 1 for index in layer.sizes):
        raise ValueError(f"{where}: {layer.name!r} leaves nothing: {_too_small(layer, found, values)}")
    return Link(layer, found, {name: np.array([float(value)]) for name, value in values.items()})


def sizes_of(layer: Layer, sizes: Sequence[int], where: str) -> dict[str, int]:
    """The sizes that the user gives a layer, by index; one number will do for the rows and columns of a filter."""
    free, given = layer.free_sizes, tuple(sizes)
    if len(tensor(layer.inputs[0])[1]) == 4 and 1 < len(given) == len(free) - 1:
        given += given[-1:]
    if len(given) != len(free):
        names = ", ".join(free) or "none"
        raise ValueError(f"{where}: {layer.name!r} takes {len(free)} sizes ({names}), {len(sizes)} were given")
    for name, size in zip(free, given, strict=True):
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{where}: size {name} of {layer.name!r} must be a positive integer, not {size!r}")
    return dict(zip(free, map(int, given), strict=True))


SIDES = ("top", "bottom", "left", "right")


def settings_of(layer: Layer, given: Mapping[str, Any], where: str) -> dict[str, float]:
    """All settings of a layer: its defaults, and those given. ``padding`` is that of all sides, of rows and columns, or of
    each of SIDES; ``size`` that of the rows and columns of a window."""
    values = dict(layer.settings)
    window = [name for name in values if name[:1].isupper()]
    together = {"padding": [side for side in SIDES if side in values], "size": window}
    known = sorted({*values, *(name for name, parts in together.items() if parts)})
    for name, value in given.items():
        parts = together.get(name) or [name]
        if name not in known:
            raise ValueError(f"{where}: {layer.name!r} has no setting {name!r}; it has {', '.join(known) or 'none'}")
        each = list(value) if isinstance(value, tuple | list) else [value] * len(parts)
        if len(each) == 2 and len(parts) == 4:
            each = [each[0]] * 2 + [each[1]] * 2
        if len(each) != len(parts):
            raise ValueError(f"{where}: {name} of {layer.name!r} must be one number, or {len(parts)}, not {value!r}")
        values |= dict(zip(parts, each, strict=True))
    for name, value in values.items():
        least = layer.counts.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ValueError(f"{where}: setting {name} must be a finite number, not {value!r}")
        if least is not None and not (value == int(value) and value >= least):
            raise ValueError(f"{where}: setting {name} must be a whole number, {least} or more, not {value!r}")
    return values


def _following(function: Callable[..., int], sizes: Mapping[str, int], settings: Mapping[str, float]) -> int:
    """A size that follows from others: ``P`` is the size of index ``p``."""
    names = inspect.signature(function).parameters
    return function(*(int(settings[n]) if n in settings else sizes[n[:1].lower() + n[1:]] for n in names))


def _too_small(layer: Layer, sizes: Mapping[str, int], settings: Mapping[str, float]) -> str:
    """Why a size comes out below one."""
    index, function = next((i, f) for i, f in layer.sizes.items() if sizes[i] < 1)
    names = inspect.signature(function).parameters
    values = {n: settings.get(n, sizes.get(n[:1].lower() + n[1:])) for n in names}
    return f"{function.__doc__} is {sizes[index]} for {', '.join(f'{n} = {v}' for n, v in values.items())}"


@dataclass
class Plan:
    """The stages of a pass over a mini-batch of fixed size, and the arrays that they work on."""

    stages: list[Stage]
    inputs: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray | None = None
    loss: np.ndarray | None = None
    loss_stage: int | None = None
    cells: dict[str, np.ndarray] = field(default_factory=dict)


def plan_prediction(links: Sequence[Link], batch: int, shape: tuple[int, ...], dtype: np.dtype, threads: int) -> Plan:
    """Forward through all layers."""
    values = _values(links, batch, shape, dtype)
    calls = [
        c
        for number, one in enumerate(links)
        for c in _layer_calls(one, one.layer.forward, values, [], number, batch, dtype)
    ]
    return Plan(_stages(calls, threads), values[0], values[-1])


def plan_training(
    links: Sequence[Link],
    cost: Cost,
    batch: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    threads: int,
    updates: Sequence[Call] = (),
    *,
    backward: bool = True,
) -> Plan:
    """Forward, cost, backward if asked for, and the ``updates`` of the parameters, each beside its gradient."""
    values = _values(links, batch, shape, dtype)
    deltas = [np.zeros_like(v) for v in values]
    targets, costs, loss = np.zeros_like(values[-1]), np.zeros(batch, dtype), np.zeros(1, dtype)
    pair = PAIRS.get((links[-1].layer.name, cost.name))
    calls: list[Call] = []
    back: list[Call] = []
    for number, one in enumerate(links):
        buffers = _buffers(one, batch, dtype)
        own = pair is None or number < len(links) - 1
        if own:
            calls += _layer_calls(one, one.layer.forward, values, deltas, number, batch, dtype, buffers)
            back = _layer_calls(one, one.layer.backward, values, deltas, number, batch, dtype, buffers) + back
    head = pair or cost
    names = {tensor(head.targets[0])[0]: targets, tensor(head.outputs[-1])[0]: costs}
    before, after = (values[-2], deltas[-2]) if pair else (values[-1], deltas[-1])
    names |= {tensor(head.inputs[0])[0]: before, f"delta_{tensor(head.inputs[0])[0]}": after}
    if pair:
        names |= {tensor(pair.outputs[0])[0]: values[-1]}
    cells = {name: np.array([float(value)]) for name, value in head.settings.items()}
    sizes = dict(zip(tensor(head.inputs[0])[1], before.shape, strict=True))
    names |= {name: np.zeros([sizes.get(i, 1) for i in axes], dtype) for name, axes in map(tensor, head.buffers)}
    calls += [_call(k, names, cells) for k in head.forward]
    back = [_call(k, names, cells) for k in head.backward] + back
    objective = LAYERS["objective"]
    mean = {tensor(objective.inputs[0])[0]: costs, tensor(objective.outputs[0])[0]: loss}
    tail = [_call(k, mean, {}) for k in objective.forward]

    gradients = [g for one in links for g in one.gradients.values()]
    back = _needed(back, gradients) if backward else []
    weights = [c for c in back if _writes(c, gradients)]
    calls += [c for c in back if not _writes(c, gradients)]
    stages = _stages(calls, threads) + _stages(tail, threads)
    loss_stage = len(stages) - 1
    for call in weights:
        own_updates = [u for u in updates if _shares(u, call)]
        stages += _stages([call, *own_updates], threads)
    return Plan(stages, values[0], values[-1], targets, loss, loss_stage)


def cost_named(name: str) -> Cost:
    """The cost of that name; raises ValueError naming those there are."""
    return _named(COSTS, name, "cost")


def layer_named(name: str) -> Layer:
    """The layer of that name; raises ValueError naming those there are."""
    return _named(LAYERS, name, "layer")


def _named(known: Mapping, name: object, what: str):
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"there is no {what} named {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


def _values(links: Sequence[Link], batch: int, shape: tuple[int, ...], dtype: np.dtype) -> list[np.ndarray]:
    """What comes in, and what each layer gives."""
    arrays = [np.zeros((batch, *shape), dtype)]
    return arrays + [np.zeros(one.shape(stored(one.layer.outputs[0]), batch), dtype) for one in links]


def _buffers(one: Link, batch: int, dtype: np.dtype) -> dict[str, np.ndarray]:
    """A layer's intermediate arrays, those that have no dtype of their own in the network's."""
    dtypes = {slot: np.dtype(slot.partition("]: ")[2] or dtype) for slot in one.layer.buffers}
    return {tensor(slot)[0]: np.zeros(one.shape(slot, batch), own) for slot, own in dtypes.items()}


def _layer_calls(one, kernels, values, deltas, number, batch, dtype, buffers=None) -> list[Call]:
    into, out = tensor(one.layer.inputs[0])[0], tensor(one.layer.outputs[0])[0]
    shape = one.shape(stored(one.layer.inputs[0]), batch)
    names = {**one.parameters, **{f"nabla_{p}": g for p, g in one.gradients.items()}}
    names |= _buffers(one, batch, dtype) if buffers is None else buffers
    names |= {into: values[number].reshape(shape), out: values[number + 1]}
    if deltas:
        names |= {f"delta_{into}": deltas[number].reshape(shape), f"delta_{out}": deltas[number + 1]}
    return [_call(k, names, one.settings) for k in kernels]


def _call(kernel: Kernel, names: Mapping[str, np.ndarray], cells: Mapping[str, np.ndarray]) -> Call:
    """The kernel on its arrays; a kernel of single rows sees an array of more axes as one row."""
    arrays = {}
    for name, (axes, _) in kernel.arrays.items():
        array = names[name]
        arrays[name] = array.reshape(-1) if len(axes) == 1 and array.ndim > 1 else array
    return Call(kernel, arrays, {name: cells[name] for name in kernel.scalars})


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return a.size > 0 and b.size > 0 and a.ctypes.data == b.ctypes.data


def _written(call: Call) -> list[np.ndarray]:
    return [call.arrays[name] for name in call.kernel.writes]


def _writes(call: Call, arrays: Sequence[np.ndarray]) -> bool:
    return any(_overlap(w, a) for w in _written(call) for a in arrays)


def _shares(update: Call, gradient: Call) -> bool:
    return any(_overlap(r, w) for r in update.arrays.values() for w in _written(gradient))


def _needed(calls: Sequence[Call], wanted: Sequence[np.ndarray]) -> list[Call]:
    """The calls that the wanted arrays depend on: no sensitivity is sent to where nothing learns."""
    wanted, kept = list(wanted), []
    for call in reversed(calls):
        if _writes(call, wanted):
            kept.append(call)
            wanted += [a for name, a in call.arrays.items() if name not in call.kernel.writes]
    return kept[::-1]


def _extent(call: Call) -> int:
    sizes = {
        i: s for n, (axes, _) in call.kernel.arrays.items() for i, s in zip(axes, call.arrays[n].shape, strict=True)
    }
    return prod(sizes[index] for index in call.kernel.split.split())


def _joins(stage: Sequence[Call], call: Call) -> bool:
    """Whether a call can go through the chunks of a stage: what it reads of the stage is of its own chunk."""
    if not stage:
        return True
    first, here = _extent(stage[0]), _extent(call)
    if not call.kernel.split or not call.kernel.local or max(first, here) % min(first, here) or min(first, here) == 1:
        return False
    for earlier in stage:
        for w in _written(earlier):
            for name, (axes, _) in call.kernel.arrays.items():
                if _overlap(w, call.arrays[name]) and (not axes or axes[0] != call.kernel.split):
                    return False
        for name, (axes, _) in earlier.kernel.arrays.items():
            touched = any(_overlap(earlier.arrays[name], w) for w in _written(call))
            if touched and (not axes or axes[0] != earlier.kernel.split):
                return False
    return all(
        axes and axes[0] == c.kernel.split
        for c in (*stage, call)
        for n, (axes, _) in c.kernel.arrays.items()
        if n in c.kernel.writes
    )


def _stages(calls: Sequence[Call], threads: int) -> list[Stage]:
    groups: list[list[Call]] = []
    for call in calls:
        if groups and _joins(groups[-1], call):
            groups[-1].append(call)
        else:
            groups.append([call])
    return [_stage(group, threads) for group in groups]


def _work(call: Call) -> int:
    """Multiplications: every combination of its indices for a contraction, some ten for an element otherwise."""
    sizes = {
        i: s for n, (axes, _) in call.kernel.arrays.items() for i, s in zip(axes, call.arrays[n].shape, strict=True)
    }
    return prod(sizes.values()) * (1 if "scratch" in call.kernel.arguments else 10)


def _stage(calls: list[Call], threads: int) -> Stage:
    extent = min(map(_extent, calls))
    parallel = threads > 1 and sum(map(_work, calls)) >= PARALLEL_WORK and extent >= 2 * ROWS
    per_row = max(sum(w.size for w in _written(c)) for c in calls) // max(extent, 1)
    grain = -(-extent // threads) if parallel else extent
    grain = min(grain, max(4 * ROWS, CACHED // max(per_row, 1)))
    return Stage(calls, grain=max(ROWS, -(-grain // ROWS) * ROWS), parallel=parallel)


def rule_calls(
    rule: Rule, links: Sequence[Link], cells: Mapping[str, np.ndarray], states: dict, dtype: np.dtype
) -> list[Call]:
    """The update of every parameter; weight decay acts on weights, which have two axes or more, not on biases.

    ``states`` keeps the rule's own arrays, by layer, parameter and state; those that are missing are begun at zero.
    """
    calls = []
    for number, one in enumerate(links):
        for name, parameter in one.parameters.items():
            names = {rule.parameter: parameter, rule.gradient: one.gradients[name]}
            for state in rule.states:
                names[state] = states.setdefault((number, name, state), np.zeros_like(parameter))
            own = dict(cells)
            if parameter.ndim < 2 and "weight_decay" in own:
                own["weight_decay"] = np.zeros(1)
            calls += [_call(k, names, own) for k in rule.update]
    return calls
