"""From the links of a network to the program of a step: which kernels run, in which order, which of them together.

Kernels that treat one sample after the other share a stage: the stage goes through the mini-batch in chunks, and each
chunk passes through all of them while it is in the cache. A weight's gradient and its update share a stage as well,
over the rows of the weight. A stage runs in parallel when it has work enough to pay for that.

The sensitivity of a value that several links read is the sum of what they send back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .choice import DEFAULT, choose
from .definition import COSTS, LAYERS, PAIRS, RULES, Cost, Pair, Rule, tensor
from .draws import DRAW
from .engine import LOW
from .graph import Graph, Link
from .heads import ROW, HeadPass, head_pass
from .memory import Memory, placed, reserved
from .native import LANES
from .program import Call, Kernel, Stage, zeros

PARALLEL_WORK = 1 << 22  # multiplications of a pass from which it pays to start threads
ACROSS_WORK = 1 << 21  # those of a contraction from which it may have a stage of its own, to be shared out another way
SHARED_WORK = 1 << 18  # those of a stage from which it pays to share it out among threads that run
CACHED = 1 << 16  # elements of a chunk of a gradient and its weights
ANEW = 16  # a chunk has this part, or more, of the elements that are read anew for every chunk
STREAMED = 1 << 25  # bytes that a call touches from which on it writes past the caches: little of it would stay there
UNEVEN = 16  # the share of a thread may be larger by one part in so many for the sake of whole tiles


@dataclass
class Plan:
    """The stages of a pass over a mini-batch of fixed size, and the arrays that they work on.

    loss: of one element, right after stage loss_stage. random: what layers draw, by the number of their value; seed and
    clock (the step's number) are what it is drawn from. memory: how the arrays lie that are not kept from step to step.
    heads: those of a detector, whose predictions are there after a pass that is forward alone.
    """

    stages: list[Stage]
    inputs: np.ndarray
    outputs: np.ndarray
    random: dict[int, np.ndarray]
    seed: np.ndarray
    clock: np.ndarray
    memory: Memory
    targets: np.ndarray | None = None
    loss: np.ndarray | None = None
    loss_stage: int | None = None
    heads: Sequence[HeadPass] = ()


class _Pass:
    """The calls of one pass and the arrays that they share."""

    def __init__(
        self,
        graph: Graph,
        batch: int,
        dtype: np.dtype,
        training: bool,
        clock: np.ndarray | None = None,
        accuracy: str = DEFAULT,
    ) -> None:
        self.graph, self.batch, self.dtype, self.accuracy = graph, batch, dtype, accuracy
        self.links = graph.passed(training)
        self.learning = _learning(self.links)
        self.inputs = zeros((batch, *graph.values[0].shape), dtype)
        self.values: dict[int, np.ndarray] = {0: self.inputs}
        self.names: dict[int, dict[str, np.ndarray]] = {}  # of each link's own arrays, by the number of its value
        self.random: dict[int, np.ndarray] = {}
        self.seed, self.clock = np.zeros(1), np.zeros(1) if clock is None else clock
        self.reserved: list[np.ndarray] = []

    def array(self, shape: Sequence[int], dtype: np.dtype | str | None = None) -> np.ndarray:
        """An array that has its place in memory only while it is needed."""
        self.reserved.append(reserved(shape, dtype or self.dtype))
        return self.reserved[-1]

    def computed(self, kernel: Kernel, names: Mapping[str, np.ndarray], cells: Mapping, listed: str) -> list[Call]:
        """The calls that do what a kernel does, in the way that is chosen for it."""
        return computed(kernel, names, cells, listed, self.accuracy, self.array)

    def planned(self, stages: list[Stage], **more) -> Plan:
        """The plan of these stages."""
        output = self.graph.output
        outputs = self.values[output.number].reshape(self.batch, *(output.lies if self.graph.heads else output.shape))
        stages, memory = placed(stages, self.reserved)
        return Plan(stages, self.inputs, outputs, self.random, self.seed, self.clock, memory, **more)

    # Forward ----------------------------------------------------------------------------------------------------------

    def forward(self, one: Link, *, states: bool = False) -> list[Call]:
        """A link's forward kernels; with ``states`` they bring its states up to date as well."""
        self.give(one)
        names = self._own(one, states)
        calls = [self._drawn(one, names[tensor(slot)[0]]) for slot in one.layer.random]
        new = {f"{name}_new" for name in one.states}
        kernels = [k for k in one.layer.forward if states or not set(k.writes) <= new]
        return calls + [c for k in kernels for c in self.computed(k, names, one.settings, one.listed)]

    def give(self, one: Link) -> None:
        """A link's output has its array; what the last layer gives is there after the pass as well."""
        shape = (self.batch, *one.shape)
        last = one.output == self.graph.output.number and not self.graph.heads
        self.values[one.output] = zeros(shape, self.dtype) if last else self.array(shape)

    def _own(self, one: Link, states: bool) -> dict[str, np.ndarray]:
        """All arrays of a link by name, but sensitivities; without ``states``, their new values go nowhere."""
        names = {**one.parameters, **one.frozen, **one.states}
        names |= {f"{name}_new": state if states else self.array(state.shape) for name, state in one.states.items()}
        names |= {f"nabla_{name}": gradient for name, gradient in one.gradients.items()}
        for slot in one.layer.buffers:
            own = np.dtype(slot.partition("]: ")[2] or self.dtype)
            names[tensor(slot)[0]] = self.array(one.axes(slot, self.batch), own)
        for slot in one.layer.random:
            names[tensor(slot)[0]] = zeros(self.values[one.output].shape, self.dtype)
        for slot, number in zip(one.layer.inputs, one.inputs, strict=True):
            names[tensor(slot)[0]] = one.seen(slot, self.values[number])
        names[tensor(one.layer.outputs[0])[0]] = one.seen(one.layer.outputs[0], self.values[one.output])
        self.names[one.output] = names
        return names

    def _drawn(self, one: Link, u: np.ndarray) -> Call:
        """Draws a link's random numbers, other ones for every link, step and seed."""
        self.random[one.output] = u
        cells = {"seed": self.seed, "layer": np.array([float(one.output)]), "step": self.clock}
        return _call(DRAW, {"u": u}, cells, one.listed)

    # Backward ---------------------------------------------------------------------------------------------------------

    def backward(self, links: Sequence[Link], deltas: Mapping[int, np.ndarray]) -> "Iterable[_Back]":
        """What each link sends back, last first, from the sensitivities of the values with these numbers on."""
        deltas = dict(deltas)
        for one in reversed(links):
            if one.output not in deltas:
                continue
            names = dict(self.names[one.output])
            given = deltas.pop(one.output)
            names[f"delta_{tensor(one.layer.outputs[0])[0]}"] = one.seen(one.layer.outputs[0], given)
            wanted = {f"nabla_{name}" for name in one.gradients}
            more = []
            for slot, number in zip(one.layer.inputs, one.inputs, strict=True):
                name = f"delta_{tensor(slot)[0]}"
                if number not in self.learning:
                    continue
                wanted.add(name)
                array = self.array(self.values[number].shape)
                names[name] = one.seen(slot, array)
                if number in deltas:
                    more.append(_sum(deltas[number], array, one.listed))
                else:
                    deltas[number] = array
            kernels = _needed(one.layer.backward, wanted)
            for name in {name for k in kernels for name in k.writes} - set(
                names
            ):  # what they write besides goes nowhere
                if name.startswith("nabla_"):
                    names[name] = self.array(one.frozen[name.removeprefix("nabla_")].shape)
                    continue
                slot, number = next(
                    pair
                    for pair in zip(one.layer.inputs, one.inputs, strict=True)
                    if f"delta_{tensor(pair[0])[0]}" == name
                )
                names[name] = one.seen(slot, self.array(self.values[number].shape))
            calls = [self.computed(k, names, one.settings, one.listed) for k in kernels]
            gradients = {f"nabla_{name}" for name in one.gradients}
            yield _Back(kernels, calls, one.layer.descent, gradients, names, more, one.listed)


@dataclass(frozen=True)
class Update(Call):
    """The update of a parameter. linear: the kernel of its factors, if its rule is linear."""

    linear: Kernel | None = None


@dataclass
class _Back:
    """What a link sends back: the kernels for it, the calls of each, which tensors are gradients, the arrays, the sums that
    follow, its name.

    descent: kernels that may take the place of a gradient's and its update's.
    """

    kernels: list[Kernel]
    computed: list[list[Call]]
    descent: Sequence[Kernel]
    gradients: set[str]
    names: dict[str, np.ndarray]
    sums: list[Call]
    listed: str

    def calls(self) -> tuple[list[Call], list[Call]]:
        """(the calls in their order, those of them that only gradients come from and nothing else here reads)."""
        apart = []
        for kernel, calls in zip(self.kernels, self.computed, strict=True):
            read = {name for other in self.kernels if other is not kernel for name in other.arrays}
            if set(kernel.writes) <= self.gradients - read:
                apart += calls
        return [call for calls in self.computed for call in calls] + self.sums, apart

    def updated(self, gradient: Call, updates: Sequence[Update]) -> list[list[Call]]:
        """The gradient and the updates that read it, as calls that may share a stage: where they can be, both in one."""
        for kernel in self.descent:
            if (
                len(updates) == 1
                and updates[0].linear
                and not gradient.filtering
                and gradient.kernel.writes == (f"nabla_{kernel.writes[0]}",)
            ):
                factors = {name: np.zeros(1) for name in updates[0].linear.writes}
                factored = _call(updates[0].linear, factors, updates[0].scalars, updates[0].layer)
                return [[factored], [_call(kernel, self.names, factors, self.listed)]]
        return [[gradient, *updates]]


def _learning(links: Sequence[Link]) -> set[int]:
    """The values that something that learns has a part in: the others need no sensitivity."""
    found: set[int] = set()
    for one in links:
        if one.gradients or found & set(one.inputs):
            found.add(one.output)
    return found


def _needed(kernels: Sequence[Kernel], wanted: set[str]) -> list[Kernel]:
    """The kernels that the wanted tensors depend on."""
    wanted, kept = set(wanted), []
    for kernel in reversed(kernels):
        if wanted & set(kernel.writes):
            kept.append(kernel)
            wanted |= set(kernel.arrays) - set(kernel.writes)
    return kept[::-1]


def _sum(total: np.ndarray, more: np.ndarray, listed: str) -> Call:
    """``total + more``, into ``total``: what a shortcut computes."""
    layer = LAYERS["shortcut"]
    (kernel,) = layer.forward
    a, b, z = (tensor(slot)[0] for slot in (*layer.inputs, *layer.outputs))
    return _call(kernel, {a: total, b: more, z: total}, {}, listed)


# Plans ----------------------------------------------------------------------------------------------------------------


def plan_prediction(
    graph: Graph,
    batch: int,
    dtype: np.dtype,
    threads: int,
    *,
    training: bool = False,
    accuracy: str = DEFAULT,
) -> Plan:
    """Forward through all layers."""
    here = _Pass(graph, batch, dtype, training, accuracy=accuracy)
    calls = [call for one in here.links for call in here.forward(one)]
    heads = [head_pass(one, here.values[one.input], partial(np.zeros, dtype=dtype)) for one in graph.heads]
    calls += [call for head in heads for call in head.forward]
    return here.planned(stages(calls, paying(calls, threads)), heads=heads)


@dataclass
class _End:
    """What follows the layers of a pass: the calls up to the costs of the samples, and those back to what it reads.

    deltas: the sensitivities of that, by the numbers of the values. links: those that go backward by themselves.
    """

    calls: list[Call]
    back: list[Call]
    deltas: dict[int, np.ndarray]
    targets: np.ndarray
    costs: np.ndarray
    links: list[Link]


def _cost_end(here: _Pass, cost: Cost, states: bool) -> _End:
    """The layers, and a cost of what the last one gives, or what takes the place of both."""
    graph, links = here.graph, here.links
    pair = PAIRS.get((links[-1].layer.name, cost.name)) if links and links[-1].output == graph.output.number else None
    calls: list[Call] = []
    for one in links[:-1] if pair else links:
        calls += here.forward(one, states=states)
    if pair:
        here.give(links[-1])
    end = links[-1].inputs[0] if pair else graph.output.number
    outputs = here.values[graph.output.number].reshape(here.batch, -1)
    delta, targets, costs = here.array(here.values[end].shape), np.zeros_like(outputs), np.zeros(here.batch, here.dtype)
    ahead = here.values[end].reshape(here.batch, -1)
    ends = _ends(pair or cost, ahead, delta.reshape(here.batch, -1), outputs, targets, costs)
    listed = f"{links[-1].listed}, cost {cost.name}" if pair else f"cost {cost.name}"
    calls += [_call(k, *ends, listed) for k in (pair or cost).forward]
    back = [_call(k, *ends, listed) for k in (pair or cost).backward]
    return _End(calls, back, {end: delta}, targets, costs, links[:-1] if pair else links)


def _heads_end(here: _Pass, truths: int, states: bool) -> _End:
    """The layers, and the costs of all heads, for so many truths a sample at most."""
    calls = [call for one in here.links for call in here.forward(one, states=states)]
    targets = np.zeros((here.batch, truths, ROW), here.dtype)
    back, costs, deltas = list[Call](), list[np.ndarray](), dict[int, np.ndarray]()
    for one in here.graph.heads:
        planes = here.values[one.input]
        delta = here.array(planes.shape)
        found = head_pass(one, planes, here.array, targets, delta, here.clock if states else None)
        calls += found.forward + found.cost
        costs.append(found.arrays[tensor(one.head.outputs[-1])[0]])
        back += found.backward
        if one.input in deltas:
            back.append(_sum(deltas[one.input], delta, one.listed))
        deltas.setdefault(one.input, delta)
    calls += [_sum(costs[0], more, "cost") for more in costs[1:]]
    return _End(calls, back, deltas, targets, costs[0], here.links)


def plan_training(
    graph: Graph,
    cost: Cost | None,
    batch: int,
    dtype: np.dtype,
    threads: int,
    updates: Sequence[Update] | None = None,
    *,
    backward: bool = True,
    training: bool = True,
    clock: np.ndarray | None = None,
    truths: int = 0,
    accuracy: str = DEFAULT,
) -> Plan:
    """Forward, cost, backward if asked for, and the ``updates`` of the parameters, each beside its gradient.

    With updates, a list of them even if empty, the states of layers are brought up to date as well. A detector has no cost
    but that of its heads, and so many ``truths`` a sample at most.
    """
    here = _Pass(graph, batch, dtype, training, clock, accuracy)
    states = updates is not None
    end = _heads_end(here, truths, states) if cost is None else _cost_end(here, cost, states)
    calls, loss = end.calls, np.zeros(1, dtype)
    apart: list[tuple[Call, _Back]] = []
    if backward and here.learning:
        calls += end.back if here.learning & set(end.deltas) else []
        for sent in here.backward(end.links, end.deltas):
            chain, gradients = sent.calls()
            # At once, so that what it reads is needed no longer; before what is sent back, if that may wait.
            if graph.planes:
                first = [
                    c for c in gradients if not any(_reads(c, w) for o in chain for w in _written(o) if o is not c)
                ]
                calls += first + [c for c in chain if c not in first]
            else:
                apart += [(c, sent) for c in gradients]
                calls += [c for c in chain if c not in gradients]
    objective = LAYERS["objective"]
    mean = {tensor(objective.inputs[0])[0]: end.costs, tensor(objective.outputs[0])[0]: loss}
    threads = paying(calls + [call for call, _ in apart], threads)
    found = stages(calls, threads) + stages([_call(k, mean, {}, "cost") for k in objective.forward], threads)
    loss_stage = len(found) - 1
    left = list(updates or [])
    for at, (call, sent) in enumerate(apart):
        later = [c for c, _ in apart[at + 1 :]]  # may still read what an update writes
        own = [u for u in left if _shares(u, call) and not any(_reads(c, w) for c in later for w in _written(u))]
        left = [u for u in left if not any(u is o for o in own)]
        found += [stage for together in sent.updated(call, own) for stage in stages(together, threads)]
    gradients = calls + [c for c, _ in apart]
    found += stages([u for u in left if any(_shares(u, c) for c in gradients)], threads)
    return here.planned(found, targets=end.targets, loss=loss, loss_stage=loss_stage)


def _ends(
    head: Cost | Pair, ahead: np.ndarray, delta: np.ndarray, outputs: np.ndarray, targets: np.ndarray, costs: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(arrays, scalars) by name of a cost, or of a last layer and a cost taken together."""
    read, axes = tensor(head.inputs[0])
    names = {read: ahead, f"delta_{read}": delta, tensor(head.targets[0])[0]: targets}
    names |= {tensor(head.outputs[-1])[0]: costs}
    if isinstance(head, Pair):
        names[tensor(head.outputs[0])[0]] = outputs
    sizes = dict(zip(axes, ahead.shape, strict=True))
    for slot in head.buffers:
        name, own = tensor(slot)
        names[name] = np.zeros([sizes.get(i, 1) for i in own], slot.partition("]: ")[2] or ahead.dtype)
    return names, {name: np.array([float(value)]) for name, value in head.settings.items()}


def cost_named(name: str) -> Cost:
    """The cost of that name; raises ValueError naming those there are."""
    if not isinstance(name, str) or name not in COSTS:
        raise ValueError(f"there is no cost named {name!r}; there are {', '.join(sorted(COSTS))}")
    return COSTS[name]


def rule_named(name: str) -> Rule:
    """The update rule of that name; raises ValueError naming those there are."""
    if not isinstance(name, str) or name not in RULES:
        raise ValueError(f"there is no update rule named {name!r}; there are {', '.join(sorted(RULES))}")
    return RULES[name]


# Stages ---------------------------------------------------------------------------------------------------------------


def _call(kernel: Kernel, names: Mapping[str, np.ndarray], cells: Mapping[str, np.ndarray], listed: str) -> Call:
    """The kernel of a layer on its arrays; a kernel of single rows sees an array of more axes as one row."""
    arrays = {}
    for name, (axes, _) in kernel.arrays.items():
        array = names[name]
        arrays[name] = array.reshape(-1) if len(axes) == 1 and array.ndim > 1 else array
    return Call(kernel, arrays, {name: cells[name] for name in kernel.scalars}, listed)


def computed(
    kernel: Kernel,
    names: Mapping[str, np.ndarray],
    cells: Mapping[str, np.ndarray],
    listed: str,
    accuracy: str,
    make: Callable[[Sequence[int]], np.ndarray],
    tile: Sequence[int] = (),
) -> list[Call]:
    """The calls that do what a kernel does, in the way that is chosen for it; ``make`` gives an array to work with.

    tile: of the filtering that is taken wherever there is one; see `choice.choose`.
    """
    direct = _call(kernel, names, cells, listed)
    settings = {name: float(cell[0]) for name, cell in cells.items()}
    way = choose(kernel, direct.sizes, settings, accuracy, tile)
    if way is None:
        return [direct]
    if way.filtering is None or kernel.filtered is None:
        return [replace(direct, way=way.name, why=way.why)]
    rows, columns = way.filtering
    sizes = {**direct.sizes, "row_part": rows.n, "column_part": columns.n, "share": way.shares}
    known, calls = dict(names), list[Call]()
    for other in kernel.filtered.kernels:
        for name, (axes, _) in other.arrays.items():
            if name not in known:
                known[name] = make([sizes[index] for index in axes])
        call = _call(other, known, cells, listed)
        room, products = (way.room, way.products) if "box" in other.arguments else (0, 0)
        calls.append(replace(call, filtering=way.filtering, room=room, products=products, way=way.name, why=way.why))
    return calls


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return a.size > 0 and b.size > 0 and a.ctypes.data == b.ctypes.data


def _written(call: Call) -> list[np.ndarray]:
    return [call.arrays[name] for name in call.kernel.writes]


def _reads(call: Call, array: np.ndarray) -> bool:
    return any(_overlap(a, array) for name, a in call.arrays.items() if name not in call.kernel.writes)


def _shares(update: Call, gradient: Call) -> bool:
    return any(_overlap(r, w) for r in update.arrays.values() for w in _written(gradient))


def _along(axes: Sequence[str], split: str) -> bool:
    """Whether the part of a split is one piece of an array with these axes."""
    parts = split.split()
    return bool(axes) and list(axes[: len(parts)]) == parts


def _joins(stage: Sequence[Call], call: Call) -> bool:
    """Whether a call can go through the chunks of a stage: what it reads of the stage is of its own chunk."""
    if not stage:
        return True
    extents = [c.extent for c in (*stage, call)]
    least = min(extents)  # whose chunks those of the others are multiples of
    if not call.kernel.split or not call.kernel.local or least == 1 or any(extent % least for extent in extents):
        return False
    for earlier in stage:
        for w in _written(earlier):
            for name, (axes, _) in call.kernel.arrays.items():
                if _overlap(w, call.arrays[name]) and not _along(axes, call.kernel.split):
                    return False
        for name, (axes, _) in earlier.kernel.arrays.items():
            touched = any(_overlap(earlier.arrays[name], w) for w in _written(call))
            if touched and not (earlier.kernel.local and _along(axes, earlier.kernel.split)):
                return False
    return all(
        _along(axes, c.kernel.split)
        for c in (*stage, call)
        for n, (axes, _) in c.kernel.arrays.items()
        if n in c.kernel.writes
    )


def paying(calls: Sequence[Call], threads: int) -> int:
    """How many of the threads it pays to start for these calls."""
    return threads if sum(c.work for c in calls) >= PARALLEL_WORK else 1


def stages(calls: Sequence[Call], threads: int) -> list[Stage]:
    """The calls as stages: those together that can go through the same chunks."""
    groups: list[list[Call]] = []
    for call in (_across(c, threads) for c in calls):
        if groups and _joins(groups[-1], call):
            groups[-1].append(call)
        else:
            groups.append([call])
    return [_stage(group, threads) for group in groups]


def _across(call: Call, threads: int) -> Call:
    """The call, by ranges of the last index of what it writes if the threads together read less so: the operand that each
    of them reads as a whole is the smaller one then."""
    if threads == 1 or call.kernel.across is None or call.work < ACROSS_WORK:
        return call
    twin = replace(call, kernel=call.kernel.across)
    return twin if twin.extent > call.extent else call


def _stage(calls: list[Call], threads: int) -> Stage:
    extent = min(c.extent for c in calls)
    rows = max(_tile_rows(c) for c in calls if c.extent == extent)
    parallel = threads > 1 and sum(c.work for c in calls) >= SHARED_WORK and extent >= 2 * rows
    per_row = max(sum(w.size for w in _written(c)) for c in calls) // max(extent, 1)
    cached = max(CACHED, max(map(_read_anew, calls)) // ANEW)
    most = max(4 * rows if rows > 1 else 1, cached // max(per_row, 1)) if len(calls) > 1 else extent
    shares = threads if parallel else 1
    chunks = -(-extent // (most * shares)) * shares  # as many for every thread
    grain = -(-extent // max(chunks, 1))
    whole = max(rows, -(-grain // rows) * rows)
    even = rows == LOW and grain >= 4 * LOW  # tiles of LOW rows and of one less come out even
    if not parallel or (not even and UNEVEN * (whole - grain) <= grain):
        grain = whole
    calls = [replace(c, streamed=_is_streamed(c, calls)) for c in calls]
    return Stage(calls, grain=grain, parallel=parallel)


def _is_streamed(call: Call, stage: Sequence[Call]) -> bool:
    """Whether what a call writes goes past the caches: it would not stay there, and the stage needs it no more."""
    written = _written(call)
    here = any(_overlap(a, w) for c in stage if c is not call for a in c.arrays.values() for w in written)
    touched = sum(a.nbytes for a in call.arrays.values())
    return touched >= STREAMED and 8 * sum(w.nbytes for w in written) >= touched and not here


def _read_anew(call: Call) -> int:
    """Elements that the engine reads for every chunk: of the arrays that the split is no index of."""
    if "scratch" not in call.kernel.arguments:
        return 0
    arrays = call.kernel.arrays.items()
    return sum(call.arrays[name].size for name, (axes, _) in arrays if not _along(axes, call.kernel.split))


def _tile_rows(call: Call) -> int:
    """A chunk should be a multiple of so many of its split: the rows of the engine's tile, or its lanes, if those are split."""
    if "scratch" not in call.kernel.arguments:
        return 1
    if call.filtering:
        return 1 if "share" in call.sizes else call.filtering[0].m
    split = call.kernel.split.split()
    for name in call.kernel.writes:
        *rows, lane = call.kernel.arrays[name][0]
        if split in (rows, [lane]):
            return LOW if split == rows else 2 * LANES
    return 1


def _is_weight(one: Link, name: str) -> bool:
    """Whether a parameter has an index that its layer's output lacks, as what is summed over; biases and scales have none."""
    outputs = {index for slot in one.layer.outputs for index in tensor(slot)[1]}
    return not set(dict(map(tensor, one.layer.parameters))[name]) <= outputs


def rule_calls(
    rule: Rule, links: Sequence[Link | None], cells: Mapping[str, np.ndarray], states: dict, dtype: np.dtype
) -> list[Update]:
    """The update of every parameter; weight decay acts on weights, not on biases and scales.

    ``states`` keeps the rule's own arrays, by layer, parameter and state; those that are missing are begun at zero.
    """
    calls = []
    for number, one in enumerate(links):
        if one is None:
            continue
        for name, parameter in one.parameters.items():
            names = {rule.parameter: parameter, rule.gradient: one.gradients[name]}
            for state in rule.states:
                names[state] = states.setdefault((number, name, state), zeros(parameter.shape, parameter.dtype))
            own = dict(cells)
            if "weight_decay" in own and not _is_weight(one, name):
                own["weight_decay"] = np.zeros(1)
            bound = [_call(k, names, own, f"{one.listed}: {name}") for k in rule.update]
            linear = rule.linear[0] if rule.linear else None
            calls += [Update(c.kernel, c.arrays, c.scalars, c.layer, linear=linear) for c in bound]
    return calls
