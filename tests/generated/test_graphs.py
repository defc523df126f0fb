"""Networks of planes against PyTorch in double precision: outputs, losses, gradients, statistics, steps; and what is refused.

The other side reads the same list of layers with PyTorch's own operations, and resolves references by itself.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_gradients import ACTIVATIONS, COSTS

from generated import Network, load

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
    epsilon = own.get("epsilon", 1e-5)
    return F.batch_norm(z, p["mean"], p["variance"], p["gamma"], p["beta"], training, own.get("momentum", 0.1), epsilon)


def shortcut(a, b):
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
            value = a.flatten(1) @ p["w"].T + p["b"]
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
        own = {name: torch.tensor(np.array(array)).requires_grad_() for name, array in parameters.items()}
        found.append(own | {name: torch.tensor(np.array(array)) for name, array in states.items()})
    return found


def kept_units(network: Network, batch: int, what: str = "gradients training") -> dict[int, object]:
    """Which units each dropout keeps in a pass over such a batch, channels first."""
    plan, _ = network._program(what, batch)
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
    own["padding"] = draw(st.one_of(st.integers(0, 2), st.tuples(*[st.integers(0, 2)] * 2), st.tuples(*[st.integers(0, 3)] * 4)))
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
                array[...] = random.uniform(0.5, 1.5, array.shape) if name == "variance" else random.normal(1, 0.3, array.shape)
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
        # A gradient that is zero, as a bias's before a normalisation, is so up to the rounding of the others.
        least = 1e-2 * max(float(s.abs().max()) for s in slopes)
        for (n, name, _), slope in zip(learned, slopes, strict=True):
            close(gradients[n][name], slope, f"{name} of layer {n}, {training=}", max(least, 1e-300))
    return network


@settings(max_examples=500, deadline=None)
@given(case=networks(), seed=st.integers(0, 2**32 - 1))
def test_drawn_graphs_and_all_their_gradients_are_those_of_pytorch(case, seed):
    agrees(*case, seed)
