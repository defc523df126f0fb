"""Convolution's kernels, forward and backward, against PyTorch in double precision, and their promise of equal bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated.definition import Layer, stored, tensor
from generated.engine import BOX
from generated.layers import CONVOLUTION, DEPTHWISE_CONVOLUTION, GROUPED_CONVOLUTION
from generated.program import Call, Program, Stage

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

LIKE = {"z": "delta_z", "delta_a": "a", "nabla_w": "w", "nabla_b": "b"}  # what is computed, and what has its shape
PLACES = tuple(LIKE)


def output_sizes(case: dict) -> tuple[int, int]:
    """(I, J) of a case; below one where nothing is left."""
    (P, Q), (U, V), (top, bottom, left, right) = case["plane"], case["filter"], case["padding"]
    s, d = case["stride"], case["dilation"]
    return (P + top + bottom - d * (U - 1) - 1) // s + 1, (Q + left + right - d * (V - 1) - 1) // s + 1


def drawn(case: dict, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """All arrays of a case as the kernels see them, channels last; what they are to write is NaN."""
    random = np.random.default_rng(case["seed"])
    N, C, K = case["batch"], case["channels"], case["filters"]
    given_shapes = {
        "a": (N, *case["plane"], C),
        "w": (*case["filter"], C, K),
        "b": (K,),
        "delta_z": (N, *output_sizes(case), K),
    }
    arrays = {name: random.standard_normal(shape).astype(dtype) for name, shape in given_shapes.items()}
    arrays |= {name: np.full_like(arrays[like], np.nan) for name, like in LIKE.items()}
    return arrays


def run(
    case: dict, arrays: dict[str, np.ndarray], grain: int, parallel: bool = False, layer: Layer = CONVOLUTION
) -> dict:
    """Forward and backward by the generated kernels, in chunks of ``grain``."""
    top, _, left, _ = case["padding"]
    cells = {"stride": case["stride"], "dilation": case["dilation"], "top": top, "left": left}
    cells = {name: np.array([float(value)]) for name, value in cells.items()}
    places = dict(map(tensor, (stored(layer.inputs[0]), stored(layer.outputs[0]), *layer.storage)))
    sizes = {
        i: size
        for name, axes in places.items()
        for i, size in zip(axes, arrays[LIKE.get(name, name)].shape, strict=True)
    }
    everything = dict(arrays)
    for slot in layer.buffers:
        name, axes = tensor(slot)
        own = np.dtype(slot.partition("]: ")[2] or arrays["a"].dtype)
        everything[name] = np.full([sizes[i] for i in axes], np.nan, own)
    stages = [
        Stage([Call(k, {n: everything[n] for n in k.arrays}, {n: cells[n] for n in k.scalars})], grain, parallel)
        for k in (*layer.forward, *layer.backward)
    ]
    Program(stages, arrays["a"].dtype).run()
    return arrays


def by_pytorch(case: dict, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    a, w = (
        torch.from_numpy(arrays["a"].transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(arrays["w"].transpose(3, 2, 0, 1).copy()),
    )
    b = torch.from_numpy(arrays["b"].copy())
    for x in (a, w, b):
        x.requires_grad_()
    top, bottom, left, right = case["padding"]
    padded = torch.nn.functional.pad(a, (left, right, top, bottom))
    z = torch.nn.functional.conv2d(padded, w, b, stride=case["stride"], dilation=case["dilation"])
    z.backward(torch.from_numpy(arrays["delta_z"].transpose(0, 3, 1, 2).copy()))
    found = {"z": z.detach(), "delta_a": a.grad, "nabla_w": w.grad.permute(2, 3, 1, 0), "nabla_b": b.grad}
    return {n: (x.permute(0, 2, 3, 1) if n in ("z", "delta_a") else x).numpy() for n, x in found.items()}


def check(case: dict, grain: int = 7) -> None:
    arrays = drawn(case)
    got, want = run(case, arrays, grain), by_pytorch(case, arrays)
    for name in PLACES:
        error = np.abs(got[name] - want[name]).max() / max(np.abs(want[name]).max(), 1e-300)
        assert error < 1e-11, f"{name}: {error}"


cases = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 3),
        "channels": st.integers(1, 20),
        "plane": st.tuples(st.integers(1, 12), st.integers(1, 12)),
        "filters": st.integers(1, 20),
        "filter": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "stride": st.integers(1, 4),
        "dilation": st.integers(1, 3),
        "padding": st.tuples(*[st.integers(0, 3)] * 4),
        "seed": st.integers(0, 2**32 - 1),
    }
).filter(lambda case: min(output_sizes(case)) >= 1)


grains = st.one_of(st.integers(1, 12), st.sampled_from((100, 10**6)))  # a part of a row of places, or several planes


@settings(max_examples=300, deadline=None)
@given(case=cases, grain=grains)
def test_convolution_of_any_stride_dilation_and_padding_and_its_gradients_are_those_of_pytorch(case, grain):
    check(case, grain)


def test_planes_larger_than_the_box_are_done_in_strips():
    wide = {"batch": 2, "channels": 8, "plane": (40, 900), "filters": 3, "filter": (3, 3), "stride": 1, "dilation": 1}
    assert np.prod(wide["plane"]) * wide["channels"] > BOX
    check(wide | {"padding": (1, 1, 1, 1), "seed": 1}, grain=10**6)
    check(wide | {"padding": (0, 2, 3, 1), "stride": 2, "dilation": 2, "seed": 2}, grain=10_000)


def test_one_row_of_places_larger_than_the_box_still_fits():
    tall = {"batch": 1, "channels": 80, "plane": (5, 1300), "filters": 2, "filter": (3, 2), "stride": 1, "dilation": 1}
    assert BOX < 3 * 1300 * 80
    check(tall | {"padding": (1, 1, 0, 1), "seed": 3})


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_results_have_the_same_bits_for_every_chunk_and_number_of_threads(dtype):
    case = {"batch": 3, "channels": 5, "plane": (11, 9), "filters": 19, "filter": (3, 3), "stride": 2, "dilation": 1}
    case |= {"padding": (1, 1, 1, 1), "seed": 4}
    whole = run(case, drawn(case, dtype), grain=1000)
    for grain, parallel in ((1, False), (4, False), (5, True), (17, True)):
        other = run(case, drawn(case, dtype), grain, parallel)
        for name in PLACES:
            np.testing.assert_array_equal(other[name], whole[name])


@settings(max_examples=300, deadline=None)
@given(case=cases, groups=st.integers(1, 4), grain=grains)
def test_convolution_in_groups_and_its_gradients_are_those_of_pytorch(case, groups, grain):
    random = np.random.default_rng(case["seed"])
    N, C, K, (P, Q), (U, V) = (case[name] for name in ("batch", "channels", "filters", "plane", "filter"))
    shapes = {
        "a": (N, P, Q, groups, C),
        "w": (groups, U, V, C, K),
        "b": (groups, K),
        "delta_z": (N, *output_sizes(case), groups, K),
    }
    arrays = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    arrays |= {name: np.full_like(arrays[like], np.nan) for name, like in LIKE.items()}
    got = run(case, arrays, grain, layer=GROUPED_CONVOLUTION)
    a, delta = (arrays[name].reshape(*arrays[name].shape[:3], -1) for name in ("a", "delta_z"))
    a, b = torch.from_numpy(a.transpose(0, 3, 1, 2).copy()), torch.from_numpy(arrays["b"].reshape(-1).copy())
    w = torch.from_numpy(arrays["w"].transpose(0, 4, 3, 1, 2).reshape(groups * K, C, U, V).copy())
    for x in (a, w, b):
        x.requires_grad_()
    top, bottom, left, right = case["padding"]
    padded = torch.nn.functional.pad(a, (left, right, top, bottom))
    z = torch.nn.functional.conv2d(padded, w, b, stride=case["stride"], dilation=case["dilation"], groups=groups)
    z.backward(torch.from_numpy(delta.transpose(0, 3, 1, 2).copy()))
    of_w = w.grad.numpy().reshape(groups, K, C, U, V).transpose(0, 3, 4, 2, 1)
    planes = {"z": z.detach(), "delta_a": a.grad}
    want = {name: x.permute(0, 2, 3, 1).numpy().reshape(arrays[name].shape) for name, x in planes.items()}
    want |= {"nabla_w": of_w, "nabla_b": b.grad.numpy().reshape(groups, K)}
    for name in PLACES:
        assert np.abs(got[name] - want[name]).max() < 1e-11 * max(np.abs(want[name]).max(), 1e-300), name


@settings(max_examples=300, deadline=None)
@given(case=cases, grain=st.integers(1, 12))
def test_convolution_of_each_channel_and_its_gradients_are_those_of_pytorch(case, grain):
    random = np.random.default_rng(case["seed"])
    N, C, (P, Q), (U, V) = (case[name] for name in ("batch", "filters", "plane", "filter"))
    shapes = {"a": (N, P, Q, C), "w": (U, V, C), "b": (C,), "delta_z": (N, *output_sizes(case), C)}
    arrays = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    arrays |= {name: np.full_like(arrays[like], np.nan) for name, like in LIKE.items()}
    got = run(case, arrays, grain, layer=DEPTHWISE_CONVOLUTION)
    a, delta = (torch.from_numpy(arrays[name].transpose(0, 3, 1, 2).copy()) for name in ("a", "delta_z"))
    w, b = torch.from_numpy(arrays["w"].transpose(2, 0, 1).copy()).unsqueeze(1), torch.from_numpy(arrays["b"].copy())
    for x in (a, w, b):
        x.requires_grad_()
    top, bottom, left, right = case["padding"]
    padded = torch.nn.functional.pad(a, (left, right, top, bottom))
    z = torch.nn.functional.conv2d(padded, w, b, stride=case["stride"], dilation=case["dilation"], groups=C)
    z.backward(delta)
    planes = {"z": z.detach(), "delta_a": a.grad}
    want = {name: x.permute(0, 2, 3, 1).numpy() for name, x in planes.items()}
    want |= {"nabla_w": w.grad.squeeze(1).permute(1, 2, 0).numpy(), "nabla_b": b.grad.numpy()}
    for name in PLACES:
        assert np.abs(got[name] - want[name]).max() < 1e-11 * max(np.abs(want[name]).max(), 1e-300), name
