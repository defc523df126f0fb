"""Batch normalisation far from zero: against PyTorch in double precision near zero, and PyTorch's own single precision.

Taking one and the same number from all samples changes neither the output nor a gradient, and here it is exact. So PyTorch's
double precision on the shifted samples is the oracle, and to be held to it is more than PyTorch's own is on the samples.
"""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_layer import OneLayer

from generated.layers import BATCH_NORM, BATCH_NORM_LEAKY, BATCH_NORM_RELU

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

EPSILON = 1e-5
PLACES = ("y", "delta_z", "nabla_gamma", "nabla_beta")
FUSED = {
    "leaky": (BATCH_NORM_LEAKY, lambda y: torch.nn.functional.leaky_relu(y, 0.1)),
    "relu": (BATCH_NORM_RELU, torch.relu),
}


def drawn(samples: int, channels: int, mean: float, deviation: float, seed: int, dtype: str) -> list[np.ndarray]:
    """z, gamma, beta and the sensitivity of the output."""
    random = np.random.default_rng(seed)
    z = mean + deviation * random.standard_normal((samples, channels))
    more = (random.standard_normal(shape) for shape in (channels, channels, (samples, channels)))
    return [x.astype(dtype) for x in (z, *more)]


def ours(z, gamma, beta, delta, layer=BATCH_NORM, **how) -> dict[str, np.ndarray]:
    one = OneLayer(layer, {"z": z, "gamma": gamma, "beta": beta}, dtype=z.dtype, **how)
    (end,) = (slot[0] for slot in layer.outputs)
    found = {"y": one.forward(), "delta_z": one.backward(**{end: delta})}
    return found | {name: one.array(name) for name in ("nabla_gamma", "nabla_beta")}


def by_pytorch(z, gamma, beta, delta, dtype, activation=lambda y: y) -> dict[str, np.ndarray]:
    z, gamma, beta = (torch.tensor(x.astype(dtype), requires_grad=True) for x in (z, gamma, beta))
    y = activation(torch.nn.functional.batch_norm(z, None, None, gamma, beta, training=True, eps=EPSILON))
    y.backward(torch.tensor(delta.astype(dtype)))
    found = {"y": y.detach(), "delta_z": z.grad, "nabla_gamma": gamma.grad, "nabla_beta": beta.grad}
    return {name: x.numpy() for name, x in found.items()}


def exact(z, gamma, beta, delta, mean: float, activation=lambda y: y) -> dict[str, np.ndarray]:
    shifted = z.astype("float64") - mean
    assert (shifted + mean == z).all()
    return by_pytorch(shifted, gamma, beta, delta, "float64", activation)


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative to the largest element."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-300))


sizes = {"samples": st.integers(2, 10_000), "channels": st.integers(1, 40), "seed": st.integers(0, 2**32 - 1)}


@settings(max_examples=300, deadline=None)
@example(samples=3, channels=1, seed=0, mean=1e4, deviation=1e-2)
@example(samples=10_000, channels=64, seed=1, mean=1e4, deviation=1e-2)
@given(**sizes, mean=st.sampled_from([0.0, 1.0, -1e4, 1e4]), deviation=st.sampled_from([1e-2, 1.0]))
def test_output_and_gradients_in_double_precision(samples, channels, seed, mean, deviation):
    arrays = drawn(max(samples, 3), channels, mean, deviation, seed, "float64")
    found, wanted = ours(*arrays), exact(*arrays, mean)
    for name in PLACES:
        assert error(found[name], wanted[name]) < 1e-11, name


@settings(max_examples=100, deadline=None)
@example(samples=10_000, channels=64, seed=1)
@given(**sizes)
def test_errors_in_single_precision_are_no_larger_than_those_of_pytorch(samples, channels, seed):
    arrays = drawn(samples, channels, 1e4, 1e-2, seed, "float32")
    found, theirs, wanted = ours(*arrays), by_pytorch(*arrays, "float32"), exact(*arrays, 1e4)
    unit = np.finfo(np.float32).eps
    z, gamma, _, delta = (x.astype("float64") for x in arrays)
    cancelled = np.abs(
        gamma / np.sqrt(z.var(0) + EPSILON) * delta
    ).max()  # what a few samples' delta_z is a difference of
    for name in PLACES:
        rounded = 2 * unit * (1 + (name == "delta_z") * cancelled / max(np.abs(wanted[name]).max(), 1e-300))
        assert error(found[name], wanted[name]) <= max(error(theirs[name], wanted[name]), rounded), name


@pytest.mark.parametrize("samples", [2, 7, 40])
def test_two_samples_or_a_few_against_fifty_digits(samples):
    z, gamma, beta, delta = drawn(samples, 3, 1e4, 1e-2, samples, "float64")
    found = ours(z, gamma, beta, delta)
    with mp.workdps(50):
        for c in range(3):
            x, d = [[mp.mpf(float(v)) for v in array[:, c]] for array in (z, delta)]
            mu = mp.fsum(x) / samples
            root = mp.sqrt(mp.fsum((v - mu) ** 2 for v in x) / samples + mp.mpf(EPSILON))
            hat = [(v - mu) / root for v in x]
            both, alone = mp.fsum(a * b for a, b in zip(d, hat, strict=True)), mp.fsum(d)
            slope = mp.mpf(float(gamma[c])) / root
            wanted = {
                "y": [mp.mpf(float(gamma[c])) * h + mp.mpf(float(beta[c])) for h in hat],
                "delta_z": [slope * (a - alone / samples - h * both / samples) for a, h in zip(d, hat, strict=True)],
                "nabla_gamma": [both],
                "nabla_beta": [alone],
            }
            for name, values in wanted.items():
                column = found[name][..., c].reshape(-1)
                assert max(abs(a - float(b)) for a, b in zip(column, values, strict=True)) <= 1e-11 * float(
                    max(map(abs, values), default=0) + abs(slope) * max(map(abs, d)) * (name == "delta_z")
                ), name


def test_a_first_sample_far_from_all_others_costs_no_more_than_the_samples_are_many():
    arrays = drawn(5000, 3, 0.0, 1e-2, 4, "float64")
    arrays[0][0] = 1e4
    found, wanted = ours(*arrays), exact(*arrays, 0.0)
    for name in PLACES:
        assert error(found[name], wanted[name]) < 5000 * 1e-15, name


def test_equal_samples_have_no_deviation():
    z, gamma, beta, delta = drawn(2000, 5, 0.0, 1.0, 0, "float32")
    z[:] = np.float32(1e4) / 3
    found = ours(z, gamma, beta, delta)
    np.testing.assert_array_equal(found["y"], np.broadcast_to(beta, z.shape))
    assert not found["nabla_gamma"].any()


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(FUSED)), **sizes, grain=st.integers(1, 3000))
def test_with_the_rectifier_that_follows_it_in_the_same_kernels(name, samples, channels, seed, grain):
    layer, activation = FUSED[name]
    assert layer.fuses == ("batch_norm", name)
    arrays = drawn(max(samples, 3), channels, 1e4, 1e-2, seed, "float64")
    found, wanted = ours(*arrays, layer=layer, grain=grain), exact(*arrays, 1e4, activation)
    for place in PLACES:
        assert error(found[place], wanted[place]) < 1e-11, place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [BATCH_NORM, BATCH_NORM_LEAKY])
def test_results_have_the_same_bits_for_every_chunk_and_number_of_threads(layer, dtype):
    arrays = drawn(5003, 37, 3.0, 1.0, 9, dtype)
    whole = ours(*arrays, layer=layer)
    for how in ({"grain": 1}, {"grain": 700}, {"grain": 2, "threads": 2}):
        other = ours(*arrays, layer=layer, **how)
        for name in PLACES:
            np.testing.assert_array_equal(other[name], whole[name])
