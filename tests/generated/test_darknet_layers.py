"""What Darknet's networks need besides the field's layers: its normalisation and its momentum, locally
connected layers, reorg.

Against PyTorch code in double precision, written here from the equations.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_layer import OneLayer

from generated import Network
from generated.layers import (
    BATCH_NORM_DARKNET,
    BATCH_NORM_DARKNET_INFERENCE,
    BATCH_NORM_DARKNET_LEAKY,
    BATCH_NORM_DARKNET_RELU,
    LOCAL,
    REORG,
)

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

EPSILON = 1e-6
RECTIFIERS = {
    "none": (BATCH_NORM_DARKNET, lambda y: y),
    "leaky": (BATCH_NORM_DARKNET_LEAKY, lambda y: torch.nn.functional.leaky_relu(y, 0.1)),
    "relu": (BATCH_NORM_DARKNET_RELU, torch.relu),
}
PLACES = ("y", "delta_z", "nabla_gamma", "nabla_beta", "mean_new", "variance_new")


# Normalisation --------------------------------------------------------------------------------------------------------


def drawn(samples: int, channels: int, mean: float, deviation: float, seed: int, dtype: str) -> dict[str, np.ndarray]:
    """The layer's arrays, and the sensitivity `delta` of its output."""
    random = np.random.default_rng(seed)
    arrays = {"z": mean + deviation * random.standard_normal((samples, channels))}
    arrays |= {name: random.standard_normal(channels) for name in ("gamma", "beta", "mean")}
    arrays |= {"variance": random.random(channels), "delta": random.standard_normal((samples, channels))}
    return {name: x.astype(dtype) for name, x in arrays.items()}


def ours(arrays: dict[str, np.ndarray], layer=BATCH_NORM_DARKNET, **how) -> dict[str, np.ndarray]:
    given = {name: x for name, x in arrays.items() if name != "delta"}
    one = OneLayer(layer, given, dtype=arrays["z"].dtype, **how)
    (end,) = (slot[0] for slot in layer.outputs)
    found = {"y": one.forward(), "delta_z": one.backward(**{end: arrays["delta"]})}
    return found | {name: one.array(name) for name in PLACES[2:] if name in one.arrays}


def by_pytorch(arrays: dict[str, np.ndarray], activation=lambda y: y, shift: float = 0.0) -> dict[str, np.ndarray]:
    """In double precision, with `shift` taken from all samples, which changes no derivative."""
    values = {name: torch.tensor(x.astype("float64")) for name, x in arrays.items()}
    z, gamma, beta = (
        (values[name] - (shift if name == "z" else 0)).requires_grad_() for name in ("z", "gamma", "beta")
    )
    mu, var = z.mean(0), z.var(0, correction=1)
    y = activation(gamma * (z - mu) / (var.sqrt() + EPSILON) + beta)
    y.backward(values["delta"])
    found = {"y": y, "delta_z": z.grad, "nabla_gamma": gamma.grad, "nabla_beta": beta.grad}
    found["mean_new"] = 0.99 * values["mean"] + 0.01 * (mu + shift)
    found["variance_new"] = 0.99 * values["variance"] + 0.01 * var
    return {name: x.detach().numpy() for name, x in found.items()}


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative to the largest element."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-300))


@settings(max_examples=150, deadline=None)
@example(samples=3, channels=1, seed=0, name="none", mean=1e4, deviation=1e-2, grain=1)
@example(samples=10_000, channels=64, seed=1, name="leaky", mean=1e4, deviation=1e-2, grain=700)
@given(
    samples=st.integers(3, 5000), channels=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), grain=st.integers(1, 3000),
    name=st.sampled_from(sorted(RECTIFIERS)), mean=st.sampled_from([0.0, -1e4, 1e4]), deviation=st.sampled_from([1e-2, 1.0]),
)  # fmt: skip
def test_normalisation_in_double_precision_also_far_from_zero(samples, channels, seed, name, mean, deviation, grain):
    layer, activation = RECTIFIERS[name]
    arrays = drawn(samples, channels, mean, deviation, seed, "float64")
    found, wanted = ours(arrays, layer, grain=grain), by_pytorch(arrays, activation, mean)
    for place in PLACES:
        assert error(found[place], wanted[place]) < 1e-11, place


def test_normalisation_in_single_precision_is_as_exact_as_its_numbers():
    arrays = drawn(4096, 32, 1e4, 1e-2, 5, "float32")
    found, wanted = ours(arrays), by_pytorch(arrays, shift=1e4)
    for place in PLACES:
        assert error(found[place], wanted[place]) < 4 * np.finfo(np.float32).eps, place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_samples_and_a_single_one_have_no_deviation_and_finite_gradients(dtype):
    """At a deviation of 0 the length of the samples has the slope 0, so gamma / epsilon times what exceeds the mean is left."""
    for samples in (1, 700):
        arrays = drawn(samples, 3, 0.0, 1.0, samples, dtype)
        arrays["z"][:] = np.float32(1e4) / 3
        found = ours(arrays)
        np.testing.assert_array_equal(found["y"], np.broadcast_to(arrays["beta"], arrays["z"].shape))
        assert not found["nabla_gamma"].any()
        delta = arrays["delta"].astype("float64")
        wanted = arrays["gamma"] / EPSILON * (delta - delta.mean(0))
        assert error(found["delta_z"], wanted) < (1e-5 if dtype == "float32" else 1e-11)


def test_in_use_the_running_statistics_normalise():
    arrays = drawn(40, 7, 3.0, 1.0, 2, "float64")
    given = {name: x for name, x in arrays.items() if name != "delta"}
    found = OneLayer(BATCH_NORM_DARKNET_INFERENCE, given).forward()
    deviation = np.sqrt(arrays["variance"]) + EPSILON
    wanted = arrays["gamma"] * (arrays["z"] - arrays["mean"]) / deviation + arrays["beta"]
    assert error(found, wanted) < 1e-14


def test_a_network_normalises_its_mini_batches_in_training_and_keeps_their_statistics():
    network = Network(["batch_norm_darknet", ("dense", 1)], inputs=(2, 3, 3), random_state=0, dtype="float64")
    X = np.random.default_rng(0).normal(5, 2, (6, 2, 3, 3))
    network.partial_fit(X, np.zeros((6, 1)), batch_size=6, learning_rate=0.01)
    kept = network.states[0]
    channels = X.transpose(0, 2, 3, 1).reshape(-1, 2)
    np.testing.assert_allclose(kept["mean"], 0.01 * channels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(kept["variance"], 0.99 + 0.01 * channels.var(0, ddof=1), rtol=1e-12)


# Momentum -------------------------------------------------------------------------------------------------------------


def test_momentum_is_darknets_and_differs_from_the_fields_only_where_the_rate_changes():
    random = np.random.default_rng(3)
    X, y = random.standard_normal((8, 3)), random.standard_normal((8, 2))
    nets = [Network([("dense", 2)], inputs=3, random_state=1, dtype="float64") for _ in range(3)]
    w = nets[0].parameters[0]["w"].copy()
    v = np.zeros_like(w)
    options = {"batch_size": 8, "momentum": 0.9, "weight_decay": 0.01, "shuffle": False}
    for rate in (0.1, 0.1, 0.02, 0.3):
        gradient = nets[0].gradients(X, y)[0]["w"]
        v = 0.9 * v - (gradient + 0.01 * w)
        w += rate * v
        nets[0].partial_fit(X, y, rule="momentum_darknet", learning_rate=rate, **options)
        np.testing.assert_allclose(nets[0].parameters[0]["w"], w, rtol=1e-13)
    for rates, same in (((0.1, 0.1, 0.1), True), ((0.1, 0.02, 0.3), False)):
        for net, rule in zip(nets[1:], ("momentum", "momentum_darknet"), strict=True):
            for number, rate in enumerate(rates):
                step = net.partial_fit if number else net.fit
                step(X, y, epochs=1, rule=rule, learning_rate=rate, **options)
        a, b = (net.parameters[0]["w"] for net in nets[1:])
        assert np.allclose(a, b, rtol=1e-12, atol=1e-14) == same


# Locally connected ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3), channels=st.integers(1, 4), filters=st.integers(1, 4), plane=st.tuples(*[st.integers(3, 8)] * 2),
    window=st.tuples(*[st.integers(1, 3)] * 2), stride=st.integers(1, 3), padding=st.tuples(*[st.integers(0, 2)] * 4),
    grain=st.integers(1, 3), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_place_has_weights_of_its_own(
    batch, channels, filters, plane, window, stride, padding, grain, seed
):  # fmt: skip
    random = np.random.default_rng(seed)
    (U, V), (top, bottom, left, right) = window, padding
    I, J = (plane[0] + top + bottom - U) // stride + 1, (plane[1] + left + right - V) // stride + 1  # noqa: E741
    a, w, b = (
        torch.from_numpy(random.standard_normal(shape)).requires_grad_()
        for shape in ((batch, channels, *plane), (I, J, filters, channels, U, V), (filters, I, J))
    )
    patches = torch.nn.functional.pad(a, (left, right, top, bottom)).unfold(2, U, stride).unfold(3, V, stride)
    z = torch.einsum("ncijuv,ijocuv->noij", patches, w) + b
    delta = random.standard_normal(z.shape)
    z.backward(torch.from_numpy(delta))
    names = {"stride": stride, "top": top, "bottom": bottom, "left": left, "right": right}
    one = OneLayer(LOCAL, {n: x.detach().numpy() for n, x in (("a", a), ("w", w), ("b", b))}, names, grain=grain)
    found = {"z": one.forward(), "a": one.backward(z=delta), "w": one.array("nabla_w"), "b": one.array("nabla_b")}
    for name, wanted in (("z", z.detach()), ("a", a.grad), ("w", w.grad), ("b", b.grad)):
        assert error(found[name], wanted.numpy()) < 1e-13, name


def test_a_network_says_how_many_filters_and_the_planes_say_how_many_places():
    network = Network([("local", 4, 3, {"stride": 2, "padding": 1})], inputs=(3, 9, 8), random_state=0)
    assert {name: x.shape for name, x in network.parameters[0].items()} == {"w": (5, 4, 4, 3, 3, 3), "b": (4, 5, 4)}
    assert network.outputs(np.ones((2, 3, 9, 8))).shape == (2, 4, 5, 4)
    with pytest.raises(ValueError, match="a filter of 5 x 5 is larger than its padded input of 3 x 3"):
        Network([("local", 4, 5)], inputs=(3, 3, 3))


# Reorg ----------------------------------------------------------------------------------------------------------------


def reorganised(a: np.ndarray, stride: int) -> np.ndarray:
    """What Darknet's reorg_cpu does to planes (N, C, P, Q) with forward=0, place by place in its memory."""
    N, C, P, Q = a.shape
    flat, out, fewer = a.reshape(-1), np.empty(a.size), C // stride**2
    for n, k, j, i in np.ndindex(N, C, P, Q):
        row = j * stride + k // fewer // stride
        column = i * stride + k // fewer % stride
        source = column + Q * stride * (row + P * stride * (k % fewer + fewer * n))
        out[i + Q * (j + P * (k + C * n))] = flat[source]
    return out.reshape(N, C * stride**2, P // stride, Q // stride)


@pytest.mark.parametrize(
    ("shape", "stride"),
    [((2, 4, 6, 4), 2), ((1, 8, 2, 2), 2), ((2, 12, 4, 10), 2), ((1, 9, 6, 3), 3), ((1, 18, 3, 9), 3), ((1, 3, 4, 5), 1), ((2, 16, 4, 8), 4)],
)  # fmt: skip
def test_reorg_is_darknets_and_its_gradient_goes_back_where_each_value_came_from(shape, stride):
    a = np.random.default_rng(0).standard_normal(shape)
    one = OneLayer(REORG, {"a": a}, {"stride": stride})
    z = one.forward()
    np.testing.assert_array_equal(z, reorganised(a, stride))
    np.testing.assert_array_equal(one.backward(z=z), a)  # a permutation: what is sent forward and back is what it was
