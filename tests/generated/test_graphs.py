"""Networks of planes against PyTorch in double precision: outputs, losses, gradients, statistics, steps; and what is refused.

The other side reads the same list of layers with PyTorch's own operations, and resolves references by itself.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gradients import ACTIVATIONS, COSTS

from generated import Network, load, plan
from generated import network as module

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-11  # relative to the largest element
F = torch.nn.functional

# The same network in PyTorch --------------------------------------------------------------------------------------------


def sides(padding) -> tuple[int, int, int, int]:
    """(left, right, top, bottom), as torch.nn.functional.pad has it, of a padding as Network takes it."""
    top, bottom, left, right = {
        int: lambda p: (p,) * 4, tuple: lambda p: p if len(p) == 4 else (p[0], p[0], p[1], p[1])
    }[type(padding)](padding)  # fmt: skip
    return left, right, top, bottom


def padded(a, own: dict, value: float = 0.0):
    return F.pad(a, sides(own.get("padding", 0)), value=value)


def convolution(a, own: dict, p: dict):
    w, groups = p["w"], own.get("groups", 1)
    if w.ndim == 3:  # of each channel by itself
        w, groups = w[:, None], len(w)
    w = w.reshape(-1, *w.shape[-3:])
    b = p["b"].reshape(-1) if "b" in p else None
    return F.conv2d(padded(a, own), w, b, own.get("stride", 1), 0, own.get("dilation", 1), groups)


def batch_norm(z, own: dict, p: dict, training: bool):
    """In two passes: PyTorch's own kernel loses digits where many values are equal. The running statistics are its own."""
    epsilon, shape = own.get("epsilon", 1e-5), (-1, *(1,) * (z.ndim - 2))
    mean, variance = p["mean"].clone(), p["variance"].clone()
    if training:
        over = [axis for axis in range(z.ndim) if axis != 1]
        mean = z.mean(over)
        variance = ((z - mean.reshape(shape)) ** 2).mean(over)
        F.batch_norm(z.detach(), p["mean"], p["variance"], training=True, momentum=own.get("momentum", 0.1))
    z_hat = (z - mean.reshape(shape)) / torch.sqrt(variance.reshape(shape) + epsilon)
    return p["gamma"].reshape(shape) * z_hat + p["beta"].reshape(shape)


def shortcut(a, b, *more):
    if more:
        return shortcut(shortcut(a, b), *more)
    if a.shape == b.shape:
        return a + b
    stride = -(-b.shape[2] // a.shape[2])
    b = b[:, : a.shape[1], ::stride, ::stride]
    return a + F.pad(b, (0, 0, 0, 0, 0, a.shape[1] - b.shape[1]))


def route(inputs: list, own: dict):
    if len(inputs) > 1:
        return torch.cat(inputs, 1)
    return inputs[0].chunk(own.get("groups", 1), 1)[own.get("group_id", 0)]


def upsample(a, own: dict):
    return a.repeat_interleave(own.get("stride", 2), 2).repeat_interleave(own.get("stride", 2), 3)


def pooled(pool, a, own: dict, value: float):
    return pool(padded(a, own, value), own.get("size", 2), own.get("stride", 2))


def read_by(index: int, own: dict) -> list[int]:
    """The numbers of the layers that a layer reads, -1 for the samples."""
    said = own.get("layers", own.get("from", []))
    numbers = list(said) if isinstance(said, list | tuple) else [said]
    numbers = numbers if "layers" in own else [-1, *numbers]
    return [number + index if number < 0 else number for number in numbers]


def by_pytorch(layers: list, x, parameters: list[dict], training: bool, kept: dict[int, object] | None = None):
    """The output of a list of layers; kept: for each dropout by its number, which units are not left out."""
    values = [x]
    for index, (name, _, own) in enumerate(layers):
        a, *others = inputs = [values[number + 1] for number in read_by(index, own)]
        p = parameters[index]
        if name.endswith("convolution"):
            value = convolution(a, own, p)
        elif name == "batch_norm":
            value = batch_norm(a, own, p, training)
        elif name == "dense":
            value = a.flatten(1) @ p["w"].T + p.get("b", 0)
        elif name == "max_pooling":
            value = pooled(F.max_pool2d, a, own, -np.inf)
        elif name == "average_pooling":
            value = pooled(F.avg_pool2d, a, own, 0.0)
        elif name == "global_average_pooling":
            value = a.mean((2, 3))
        elif name == "flatten":
            value = a.flatten(1)
        elif name == "upsample":
            value = upsample(a, own)
        elif name == "shortcut":
            value = shortcut(a, *others)
        elif name == "route":
            value = route(inputs, own)
        elif name == "dropout":
            value = a * kept[index] / (1 - own.get("probability", 0.5)) if training else a
        else:
            value = ACTIVATIONS[name](a.flatten(1) if name == "softmax" else a)
        values.append(value)
    return values[-1]


def tensors_of(network: Network) -> list[dict]:
    """The network's parameters, to be differentiated by, and its states, as PyTorch's tensors."""
    found = []
    for parameters, states in zip(network.parameters, network.states, strict=True):
        # Side by side in memory: of filters that lie otherwise, some of PyTorch's kernels know no gradient.
        own = {name: torch.tensor(np.array(array, order="C")).requires_grad_() for name, array in parameters.items()}
        found.append(own | {name: torch.tensor(np.array(array)) for name, array in states.items()})
    return found


def kept_units(network: Network, batch: int, what: str = "gradients training", rule: str = "") -> dict[int, object]:
    """Which units each dropout has kept in the last pass over such a batch, channels first."""
    plan, _ = network._program(what, batch, rule)
    graph, found = network._graph, {}
    for index, (name, _, own) in enumerate(network.layers):
        if name == "dropout":
            number = graph.layers[index].output
            if number not in plan.random:  # the output does not depend on it
                found[index] = 1
                continue
            u = plan.random[number]
            u = np.moveaxis(u, -1, 1) if graph.values[number].last else u
            found[index] = torch.tensor((u >= own.get("probability", 0.5)).astype(float))
    return found


# Drawn networks -----------------------------------------------------------------------------------------------------------


def windows(draw, plane: tuple[int, int], dilations: int = 1, most: int = 4) -> tuple[tuple[int, int], dict]:
    """A window, and a stride, a padding and a dilation with which at least one place of it is left in a plane."""
    own = {"stride": draw(st.integers(1, 3)), "dilation": draw(st.integers(1, dilations))}
    own["padding"] = draw(
        st.one_of(st.integers(0, 2), st.tuples(*[st.integers(0, 2)] * 2), st.tuples(*[st.integers(0, 3)] * 4))
    )
    left, right, top, bottom = sides(own["padding"])
    room = [(plane[0] + top + bottom - 1) // own["dilation"] + 1, (plane[1] + left + right - 1) // own["dilation"] + 1]
    return tuple(draw(st.integers(1, min(most, r))) for r in room), own


def pooling(draw, plane: tuple[int, int]) -> dict:
    """Settings of a pooling of whose windows none lies in the padding alone."""
    size = tuple(draw(st.integers(1, min(4, r))) for r in plane)
    padding = tuple(draw(st.integers(0, size[k // 2] - 1)) for k in range(4))
    return {"size": size, "stride": draw(st.integers(1, 3)), "padding": padding}


def places(plane: tuple[int, int], window: tuple[int, int], own: dict) -> tuple[int, int]:
    left, right, top, bottom = sides(own["padding"])
    spans = [own.get("dilation", 1) * (w - 1) + 1 for w in window]
    room = (plane[0] + top + bottom - spans[0], plane[1] + left + right - spans[1])
    return room[0] // own["stride"] + 1, room[1] // own["stride"] + 1


def fits(a: tuple, b: tuple) -> bool:
    """Whether a shortcut from b to a is one of Darknet's of unequal planes."""
    stride = -(-b[1] // a[1])
    return all((of_b - 1) // stride + 1 == of_a for of_a, of_b in zip(a[1:], b[1:], strict=True))


SHAPELESS = sorted(set(ACTIVATIONS) - {"softmax"})
OF_PLANES = (
    "convolution", "grouped_convolution", "depthwise_convolution", "max_pooling", "average_pooling", "upsample", "shortcut",
    "route", "route", "batch_norm", "batch_norm", "activation", "rectifier", "dropout", "end",
)  # fmt: skip
OF_ROWS = ("dense", "batch_norm", "activation", "shortcut", "dropout", "softmax")
UNITS = 6000  # of a sample, at most


@st.composite
def networks(draw) -> tuple[list, tuple[int, ...], int]:
    """(layers, the shape of a sample, the size of the batch)."""
    batch = draw(st.sampled_from([1, 2, 3, 5, 8]))
    shapes = [(draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))]
    layers: list = []

    def referred(number: int) -> int:
        """A layer by its number, or counted back from the next one; the samples only so."""
        return number if number >= 0 and draw(st.booleans()) else number - len(layers)

    for _ in range(draw(st.integers(2, 9))):
        before = draw(st.one_of(st.just(len(layers) - 1), st.integers(-1, len(layers) - 1)))
        shape = shapes[before + 1]
        own = {} if before == len(layers) - 1 and draw(st.booleans()) else {"layers": [referred(before)]}
        sizes: tuple = ()
        name = draw(st.sampled_from(OF_PLANES if len(shape) == 3 else OF_ROWS))
        if name == "activation":
            name = draw(st.sampled_from(SHAPELESS))
        elif name == "rectifier":  # shares kernels with a normalisation before it
            name = draw(st.sampled_from(["leaky", "relu"]))
        elif name == "end":
            name = draw(st.sampled_from(["flatten", "global_average_pooling", "dense"]))
        if name == "batch_norm" and batch * int(np.prod(shape[1:])) < 4:
            name = "linear"  # of so few values statistics are ill-conditioned
        if name == "softmax" and shape == (1,):
            name = "linear"  # the one share is 1, whatever comes in

        if name == "batch_norm":  # this much keeps drawn networks of several well-conditioned
            own["epsilon"] = draw(st.sampled_from([0.1, 1.0]))
        if name.endswith("convolution"):
            filters = draw(st.integers(1, 20))
            window, more = windows(draw, shape[1:], 2)
            if name == "grouped_convolution":
                groups = draw(st.sampled_from([g for g in range(1, 5) if shape[0] % g == 0]))
                filters, more = groups * draw(st.integers(1, 5)), {**more, "groups": groups}
            if name == "depthwise_convolution":
                filters = shape[0]
            sizes = window[:1] if window[0] == window[1] and draw(st.booleans()) else window
            sizes = sizes if name == "depthwise_convolution" else (filters, *sizes)
            own |= more | ({"bias": False} if draw(st.booleans()) else {})
            shape = (filters, *places(shape[1:], window, more))
        elif name.endswith("max_pooling") or name == "average_pooling":
            own |= pooling(draw, shape[1:])
            shape = (shape[0], *places(shape[1:], own["size"], own))
        elif name == "upsample":
            own["stride"] = draw(st.integers(1, 3))
            shape = (shape[0], *(own["stride"] * size for size in shape[1:]))
        elif name == "shortcut":
            alike = [k - 1 for k, other in enumerate(shapes) if other == shape]
            if len(shape) == 3:
                alike += [k - 1 for k, other in enumerate(shapes) if len(other) == 3 and fits(shape, other)]
            other = referred(draw(st.sampled_from(alike)))
            if "layers" in own:
                own["layers"].append(other)
            elif before == len(layers) - 1:
                own = {"from": draw(st.sampled_from([other, [other]]))}
        elif name == "route":
            alike = [k - 1 for k, other in enumerate(shapes) if other[1:] == shape[1:] and len(other) == 3]
            more = draw(st.lists(st.sampled_from(alike), max_size=6))
            if more:
                own = {"layers": [referred(k) for k in (before, *more)]}
                shape = (sum(shapes[k + 1][0] for k in (before, *more)), *shape[1:])
            else:
                groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
                own |= {"groups": groups, "group_id": draw(st.integers(0, groups - 1))}
                shape = (shape[0] // groups, *shape[1:])
        elif name == "dropout":
            own["probability"] = draw(st.sampled_from([0.0, 0.25, 0.5]))
        elif name == "dense":
            sizes = (draw(st.integers(1, 20)),)
            shape = sizes
        elif name == "flatten":
            shape = (int(np.prod(shape)),)
        elif name == "global_average_pooling":
            shape = shape[:1]
        if np.prod(shape) > UNITS:
            continue
        layers.append((name, *sizes, own) if own else (name, *sizes) if sizes else name)
        shapes.append(shape)
    if np.prod(shapes[-1]) > 1 and draw(st.booleans()):
        layers.append("softmax")
    return (layers or ["flatten"]), shapes[0], batch


def close(ours: np.ndarray, theirs, what: str, least: float = 1e-300) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, what
    error = np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), least)
    assert error < TOLERANCE, f"{what}: {error}"


def agrees(layers: list, shape: tuple[int, ...], batch: int, seed: int, cost: str = "quadratic") -> Network:
    """Outputs, loss and all gradients of a network, in training and in use, are those of PyTorch."""
    random = np.random.default_rng(seed)
    network = Network(layers, cost=cost, dtype="float64", inputs=shape, random_state=seed)
    for parameters, states in zip(network.parameters, network.states, strict=True):
        for name, array in (*parameters.items(), *states.items()):
            if name != "w":
                array[...] = (
                    random.uniform(0.5, 1.5, array.shape) if name == "variance" else random.normal(1, 0.3, array.shape)
                )
    x = random.standard_normal((batch, *shape))
    outputs = network.outputs(x)
    y = random.standard_normal(outputs.shape)
    if cost == "softmax_cross_entropy":
        y = random.dirichlet(np.ones(outputs.shape[1]), batch)
    for training in (True, False):
        tensors = tensors_of(network)
        gradients = network.gradients(x, y, training=training)
        kept = kept_units(network, batch) if training else None
        theirs = by_pytorch(network.layers, torch.tensor(x), tensors, training, kept)
        close(network.outputs(x, training=training), theirs, f"outputs, {training=}")
        loss = COSTS[cost](theirs.flatten(1), torch.tensor(y).flatten(1)).mean()
        assert network.loss(x, y, training=training) == pytest.approx(loss.item(), rel=TOLERANCE)
        learned = [(n, name, t) for n, own in enumerate(tensors) for name, t in own.items() if t.requires_grad]
        if not learned:
            continue
        slopes = torch.autograd.grad(loss, [t for _, _, t in learned], allow_unused=True) if loss.requires_grad else []
        slopes = slopes or [None] * len(learned)
        slopes = [torch.zeros_like(t) if s is None else s for (_, _, t), s in zip(learned, slopes, strict=True)]
        # A gradient that is zero, as a bias's before a normalisation, is so up to the rounding of what is added up.
        least = max(1e-3, 1e-2 * max(float(s.abs().max()) for s in slopes))
        for (n, name, _), slope in zip(learned, slopes, strict=True):
            close(gradients[n][name], slope, f"{name} of layer {n}, {training=}", least)
    return network


@settings(max_examples=500, deadline=None)
@given(case=networks(), seed=st.integers(0, 2**32 - 1))
def test_drawn_graphs_and_all_their_gradients_are_those_of_pytorch(case, seed):
    agrees(*case, seed, "softmax_cross_entropy" if case[0][-1] == "softmax" else "quadratic")


# Graphs by hand ---------------------------------------------------------------------------------------------------------

CONVOLUTION = ("convolution", 4, 3, {"padding": 1})
NORMALISED = [("convolution", 4, 3, {"padding": 1, "bias": False}), "batch_norm"]

GRAPHS = {
    "residual blocks": [
        *NORMALISED, "leaky", *NORMALISED, "relu", *NORMALISED, ("shortcut", {"from": 2}), "leaky",
        *NORMALISED, "mish", ("shortcut", {"from": -4}), "global_average_pooling", ("dense", 3),
    ],
    "a layer that three others read": [
        CONVOLUTION, "tanh", ("convolution", 4, 1), ("convolution", 4, 3, {"padding": 1, "layers": [1]}),
        ("shortcut", {"from": [1]}), ("route", {"layers": [-1, 2]}), ("dense", 3),
    ],
    "a normalisation that its rectifier and two others read": [
        *NORMALISED, "leaky", ("shortcut", {"from": 1}), ("route", {"layers": [-1, 1, 2]}), ("convolution", 2, 1),
    ],
    "a normalisation that two rectifiers read": [
        *NORMALISED, "relu", ("leaky", {"layers": [1]}), ("route", {"layers": [-1, -2]}), ("dense", 2),
    ],
    "a rectifier that three others read": [
        *NORMALISED, "relu", ("dense", 3, {"layers": [2]}), ("global_average_pooling", {"layers": [2]}),
        ("dense", 3), ("shortcut", {"from": 3}), ("flatten", {"layers": [2]}), ("dense", 3), ("shortcut", {"from": -3}),
    ],
    "a value that is added to itself": [CONVOLUTION, "tanh", ("shortcut", {"layers": [-1, -1]}), ("dense", 3)],
    "three layers added up": [CONVOLUTION, "tanh", CONVOLUTION, ("shortcut", {"from": [1, -3]}), ("dense", 3)],
    "planes thrice side by side": [CONVOLUTION, ("route", {"layers": [0, 0, -1]}), ("convolution", 2, 1)],
    "planes nine times side by side": [CONVOLUTION, ("route", {"layers": [0] * 9}), ("convolution", 2, 1)],
    "rows that are added to themselves and once more": [
        ("dense", 6), "tanh", ("shortcut", {"from": -1}), ("shortcut", {"from": -2}), ("dense", 3), "softmax",
    ],
    "four branches side by side": [
        CONVOLUTION, "leaky", ("convolution", 3, 1), ("convolution", 5, 3, {"padding": 1, "layers": [1]}),
        ("convolution", 2, 5, {"padding": 2, "layers": [1]}), ("max_pooling", {"size": 3, "stride": 1, "padding": 1, "layers": [1]}),
        ("route", {"layers": [2, 3, 4, 5]}), "batch_norm", "leaky", ("dense", 3), "softmax",
    ],
    "everything before side by side, again and again": [
        CONVOLUTION, "leaky", ("convolution", 3, 3, {"padding": 1}), ("route", {"layers": [-1, -2]}),
        ("convolution", 3, 3, {"padding": 1}), ("route", {"layers": [-1, -2, 0]}), ("convolution", 3, 1),
        ("route", {"layers": [0, 2, 4, 6, 1]}), ("dense", 2),
    ],
    "down and up again": [
        CONVOLUTION, "leaky", ("convolution", 6, 3, {"stride": 2, "padding": 1}), "leaky", ("upsample", {"stride": 2}),
        ("convolution", 4, 1), ("shortcut", {"layers": [1, 5]}), ("average_pooling", {"size": 2}), ("dense", 2),
    ],
    "half of the channels past the others": [
        ("convolution", 6, 3, {"padding": 1}), ("route", {"layers": [0], "groups": 2, "group_id": 1}),
        ("convolution", 3, 3, {"padding": 1}), ("shortcut", {"from": 1}), ("route", {"layers": [-1, 0]}), ("dense", 2),
    ],
    "a shortcut past many layers": [
        CONVOLUTION, *["tanh", CONVOLUTION] * 8, ("shortcut", {"from": 0}), ("shortcut", {"from": 3}), ("dense", 2),
    ],
    "the samples are read to the end": [
        CONVOLUTION, "leaky", ("route", {"layers": [-1, -3]}), ("convolution", 2, 1), ("route", {"layers": [-1, -5]}),
        ("shortcut", {"from": -6}),
    ],
    "planes and rows of the same layer": [
        CONVOLUTION, "flatten", ("dense", 4), ("dense", 4, {"layers": [0]}), ("shortcut", {"from": -2}), "tanh",
        ("global_average_pooling", {"layers": [0]}), ("shortcut", {"from": -2}),
    ],
    "the last layer is an earlier one as a row": [CONVOLUTION, "tanh", ("dense", 3), ("flatten", {"layers": [1]})],
    "the last layer reads planes that others read": [
        CONVOLUTION, "leaky", ("convolution", 4, 1), ("shortcut", {"from": 1}), ("leaky", {"layers": [-1]}),
    ],
    "larger planes onto smaller ones": [
        CONVOLUTION, ("max_pooling", {"size": 2, "padding": (0, 1, 0, 1)}), ("convolution", 7, 1),
        ("shortcut", {"from": 0}), ("convolution", 2, 1), ("shortcut", {"from": 0}), ("shortcut", {"from": 2}), ("dense", 2),
    ],
    "nothing to learn but at the end": ["tanh", ("max_pooling", {"size": 2, "stride": 1}), ("dense", 2)],
    "nothing to learn at all": [("average_pooling", {"size": 2, "stride": 1}), "tanh"],
    "dropout between planes and between rows": [
        CONVOLUTION, "leaky", "dropout", ("shortcut", {"from": -2}), ("dropout", {"probability": 0.2}),
        ("dense", 9), "tanh", "dropout", ("dense", 3), "softmax",
    ],
    "normalised rows": [("dense", 9), "batch_norm", "relu", "batch_norm", ("dense", 3), "batch_norm", "leaky"],
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(2, 6),
    channels=st.integers(1, 5),
    plane=st.tuples(*[st.integers(2, 4)] * 2),
    seed=st.integers(0, 99),
)
def test_graphs_whose_layers_are_read_by_several_others_are_those_of_pytorch(name, batch, channels, plane, seed):
    layers = GRAPHS[name]
    cost = "softmax_cross_entropy" if layers[-1] == "softmax" else "quadratic"
    rows, columns = (2 * size for size in plane)
    agrees(layers, (channels, rows, columns), batch, seed, cost)


CNN = [
    ("convolution", 6, 3, {"padding": 1, "bias": False}), "batch_norm", "leaky", ("max_pooling", {"size": 2}),
    ("grouped_convolution", 4, 3, {"groups": 2, "padding": 1}), "tanh", "batch_norm", ("shortcut", {"from": 3}), "mish",
    ("depthwise_convolution", 3, {"padding": 1, "stride": 2}), "tanh", ("dropout", {"probability": 0.3}),
    ("dense", 9, {"bias": False}), "batch_norm", "relu", ("dense", 3), "softmax",
]  # fmt: skip


def images(count: int, seed: int = 0, shape: tuple[int, ...] = (3, 9, 8)) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row for the label."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=count)
    x = random.standard_normal((count, *shape))
    x[np.arange(count), :, 2 * y] += 2
    return x, y


@pytest.mark.parametrize("batch", [1, 2, 7, 64, 300])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_sample_gives_the_same_bits_in_a_batch_of_any_size(name, batch):
    shape = (3, 6, 4)
    network = Network(GRAPHS[name], dtype="float32", inputs=shape, random_state=0)
    x = np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)
    outputs = network.outputs(x)
    targets = np.zeros((batch, int(np.prod(outputs.shape[1:]))), np.float32)
    for some in {0, batch // 2, batch - 1}:
        np.testing.assert_array_equal(network.outputs(x[some : some + 1])[0], outputs[some])
    if batch <= 64:  # the arrays of this pass serve once each
        np.testing.assert_array_equal(network._pass("loss", x, targets).outputs, outputs)
    np.testing.assert_array_equal(network.outputs(x), outputs)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_give_the_same_bits_for_every_chunk_and_number_of_threads(name, monkeypatch):
    shape, batch = (3, 6, 4), 43
    x = np.random.default_rng(0).standard_normal((batch, *shape))
    found = []
    for cached, work, threads in ((1 << 30, 1 << 60, 1), (1, 1 << 60, 1), (300, 1, 2), (1, 1, 2)):
        monkeypatch.setattr(plan, "CACHED", cached)
        for least in ("PARALLEL_WORK", "SHARED_WORK", "ACROSS_WORK"):
            monkeypatch.setattr(plan, least, work)
        monkeypatch.setattr(module, "get_num_threads", lambda threads=threads: threads)
        network = Network(GRAPHS[name], dtype="float64", inputs=shape, random_state=0)
        outputs = network.outputs(x, training=True)
        results = [outputs, network.outputs(x)]
        for training in (True, False):
            gradients = network.gradients(x, np.zeros((batch, outputs[0].size)), training=training)
            results += [array for own in gradients for array in own.values()]
        network.fit(x, np.zeros((batch, outputs[0].size)), batch_size=20, epochs=2, learning_rate=1e-3)
        found.append([array.copy() for array in results] + [np.frombuffer(bits(network), np.uint8)])
    for other in found[1:]:
        for array, same in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(array, same)


# Statistics and steps -----------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "gradient_descent": (lambda p: torch.optim.SGD(p, lr=0.07), {}),
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.8), {"momentum": 0.8}),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.8, nesterov=True), {"momentum": 0.8}),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.07, eps=1e-6), {"epsilon": 1e-6}),
}


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_steps_and_running_statistics_are_those_of_pytorch(rule, weight_decay):
    batch, (x, y) = 8, images(44)
    network = Network(CNN, cost="softmax_cross_entropy", dtype="float64", inputs=x.shape[1:], random_state=1)
    for own in network.parameters:
        for array in own.values():
            array += 0.1  # no bias is zero, so that decay would be seen
    tensors = tensors_of(network)
    learned = [(name, t) for own in tensors for name, t in own.items() if t.requires_grad]
    make, own = OPTIMIZERS[rule]
    optimizer = make(
        [  # biases, and the factors of normalisations, are not drawn towards zero
            {"params": [t for name, t in learned if name == "w"], "weight_decay": weight_decay},
            {"params": [t for name, t in learned if name != "w"], "weight_decay": 0.0},
        ]
    )
    for step in range(12):
        part = slice(step % 4 * batch, step % 4 * batch + batch)
        network.partial_fit(
            x[part],
            y[part],
            batch_size=batch,
            shuffle=False,
            rule=rule,
            learning_rate=0.07,
            weight_decay=weight_decay,
            **own,
        )
        kept = kept_units(network, batch, "train", rule)
        outputs = by_pytorch(network.layers, torch.tensor(x[part]), tensors, True, kept)
        loss = COSTS["softmax_cross_entropy"](outputs, F.one_hot(torch.tensor(y[part]), 3)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert network.history_["loss"][-1] == pytest.approx(loss.item(), rel=1e-10)
        for n, (ours, states) in enumerate(zip(network.parameters, network.states, strict=True)):
            for name, array in (ours | states).items():
                theirs = tensors[n][name].detach().numpy()
                assert np.abs(array - theirs).max() < 1e-10 * np.abs(theirs).max(), f"{name} of layer {n}, step {step}"
    close(network.outputs(x), by_pytorch(network.layers, torch.tensor(x), tensors, False), "outputs in use", 1)


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("more", [[], ["leaky"], ["tanh"]])
def test_running_statistics_are_those_of_pytorch_whatever_follows(rows, more):
    layers = [*([("dense", 5)] if rows else []), "batch_norm", *more, ("dense", 3), "softmax"]
    x, y = images(50)
    network = Network(layers, cost="softmax_cross_entropy", dtype="float64", inputs=x.shape[1:], random_state=0)
    own = network.parameters[0]
    z = torch.tensor(x)
    peer = (torch.nn.BatchNorm1d(5) if rows else torch.nn.BatchNorm2d(3)).double()
    for _ in range(4):
        for begin in range(0, 50, 20):  # the last batch is a smaller one
            peer(
                z[begin : begin + 20].flatten(1) @ torch.tensor(own["w"]).T + torch.tensor(own["b"])
                if rows
                else z[begin : begin + 20]
            )
    network.partial_fit(x, y, epochs=4, batch_size=20, shuffle=False, learning_rate=0.0)
    states = network.states[int(rows)]
    close(states["mean"], peer.running_mean, "mean")
    close(states["variance"], peer.running_var, "variance")


def test_looking_at_a_network_leaves_its_statistics_alone():
    x, y = images(20)
    network = Network(CNN, cost="softmax_cross_entropy", random_state=1, inputs=x.shape[1:])
    before = [array.copy() for own in network.states for array in own.values()]
    for training in (True, False):
        network.outputs(x, training=training)
        network.loss(x, y, training=training)
        network.gradients(x, y, training=training)
    for array, same in zip((array for own in network.states for array in own.values()), before, strict=True):
        np.testing.assert_array_equal(array, same)


# Dropout ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 9),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    probability=st.floats(0, 0.99),
    seed=st.integers(0, 99),
)
def test_dropout_leaves_out_or_scales_up_the_same_units_forward_and_backward(batch, shape, probability, seed):
    random = np.random.default_rng(seed)
    layers = [("convolution", shape[0], 1), ("dropout", {"probability": probability})]
    network = Network(layers, dtype="float64", inputs=shape, random_state=seed)
    x, y = random.standard_normal((2, batch, *shape))
    before, after = (
        Network(layers[:1], dtype="float64", inputs=shape, random_state=seed).outputs(x),
        network.outputs(x, training=True),
    )
    kept = kept_units(network, batch, "predict training")[1].numpy()
    np.testing.assert_allclose(after, before * kept / (1 - probability), rtol=1e-14)
    np.testing.assert_array_equal(network.outputs(x, training=True), after)
    np.testing.assert_array_equal(network.outputs(x), before)
    sent = (after - y) * kept / (1 - probability) / batch
    close(network.gradients(x, y)[0]["b"], torch.tensor(sent.sum((0, 2, 3))), "b")


def test_dropout_draws_anew_at_every_step_and_for_every_layer():
    x, y = np.ones((4, 50, 10, 10)), np.ones(4)
    layers = [
        ("dropout", {"probability": 0.25}),
        ("dropout", {"probability": 0.25, "layers": [-1]}),
        ("shortcut", {"from": 0}),
    ]
    masks = []
    for seed in (0, 0, 1):
        network = Network([*layers, ("dense", 1)], inputs=x.shape[1:], random_state=seed)
        for _ in range(3):
            network.partial_fit(x, y, batch_size=4, learning_rate=0.0)
            masks += kept_units(network, 4, "train", "gradient_descent").values()
    again, masks = [masks[6:12]], [*masks[:6], *masks[12:]]
    for first, second in zip(masks[:6], again[0], strict=True):
        assert torch.equal(first, second)  # of the same seed
    for k, first in enumerate(masks):
        assert abs(first.mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / first.numel())
        for second in masks[:k]:
            assert abs(((first == second) * 1.0).mean() - (0.75**2 + 0.25**2)) < 5 * np.sqrt(0.25 / first.numel())


def bits(network: Network) -> bytes:
    layers = zip(network.parameters, network.states, strict=True)
    return b"".join(array.tobytes() for ours, states in layers for array in (ours | states).values())


# Files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_file_gives_outputs_states_and_training_back_to_the_bit(tmp_path, rule):
    x, y = images(50)
    how = {"batch_size": 16, "rule": rule, "learning_rate": 0.01, "weight_decay": 1e-3}
    whole = Network(CNN, cost="softmax_cross_entropy", random_state=3).fit(x, y, epochs=4, **how)
    half = Network(CNN, cost="softmax_cross_entropy", random_state=3).fit(x, y, epochs=2, **how)
    half.save(tmp_path / "half.npz")
    again = load(tmp_path / "half.npz")
    assert bits(again) == bits(half) != bits(whole)
    np.testing.assert_array_equal(again.outputs(x), half.outputs(x))
    for network in (again, half):
        assert bits(network.partial_fit(x, y, epochs=2, **how)) == bits(whole)
    np.testing.assert_array_equal(again.outputs(x), whole.outputs(x))


def test_a_network_of_numpys_numbers_can_be_written(tmp_path):
    three = np.int64(3)
    layers = [
        ("convolution", three, three, {"padding": (np.int32(1),) * 2, "bias": False}),
        ("dropout", {"probability": np.float32(0.5)}),
    ]
    layers += [("route", {"layers": [np.int64(0), -1]}), ("dense", np.int16(2))]
    network = Network(layers, inputs=(2, 5, 4), random_state=0)
    network.save(tmp_path / "n.npz")
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 4))
    np.testing.assert_array_equal(load(tmp_path / "n.npz").outputs(x), network.outputs(x))


# What is refused ----------------------------------------------------------------------------------------------------------

BAD = {
    "a filter larger than its planes": (
        [("convolution", 2, 5)], (3, 4, 4), "layer 1: 'convolution' of the samples (3, 4, 4): a filter of 5 x 5 is larger than its padded input of 4 x 4",
    ),
    "a filter of spread values larger than its padded planes": (
        ["tanh", ("depthwise_convolution", 3, 2, {"dilation": 3, "padding": (1, 0, 0, 2)})], (3, 5, 6),
        "layer 2: 'depthwise_convolution' of layer 1 (3, 5, 6): a filter of 7 x 4 is larger than its padded input of 6 x 8",
    ),
    "a window larger than its planes": (
        [("max_pooling", {"size": (2, 5)})], (3, 4, 4), "layer 1: 'max_pooling' of the samples (3, 4, 4): a filter of 2 x 5 is larger than its padded input of 4 x 4",
    ),
    "channels that groups do not divide": (
        ["relu", ("grouped_convolution", 6, 3, {"groups": 3})], (4, 8, 8), "layer 2: 'grouped_convolution' in 3 groups: they do not divide its 4 channels",
    ),
    "filters that groups do not divide": (
        [("grouped_convolution", 3, 3, {"groups": 2})], (4, 8, 8), "layer 1: 'grouped_convolution' in 2 groups: they do not divide its 3 filters",
    ),
    "no number of groups": ([("grouped_convolution", 3, 3)], (4, 8, 8), "layer 1: 'grouped_convolution' needs the setting groups"),
    "channels that a route's groups do not divide": (
        [("route", {"groups": 3})], (4, 8, 8), "layer 1: 'route' of the samples (4, 8, 8): D = C*groups with C = 1, D = 4, groups = 3",
    ),
    "a group that is not there": (
        [("route", {"groups": 2, "group_id": 2})], (4, 8, 8), "layer 1: 'route' of the samples (4, 8, 8): group_id < groups with group_id = 2, groups = 2",
    ),
    "a reference to itself": (["relu", ("shortcut", {"from": 1})], (4, 8, 8), "layer 2: 'shortcut' refers to layer 1, which is not before it: counted from 0 it is layer 1"),
    "a reference to a later layer": (["relu", ("route", {"layers": [0, 5]}), "relu"], (4, 8, 8), "layer 2: 'route' refers to layer 5, which is not before it"),
    "a reference to before the samples": (["relu", ("shortcut", {"from": -3})], (4, 8, 8), "layer 2: 'shortcut' refers to layer -3, which is not before it"),
    "half a layer": (["relu", ("shortcut", {"from": 0.5})], (4, 8, 8), "layer 2: 'shortcut' refers to 0.5; a layer is referred to by its number"),
    "a shortcut of one": (["relu", "shortcut"], (4, 8, 8), "layer 2: 'shortcut' takes 2 inputs, it has 1"),
    "a convolution of two": (["relu", ("convolution", 2, 1, {"from": -2})], (4, 8, 8), "layer 2: 'convolution' takes 1 inputs, it has 2"),
    "a route of none": (["relu", ("route", {"layers": []})], (4, 8, 8), "layer 2: 'route' takes 1 or 2 or 3 or 4 inputs, it has 0"),
    "both ways to refer": (["relu", ("route", {"layers": [0], "from": 0})], (4, 8, 8), "layer 2: 'route' has both 'from' and 'layers'"),
    "a shortcut of planes that do not fit": (
        [("convolution", 4, 4), ("shortcut", {"from": -2})], (4, 8, 8), "layer 2: 'shortcut' of layer 1 (4, 5, 5) and the samples (4, 8, 8): ",
    ),
    "a shortcut of rows that do not fit": (
        [("dense", 4), ("dense", 5), ("shortcut", {"from": 0})], (4, 8, 8), "layer 3: 'shortcut' takes samples of one shape, not layer 2 (5,) and layer 1 (4,)",
    ),
    "a shortcut of a row and planes": (
        [("dense", 4), ("shortcut", {"from": -2})], (4, 8, 8), "layer 2: 'shortcut' takes samples of one shape, not layer 1 (4,) and the samples (4, 8, 8)",
    ),
    "a route of planes of different sizes": (
        [("max_pooling", {"size": 2}), ("route", {"layers": [0, -2]})], (4, 8, 6), "layer 2: 'route' of layer 1 (4, 4, 3) and the samples (4, 8, 6): p cannot be 4 and 8",
    ),
    "a route of rows": ([("dense", 4), ("route", {"layers": [0, 0]})], (4, 8, 6), "layer 2: 'route' takes samples of planes (channels, rows, columns), not layer 1 (4,) and layer 1 (4,)"),
    "a convolution of rows": ([("dense", 4), ("convolution", 2, 1)], (4, 8, 6), "layer 2: 'convolution' takes samples of planes (channels, rows, columns), not layer 1 (4,)"),
    "a convolution in groups of four axes": (
        [("grouped_convolution", 2, 1, {"groups": 2})], (2, 2, 8, 6), "layer 1: 'grouped_convolution' takes samples of planes (channels, rows, columns), not the samples (2, 2, 8, 6)",
    ),
    "planes without rows": (["max_pooling"], (4, 8), "layer 1: 'max_pooling' takes samples of planes (channels, rows, columns), not the samples (4, 8)"),
    "a stride of nothing": ([("convolution", 2, 3, {"stride": 0})], (4, 8, 8), "layer 1: setting stride of 'convolution' must be a whole number, 1 or more, not 0"),
    "half a stride": ([("max_pooling", {"stride": 1.5})], (4, 8, 8), "layer 1: setting stride of 'max_pooling' must be a whole number, 1 or more, not 1.5"),
    "a padding below nothing": ([("convolution", 2, 3, {"padding": -1})], (4, 8, 8), "layer 1: setting padding of 'convolution' must be a whole number, 0 or more, not -1"),
    "a padding of three numbers": ([("convolution", 2, 3, {"padding": (1, 2, 3)})], (4, 8, 8), "layer 1: setting padding of 'convolution' must be one number, or 4 of them, not (1, 2, 3)"),
    "a window of nothing": ([("max_pooling", {"size": 0})], (4, 8, 8), "layer 1: setting size of 'max_pooling' must be a whole number, 1 or more, not 0"),
    "a dilation that is a word": ([("convolution", 2, 3, {"dilation": "wide"})], (4, 8, 8), "layer 1: setting dilation of 'convolution' must be a finite number, not 'wide'"),
    "upsampling by nothing": ([("upsample", {"stride": 0})], (4, 8, 8), "layer 1: setting stride of 'upsample' must be a whole number, 1 or more, not 0"),
    "a probability of one": ([("dropout", {"probability": 1})], (4, 8, 8), "layer 1: 'dropout' of the samples (4, 8, 8): probability < 1 with probability = 1"),
    "a probability below nothing": (["relu", ("dropout", {"probability": -0.1})], (4, 8, 8), "layer 2: 'dropout' of layer 1 (4, 8, 8): probability >= 0 with probability = -0.1"),
    "a bias that is a number": ([("convolution", 2, 3, {"bias": 1})], (4, 8, 8), "layer 1: bias of 'convolution' must be True or False, not 1"),
    "a bias where there is none": ([("max_pooling", {"bias": False})], (4, 8, 8), "layer 1: 'max_pooling' has no bias"),
    "a setting that is not there": ([("convolution", 2, 3, {"strides": 2})], (4, 8, 8), "layer 1: 'convolution' has no setting ['strides']; it has ['bottom', 'dilation', "),
    "no size": ([("convolution", 2)], (4, 8, 8), "layer 1: 'convolution' takes 3 sizes (o, u, v), 1 were given"),
    "no filters": ([("convolution", 0, 3)], (4, 8, 8), "layer 1: size o of 'convolution' must be a positive integer, not 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_graph_that_does_not_fit_is_one_error_that_names_layer_and_sizes(case):
    layers, shape, message = BAD[case]
    with pytest.raises(ValueError) as caught:
        Network(layers, inputs=shape)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 9, 9), (4, 9, 8), (3, 72), (9, 8, 3), (1, 3, 9, 8)])
def test_samples_of_another_shape_are_refused(shape):
    x, y = images(6)
    network = Network(CNN, cost="softmax_cross_entropy", random_state=0).fit(x, y, epochs=1)
    other, before = np.zeros((6, *shape)), bits(network)
    calls = (network.outputs, network.predict, lambda x: network.partial_fit(x, y), lambda x: network.gradients(x, y))
    for call in calls:
        with pytest.raises(ValueError) as caught:
            call(other)
        assert str(caught.value) == f"X has samples of shape {shape}, the network takes (3, 9, 8)"
    assert bits(network) == before
