"""Layers of planes that contract nothing, forward and backward, against PyTorch in double precision."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_layer import OneLayer

from derive.cli import main
from generated.definition import LAYERS, tensor
from generated.layers import AVERAGE_POOLING, MAX_POOLING

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

TOLERANCE = 1e-11  # relative to the largest element


def places(case: dict) -> tuple[int, int]:
    """(I, J), the places of the windows of a case."""
    (P, Q), (U, V), (top, bottom, left, right) = case["plane"], case["window"], case["padding"]
    return (P + top + bottom - U) // case["stride"] + 1, (Q + left + right - V) // case["stride"] + 1


windows = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 3),
        "channels": st.integers(1, 20),
        "plane": st.tuples(st.integers(1, 11), st.integers(1, 11)),
        "window": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "stride": st.integers(1, 4),
        "padding": st.tuples(*[st.integers(0, 4)] * 4),
        "grain": st.integers(1, 3),
        "seed": st.integers(0, 2**32 - 1),
    }
).filter(lambda case: min(places(case)) >= 1)


def on_windows(layer, case: dict, a: np.ndarray) -> OneLayer:
    names = {**dict(zip("UV", case["window"], strict=True)), "stride": case["stride"]}
    names |= dict(zip(("top", "bottom", "left", "right"), case["padding"], strict=True))
    return OneLayer(layer, {"a": a}, names, grain=case["grain"])


def padded(a, case: dict, value: float):
    top, bottom, left, right = case["padding"]
    return torch.nn.functional.pad(a, (left, right, top, bottom), value=value)


def close(ours: np.ndarray, theirs) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite])
    scale = np.abs(theirs[finite]).max(initial=1e-300)
    assert np.abs(ours[finite] - theirs[finite]).max(initial=0) <= TOLERANCE * scale


def agrees(layer: OneLayer, a, z, random: np.random.Generator) -> None:
    close(layer.forward(), z)
    delta = random.standard_normal(z.shape)
    z.backward(torch.from_numpy(delta))
    close(layer.backward(z=delta), a.grad)


def input_of(case: dict, random: np.random.Generator) -> torch.Tensor:
    values = random.standard_normal((case["batch"], case["channels"], *case["plane"]))
    return torch.from_numpy(values).requires_grad_()


@settings(max_examples=300, deadline=None)
@given(case=windows)
def test_max_pooling_by_any_window_stride_and_padding_is_that_of_pytorch(case):
    random = np.random.default_rng(case["seed"])
    a = input_of(case, random)
    z = torch.nn.functional.max_pool2d(padded(a, case, -np.inf), case["window"], case["stride"])
    agrees(on_windows(MAX_POOLING, case, a.detach().numpy()), a, z, random)


@settings(max_examples=100, deadline=None)
@given(case=windows)
def test_of_equal_values_the_first_of_the_window_in_reading_order_is_the_largest(case):
    random = np.random.default_rng(case["seed"])
    a = torch.from_numpy(random.integers(-1, 2, (case["batch"], case["channels"], *case["plane"])).astype(float))
    a.requires_grad_()
    z = torch.nn.functional.max_pool2d(padded(a, case, -np.inf), case["window"], case["stride"])
    agrees(on_windows(MAX_POOLING, case, a.detach().numpy()), a, z, random)


@settings(max_examples=300, deadline=None)
@given(case=windows)
def test_average_pooling_counts_its_padding_as_zeros(case):
    random = np.random.default_rng(case["seed"])
    a = input_of(case, random)
    z = torch.nn.functional.avg_pool2d(padded(a, case, 0.0), case["window"], case["stride"])
    agrees(on_windows(AVERAGE_POOLING, case, a.detach().numpy()), a, z, random)


CASE = {"batch": 2, "channels": 3, "plane": (5, 6), "window": (2, 3), "stride": 1, "padding": (0, 0, 0, 0), "grain": 1}


def test_a_nan_in_a_window_is_its_largest_value():
    a = np.random.default_rng(0).standard_normal((2, 3, 5, 6))
    a[0, 1, 2, 3] = a[1, 2, 0, 0] = np.nan
    z = on_windows(MAX_POOLING, CASE, a).forward()
    np.testing.assert_array_equal(z, torch.nn.functional.max_pool2d(torch.from_numpy(a), (2, 3), 1).numpy())


def test_a_window_of_infinitely_small_values_sends_its_sensitivity_to_the_first():
    a = np.full((2, 3, 5, 6), -np.inf)
    layer = on_windows(MAX_POOLING, {**CASE, "stride": 3}, a)
    assert (layer.forward() == -np.inf).all()
    delta = layer.backward(z=np.ones((2, 3, 2, 2)))
    assert (delta[:, :, ::3, ::3] == 1).all()
    assert delta.sum() == 2 * 3 * 4


def test_a_window_in_the_padding_has_no_largest_value_and_sends_nothing_back():
    case = {**CASE, "padding": (3, 0, 0, 4), "window": (2, 2)}
    layer = on_windows(MAX_POOLING, case, np.zeros((2, 3, 5, 6)))
    z = layer.forward()
    assert (z[:, :, :2] == -np.inf).all()
    assert (z[:, :, 2:, :6] == 0).all()
    sent = layer.backward(z=np.where(np.isfinite(z), 0.0, 1.0))
    assert not sent.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [MAX_POOLING, AVERAGE_POOLING])
def test_results_have_the_same_bits_for_every_chunk_and_number_of_threads(layer, dtype):
    random = np.random.default_rng(1)
    a, delta = random.standard_normal((7, 37, 9, 8)), random.standard_normal((7, 37, 4, 4))
    found = []
    for grain, threads in ((7, 1), (1, 1), (3, 2)):
        one = OneLayer(layer, {"a": a}, {}, dtype, grain=grain, threads=threads)
        found.append((one.forward(), one.backward(z=delta)))
    for other in found[1:]:
        np.testing.assert_array_equal(other[0], found[0][0])
        np.testing.assert_array_equal(other[1], found[0][1])


# Layers of whole samples ---------------------------------------------------------------------------------------------------


def unequal(a, b):
    stride = -(-b.shape[2] // a.shape[2])
    return a + fitted(b[:, :, ::stride, ::stride], a.shape)


def left_out(z, u, probability: float):
    return torch.where(u >= probability, z / (1 - probability), 0.0)


OF_SAMPLES = {
    "global_average_pooling": lambda own, a: a.mean((2, 3)),
    "flatten": lambda own, a: a.mT,
    "shortcut": lambda own, a, b: a + b,
    "shortcut_unequal": lambda own, a, b: unequal(a, b),
    "route": lambda own, a: a.chunk(own["groups"], 1)[own["group_id"]],
    **{f"route_{count}": lambda own, *inputs: torch.cat(inputs, 1) for count in (2, 3, 4)},
    "upsample": lambda own, a: torch.nn.functional.interpolate(a, scale_factor=own["stride"], mode="nearest-exact"),
    "dropout": lambda own, z, u: left_out(z, u, own["probability"]),
    "batch_norm_inference": lambda own, z, gamma, beta, mean, variance: torch.nn.functional.batch_norm(
        z, mean, variance, gamma, beta, eps=own["epsilon"]
    ),
}


@st.composite
def samples(draw, name: str) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """(the shapes of a layer's tensors, its settings)."""
    batch, channels = draw(st.integers(1, 4)), [draw(st.integers(1, 20)) for _ in range(4)]
    plane = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    own, stride = {}, draw(st.integers(1, 4))
    if name in ("flatten", "shortcut", "dropout", "batch_norm_inference"):
        shapes = {"a": (batch, channels[0]), "b": (batch, channels[0])}
        shapes["z"] = shapes["u"] = (batch, plane[0] * plane[1], channels[0]) if name == "flatten" else shapes["a"]
        shapes |= dict.fromkeys(("gamma", "beta", "mean", "variance"), (channels[0],))
        own = {"dropout": {"probability": draw(st.floats(0, 1, exclude_max=True))}}.get(name, {})
        own |= {"batch_norm_inference": {"epsilon": draw(st.sampled_from([1e-5, 0.5]))}}.get(name, {})
    else:
        shapes = {x: (batch, c, *plane) for x, c in zip("abxy", channels, strict=True)}
    if name == "shortcut_unequal":  # each stride-th row and column, the last ones not always whole
        rows = stride * plane[0] - draw(st.integers(0, min(stride, plane[0]) - 1))
        columns = stride * plane[1] - draw(st.integers(0, stride - 1))
        shapes["b"], own["stride"] = (batch, channels[1], rows, columns), stride
    if name == "route":
        own["groups"] = draw(st.integers(1, 5))
        own["group_id"] = draw(st.integers(0, own["groups"] - 1))
        shapes["a"] = (batch, channels[0] * own["groups"], *plane)
    if name == "upsample":
        own["stride"] = stride
    return shapes, own


@pytest.mark.parametrize("name", OF_SAMPLES)
@settings(max_examples=300, deadline=None)
@given(data=st.data(), grain=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_layers_of_whole_samples_and_their_gradients_are_those_of_pytorch(name, data, grain, seed):
    random, layer = np.random.default_rng(seed), LAYERS[name]
    shapes, own = data.draw(samples(name))
    slots = [tensor(x)[0] for x in (*layer.inputs, *layer.parameters)]
    fixed = [tensor(x)[0] for x in (*layer.random, *layer.states)]
    arrays = {x: random.standard_normal(shapes[x]) for x in slots} | {x: random.random(shapes[x]) for x in fixed}
    variables = {x: torch.tensor(array).requires_grad_(x in slots) for x, array in arrays.items()}
    z = OF_SAMPLES[name](own, *variables.values())
    one = OneLayer(layer, arrays, own, grain=grain)
    close(one.forward(), z)
    delta = random.standard_normal(z.shape)
    z.backward(torch.from_numpy(delta))
    one.backward(**{tensor(layer.outputs[0])[0]: delta})
    for x in slots:
        of = variables[x].grad
        found = one.array(f"delta_{x}" if any(tensor(slot)[0] == x for slot in layer.inputs) else f"nabla_{x}")
        close(found, torch.zeros_like(variables[x]) if of is None else of)


# Definitions of a user's own ------------------------------------------------------------------------------------------

DEFINITIONS = '''
"""Planes moved, spread, cut, put together, reduced."""

from derive.notation import MaxOver, Sum, counts, exp, indices, size_of, sqrt, system, tensors

n, c, d, f, p, q, u, v, i, j = indices("n c d f p q u v i j")
a, b, w, y = tensors("a b w y")
C, D, F, P, Q, U, V, I, J = map(size_of, (c, d, f, p, q, u, v, i, j))
stride, top, left = counts("stride", least=1), *counts("top left")
planes, others = a[n, c, p, q], b[n, d, i, j]
window = {"settings": {U: 2, V: 3, stride: 2}, "sizes": {I: (P - U) // stride + 1, J: (Q - V) // stride + 1}}

with system(
    "upsampling", inputs=[planes], outputs=[y[n, c, i, j]], settings={stride: 3}, sizes={I: stride * P, J: stride * Q}
) as upsampling:
    upsampling.y[n, c, i, j] = a[n, c, i // stride, j // stride]

with system(
    "cropped", inputs=[planes], outputs=[y[n, c, i, j]], settings={stride: 2}, sizes={I: 2 * P - 1, J: 3 * Q + 2}
) as cropped:
    cropped.y[n, c, i, j] = a[n, c, (i + 1) // stride, j // stride]

with system("global_average", inputs=[planes], outputs=[y[n, c]]) as global_average:
    global_average.y[n, c] = Sum(a[n, c, p, q], p, q) / (P * Q)

with system("residual", inputs=[planes, others], outputs=[y[n, c, p, q]], settings={stride: 2}) as residual:
    residual.y[n, c, p, q] = a[n, c, p, q] + b[n, c, stride * p, stride * q]

with system(
    "shifted", inputs=[planes, others], outputs=[y[n, c, p, q]], settings={top: 1, left: 2}
) as shifted:
    shifted.y[n, c, p, q] = 2 * a[n, c, p, q] - b[n, c, p - top, q + left] * a[n, c, p, q]

with system("joined", inputs=[planes, b[n, d, p, q]], outputs=[y[n, f, p, q]], sizes={F: C + D}) as joined:
    joined.y[n, f, p, q] = a[n, f, p, q] + b[n, f - C, p, q]

with system("parted", inputs=[planes], outputs=[y[n, d, p, q]], settings={top: 2}, sizes={D: C - 3}) as parted:
    parted.y[n, d, p, q] = a[n, d + top, p, q]

with system("weighed", inputs=[planes], parameters=[w[c]], outputs=[y[n, c, i, j]], **window) as weighed:
    weighed.y[n, c, i, j] = w[c] + Sum(w[c] ** 2 * a[n, c, stride * i + u, stride * j + v], u, v)

with system("powers", inputs=[planes], outputs=[y[n, c, i, j]], **window) as powers:
    powers.y[n, c, i, j] = Sum(exp(a[n, c, stride * i + u, stride * j + v]), u, v)

with system("brightest", inputs=[planes], outputs=[y[n, p, q]]) as brightest:
    brightest.y[n, p, q] = MaxOver(a[n, c, p, q], c)

with system("instance_norm", inputs=[planes], parameters=[w[c]], outputs=[y[n, c, p, q]]) as instance_norm:
    instance_norm.mu[n, c] = Sum(a[n, c, p, q], p, q) / (P * Q)
    instance_norm.var[n, c] = Sum((a[n, c, p, q] - instance_norm.mu[n, c]) ** 2, p, q) / (P * Q)
    instance_norm.y[n, c, p, q] = w[c] * (a[n, c, p, q] - instance_norm.mu[n, c]) / sqrt(instance_norm.var[n, c] + 1)

with system("plane_norm", inputs=[planes], outputs=[y[n, c, p, q]]) as plane_norm:
    plane_norm.mu[c] = Sum(a[n, c, p, q], n, p, q) / (size_of(n) * P * Q)
    plane_norm.var[c] = Sum((a[n, c, p, q] - plane_norm.mu[c]) ** 2, n, p, q) / (size_of(n) * P * Q)
    plane_norm.y[n, c, p, q] = (a[n, c, p, q] - plane_norm.mu[c]) / sqrt(plane_norm.var[c] + 1)
'''


def fitted(b, shape, at: tuple[int, int, int, int] = (0, 0, 0, 0)):
    """``b`` laid into zeros of that shape with its first element at a place, which may lie outside."""
    start, pads = tuple(max(0, -k) for k in at), []
    b = b[tuple(slice(s, None) for s in start)]
    for size, own, k in zip(shape, b.shape, at, strict=True):
        pads.append((max(0, k), max(0, size - max(0, k) - own)))
    b = torch.nn.functional.pad(b, [width for pair in reversed(pads) for width in pair])
    return b[tuple(slice(0, size) for size in shape)]


def normalised(a, over: tuple[int, ...]):
    mean = a.mean(over, keepdim=True)
    return (a - mean) / torch.sqrt(((a - mean) ** 2).mean(over, keepdim=True) + 1)


def by_windows(a):
    """All windows of 2 by 3 at stride 2, along a last axis."""
    return a.unfold(2, 2, 2).unfold(3, 3, 2).flatten(4)


def cropped(a):
    rows, columns = 2 * a.shape[2] - 1, 3 * a.shape[3] + 2
    row, column = (torch.arange(rows) + 1) // 2, torch.arange(columns) // 2
    inside = torch.nn.functional.pad(a, (0, columns, 0, rows))
    return inside[:, :, row][:, :, :, column]


BY_PYTORCH = {
    "upsampling": lambda a: a.repeat_interleave(3, 2).repeat_interleave(3, 3),
    "cropped": cropped,
    "global_average": lambda a: a.mean((2, 3)),
    "residual": lambda a, b: a + fitted(b[:, :, ::2, ::2], a.shape),
    "shifted": lambda a, b: 2 * a - fitted(b, a.shape, (0, 0, 1, -2)) * a,
    "joined": lambda a, b: torch.cat((a, b), 1),
    "parted": lambda a: a[:, 2:-1],
    "weighed": lambda a, w: w[:, None, None] + w[:, None, None] ** 2 * by_windows(a).sum(-1),
    "powers": lambda a: by_windows(a).exp().sum(-1),
    "brightest": lambda a: a.amax(1),
    "instance_norm": lambda a, w: w[:, None, None] * normalised(a, (2, 3)),
    "plane_norm": lambda a: normalised(a, (0, 2, 3)),
}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The package that `derive generate` makes of the definitions."""
    folder = tmp_path_factory.mktemp("planes")
    (folder / "planes.py").write_text(DEFINITIONS)
    assert main(["generate", str(folder / "planes.py"), "--output", str(folder / "own_planes")]) == 0
    sys.path.insert(0, str(folder))
    yield importlib.import_module("own_planes")
    sys.path.remove(str(folder))


@pytest.mark.parametrize("name", BY_PYTORCH)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 3), channels=st.tuples(st.integers(4, 20), st.integers(1, 24)),
    plane=st.tuples(st.integers(2, 9), st.integers(3, 9)), other=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    grain=st.integers(1, 3), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_own_layers_of_planes_and_their_gradients_are_those_of_pytorch(
    mine, name, batch, channels, plane, other, grain, seed
):
    random = np.random.default_rng(seed)
    layer = getattr(mine, name.upper())
    shapes = {"a": (batch, channels[0], *plane), "b": (batch, channels[1], *other), "w": channels[:1]}
    if name == "joined":
        shapes["b"] = (batch, channels[1], *plane)
    wanted = [tensor(x)[0] for x in (*layer.inputs, *layer.parameters)]
    given_arrays = {x: random.standard_normal(shapes[x]) for x in wanted}
    variables = {x: torch.from_numpy(array).requires_grad_() for x, array in given_arrays.items()}
    y = BY_PYTORCH[name](*variables.values())
    one = OneLayer(layer, given_arrays, grain=grain)
    close(one.forward(), y)
    delta = random.standard_normal(y.shape)
    y.backward(torch.from_numpy(delta))
    one.backward(y=delta)
    for x, variable in variables.items():
        gradient = torch.zeros_like(variable) if variable.grad is None else variable.grad
        close(one.array(f"nabla_{x}" if x == "w" else f"delta_{x}"), gradient.detach())
