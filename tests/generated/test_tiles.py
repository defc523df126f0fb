"""Contractions through windows by minimal filtering, against PyTorch: every lowering forced in turn, and those chosen."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.cli import main
from generated.definition import Layer
from generated.layers import CONVOLUTION, GROUPED_CONVOLUTION
from tests.generated.one_layer import OneLayer

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

PARTS = ("z", "delta_a", "nabla_w", "nabla_b")


def drawn(case: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Input, filters, biases and sensitivities of a case, in double precision."""
    random = np.random.default_rng(seed)
    (P, Q), (U, V), (top, bottom, left, right) = case["plane"], case["taps"], case["padding"]
    N, C, K, G = case["batch"], case["channels"], case["filters"], case.get("groups", 1)
    z = (N, G * K, P + top + bottom - U + 1, Q + left + right - V + 1)
    shapes = {"a": (N, G * C, P, Q), "w": (G * K, C, U, V), "b": (G * K,), "delta_z": z}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


def expected(
    case: dict, arrays: dict[str, np.ndarray], dtype, layout: str = "contiguous_format"
) -> dict[str, np.ndarray]:
    """PyTorch's result and gradients."""
    a, w, b, delta = (torch.from_numpy(arrays[name]).to(dtype) for name in ("a", "w", "b", "delta_z"))
    top, bottom, left, right = case["padding"]
    a, w = (x.contiguous(memory_format=getattr(torch, layout)).requires_grad_() for x in (a, w))
    b.requires_grad_()
    padded = torch.nn.functional.pad(a, (left, right, top, bottom))
    z = torch.nn.functional.conv2d(padded, w, b, groups=case.get("groups", 1))
    gradients = torch.autograd.grad(z, (a, w, b), delta)
    values = (z.detach(), *gradients)
    return {name: value.double().numpy() for name, value in zip(PARTS, values, strict=True)}


def grouped(name: str, array: np.ndarray, groups: int) -> np.ndarray:
    """With the axis of channels, or of filters, as two: the groups and what is in one."""
    if groups == 1:
        return array
    axis = 1 if name in ("a", "z", "delta_a", "delta_z") else 0
    return array.reshape(*array.shape[:axis], groups, -1, *array.shape[axis + 1 :])


def ours(case: dict, arrays: dict[str, np.ndarray], dtype: str, **how) -> tuple[dict[str, np.ndarray], OneLayer]:
    """Our result and gradients, shaped as PyTorch's."""
    groups = case.get("groups", 1)
    layer = GROUPED_CONVOLUTION if groups > 1 else CONVOLUTION
    given_arrays = {name: grouped(name, arrays[name], groups) for name in ("a", "w", "b")}
    window = dict(zip(("top", "bottom", "left", "right"), case["padding"], strict=True))
    one = OneLayer(layer, given_arrays, window, dtype, **how)
    one.forward()
    one.backward(z=grouped("delta_z", arrays["delta_z"], groups))
    like = {"z": "delta_z", "delta_a": "a", "nabla_w": "w", "nabla_b": "b"}
    return {name: one.array(name).reshape(arrays[like[name]].shape).astype(np.float64) for name in PARTS}, one


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def planes(taps: tuple[int, int], few: bool) -> st.SearchStrategy:
    """Shapes; ``few`` channels among them, for which kernels of other widths are compiled."""
    low, high = min(taps), max(taps)
    return st.fixed_dictionaries(
        {
            "batch": st.integers(1, 3),
            "plane": st.tuples(st.integers(high, 15), st.integers(high, 15)),
            "taps": st.just(taps),
            "padding": st.tuples(*[st.integers(0, low)] * 4),
            "channels": st.sampled_from((3, 16) if few else (16, 20)),
            "filters": st.sampled_from((3, 73) if few else (16, 73)),
            "seed": st.integers(0, 99),
            "grain": st.integers(0, 7),
        }
    )


FORCED = [
    *[((3, 3), tile) for tile in ((2, 2), (4, 4), (6, 6), (2, 4))],
    *[((2, 2), tile) for tile in ((2, 2), (3, 3))],
    *[((5, 5), (2, 2)), ((1, 3), (1, 4)), ((3, 1), (2, 1)), ((3, 5), (4, 2))],
]


@pytest.mark.parametrize("taps, tile", FORCED, ids=str)
def test_every_lowering_gives_pytorchs_values_and_gradients_in_double_precision(taps, tile):
    @settings(max_examples=15, deadline=None)
    @given(planes(taps, few=tile == (2, 2) and taps == (3, 3)))
    def holds(case):
        arrays = drawn(case, case["seed"])
        found, one = ours(case, arrays, "float64", tile=tile, grain=case["grain"])
        assert sum(way.startswith("F(") for way in one.ways.values()) == 3
        for name, wanted in expected(case, arrays, torch.float64).items():
            assert np.abs(found[name] - wanted).max() <= 1e-11 * max(1e-3, np.abs(wanted).max()), name

    holds()


@pytest.mark.parametrize("tile", ((2, 2), (4, 4)), ids=str)
def test_filters_in_groups_are_filtered_group_by_group(tile):
    case = {
        "batch": 2,
        "plane": (9, 11),
        "taps": (3, 3),
        "padding": (1, 1, 0, 2),
        "channels": 3,
        "filters": 16,
        "groups": 3,
    }
    arrays = drawn(case)
    found, one = ours(case, arrays, "float64", tile=tile)
    assert sum(way == f"F({tile[0]}x{tile[1]}, 3x3)" for way in one.ways.values()) == 3
    for name, wanted in expected(case, arrays, torch.float64).items():
        assert np.abs(found[name] - wanted).max() <= 1e-11 * np.abs(wanted).max(), name


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_bits_do_not_depend_on_where_chunks_begin_nor_on_threads(dtype):
    case = {"batch": 3, "plane": (11, 7), "taps": (3, 3), "padding": (1, 1, 1, 1), "channels": 20, "filters": 73}
    arrays = drawn(case)
    whole, _ = ours(case, arrays, dtype, tile=(4, 2))
    for grain, threads in ((1, 1), (2, 2), (3, 1), (5, 2), (7, 2)):
        parts, _ = ours(case, arrays, dtype, tile=(4, 2), grain=grain, threads=threads)
        for name in ("z", "delta_a", "nabla_w"):
            assert (parts[name] == whole[name]).all(), (name, grain)


def shapes(count: int) -> list[dict]:
    """Drawn shapes with 3x3 filters and work enough for a choice."""
    random, found = np.random.default_rng(8), []
    for _ in range(count):
        channels, filters = (int(random.choice((8, 16, 32, 64, 128, 256))) for _ in range(2))
        plane = tuple(int(random.integers(9, 31)) for _ in range(2))
        batch = 1 + (1 << 22) // (channels * filters * 9 * plane[0] * plane[1])
        found.append(
            {
                "batch": batch,
                "plane": plane,
                "taps": (3, 3),
                "padding": (1, 1, 1, 1),
                "channels": channels,
                "filters": filters,
            }
        )
    return found


def test_rounding_errors_are_at_most_twice_pytorchs_and_twenty_times_in_a_hurry():
    most = {"default": 2.0, "fast": 20.0}
    taken, ratios = set(), {accuracy: {name: [] for name in PARTS[:3]} for accuracy in most}
    for seed, case in enumerate(shapes(30)):
        arrays = {name: a.astype(np.float32).astype(np.float64) for name, a in drawn(case, seed).items()}
        true = expected(case, arrays, torch.float64)
        theirs = [expected(case, arrays, torch.float32, layout) for layout in ("contiguous_format", "channels_last")]
        for accuracy in most:
            found, one = ours(case, arrays, "float32", accuracy=accuracy)
            taken |= {(accuracy, way) for way in one.ways.values()}
            for name in PARTS[:3]:
                error = rms(found[name] - true[name]) / min(rms(x[name] - true[name]) for x in theirs)
                ratios[accuracy][name].append(error)
    assert {("default", "F(2x2, 3x3)"), ("fast", "F(4x4, 3x3)")} <= taken
    for accuracy, by_name in ratios.items():
        for name, found in by_name.items():
            assert max(found) <= most[accuracy], (accuracy, name, sorted(found)[-5:])


LINE = '''"""Correlation of sequences: channels last."""

from derive.notation import Sum, indices, system, tensors

n, o, c, p, u, i = indices("n o c p u i")
a, w, b, z = tensors("a w b z")

with system("sequence", inputs=[a[n, p, c]], parameters=[w[o, u, c], b[o]], outputs=[z[n, i, o]]) as sequence:
    sequence.z[n, i, o] = Sum(w[o, u, c] * a[n, i + u - 1, c], u, c) + b[o]
'''


PLANES = '''"""Correlation of planes, {order}."""

from derive.notation import Sum, indices, system, tensors

n, o, c, p, q, u, v, i, j = indices("n o c p q u v i j")
a, w, b, z = tensors("a w b z")

with system("planes", inputs=[a[{a}]], parameters=[w[{w}], b[o]], outputs=[z[{z}]]) as planes:
    planes.z[{z}] = Sum(w[{w}] * a[{read}], u, v, c) + b[o]
'''
ORDERS = {
    "channels_first": {"a": "n, c, p, q", "w": "o, c, u, v", "z": "n, o, i, j", "read": "n, c, i + u - 1, j + v - 1"},
    "channels_last": {"a": "n, p, q, c", "w": "o, u, v, c", "z": "n, i, j, o", "read": "n, i + u - 1, j + v - 1, c"},
}


def own(folder: Path, package: str, name: str, text: str) -> Layer:
    """A layer of a user's own, from the text of its definition."""
    (folder / f"{package}_forward.py").write_text(text)
    assert main(["generate", str(folder / f"{package}_forward.py"), "--output", str(folder / package)]) == 0
    sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(package), name)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> Layer:
    """A layer of a user's own, with windows along one axis."""
    return own(tmp_path_factory.mktemp("line"), "line", "SEQUENCE", LINE)


@pytest.mark.parametrize(
    "order, tile", [("channels_first", ()), ("channels_first", (2, 2)), ("channels_last", ())], ids=str
)
def test_a_contraction_of_a_users_own_over_planes_is_right_in_whatever_order_its_axes_are(tmp_path, order, tile):
    layer = own(tmp_path, order, "PLANES", PLANES.format(order=order, **ORDERS[order]))
    case = {"batch": 2, "plane": (9, 11), "taps": (3, 3), "padding": (1, 1, 1, 1), "channels": 3, "filters": 16}
    arrays = drawn(case)

    def moved(x: np.ndarray, back: bool = False) -> np.ndarray:
        if order == "channels_first" or x.ndim < 4:
            return x
        return np.moveaxis(x, -1, 1) if back else np.moveaxis(x, 1, -1)

    one = OneLayer(
        layer, {name: moved(arrays[name]) for name in ("a", "w", "b")} | {"z": moved(arrays["delta_z"])}, tile=tile
    )
    one.forward()
    one.backward(z=moved(arrays["delta_z"]))
    assert sum(way.startswith("F(") for way in one.ways.values()) == (3 if tile else 0)
    for name, wanted in expected(case, arrays, torch.float64).items():
        assert np.abs(moved(one.array(name), back=True) - wanted).max() < 1e-12, name


@pytest.mark.parametrize("tile", ((), (2, 1), (4, 1), (6, 1)), ids=str)
def test_a_contraction_of_a_users_own_along_one_axis_is_filtered_too(sequence, tile):
    random = np.random.default_rng(0)
    a, w, b = random.standard_normal((2, 13, 3)), random.standard_normal((16, 3, 3)), random.standard_normal(16)
    z = np.zeros((2, 13, 16))
    one = OneLayer(sequence, {"a": a, "w": w, "b": b, "z": z}, tile=tile)
    delta = random.standard_normal(z.shape)
    x, f, g = (torch.from_numpy(v).requires_grad_() for v in (a, w, b))
    y = torch.nn.functional.conv1d(x.transpose(1, 2), f.transpose(1, 2), g, padding=1).transpose(1, 2)
    wanted = dict(
        zip(("delta_a", "nabla_w", "nabla_b"), torch.autograd.grad(y, (x, f, g), torch.from_numpy(delta)), strict=True)
    )
    assert np.abs(one.forward() - y.detach().numpy()).max() < 1e-13
    one.backward(z=delta)
    assert sum(way == (f"F({tile[0]}, 3)" if tile else "direct") for way in one.ways.values()) == 3
    for name, value in wanted.items():
        assert np.abs(one.array(name) - value.numpy()).max() < 1e-12, name
