"""Convolution, pooling, batch normalisation, YOLOv3 and the updates: PyTorch's values and gradients, the books' formulas."""

from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import Arithmetic, array_of, components, evaluate

from derive.calculus.adjoint import bar_name
from derive.calculus.derivation import Derivation, compose, derive
from derive.calculus.equation import Equation, size_of, tensor
from derive.calculus.system import DefinitionError, System
from derive.cli import main
from derive.forward.average_pooling import average_pooling
from derive.forward.batch_norm import batch_norm
from derive.forward.convolution import convolution, dilation, stride
from derive.forward.gradient_descent import gradient_descent
from derive.forward.max_pooling import U, V, max_pooling
from derive.forward.momentum import heavy_ball
from derive.forward.objective import objective
from derive.forward.weight_decay import penalty
from derive.forward.yolo import yolo
from derive.forward.yolo_cost import yolo_cost
from derive.generate import HEADS, check_definition, generate, installed_package, own_systems
from derive.notation import MaxOver, Sum, indices, system, tensors

torch = pytest.importorskip("torch")
F = torch.nn.functional

LIMIT = 1e-11  # the largest error, relative to the largest component
NEW = ("convolution", "max_pooling", "average_pooling", "batch_norm", "yolo", "yolo_cost", "yolo+yolo_cost")
SIDES = ("top", "bottom", "left", "right")
AXES = (("top", "bottom"), ("left", "right"))
NO_BORDER = {s: 0 for s in convolution.settings if s.name in SIDES}
derived = cache(lambda name: derive(SYSTEMS[name], objective if SYSTEMS[name].kind == "cost" else None))
SYSTEMS: dict[str, System] = {
    **{s.name: s for s in (convolution, max_pooling, average_pooling, batch_norm, yolo, yolo_cost)},
    "plain convolution": convolution.specialised({stride: 1, dilation: 1, **NO_BORDER}),
    "windows side by side": max_pooling.specialised({V: U, stride: U, **NO_BORDER}),
    "averages side by side": average_pooling.specialised({V: U, stride: U, **NO_BORDER}),
    "yolo+yolo_cost": compose(yolo, yolo_cost),
}


def stages(derivation: Derivation) -> list[tuple[list[Equation], list[Equation]]]:
    """(forward, backward) equations as derived, in closed form and in stable form, without repetition."""
    found = {
        str(pair): pair
        for pair in (
            (derivation.defined, derivation.adjoints),
            (derivation.defined, derivation.closed),
            (derivation.forward, derivation.backward),
        )
    }
    return list(found.values())


def compare(name: str, values: dict, sizes: dict[str, int], peer: Callable, scalars: dict | None = None) -> None:
    """Outputs and gradients of every stage against PyTorch's, by its own operations, for random sensitivities."""
    derivation, s = derived(name), SYSTEMS[name]
    wanted = [x.base.name for x in (*s.inputs, *s.parameters)]
    leaves = {k: torch.tensor(v, dtype=torch.float64, requires_grad=k in wanted) for k, v in values.items()}
    outputs = peer(**leaves)
    random = np.random.default_rng(0)
    seeds = {k: torch.tensor(random.standard_normal(out.shape)) for k, out in outputs.items()}
    if s.kind == "cost":  # of the mean over the samples
        seeds = {k: torch.full_like(out, 1 / len(out)) for k, out in outputs.items()}
    total = sum((outputs[k] * seed).sum() for k, seed in seeds.items())
    slopes = torch.autograd.grad(total, [leaves[k] for k in wanted], allow_unused=True)
    parameters = {x.base.name for x in s.parameters}
    want = dict(outputs)
    for k, slope in zip(wanted, slopes, strict=True):
        want[bar_name(k, parameters)] = torch.zeros_like(leaves[k]) if slope is None else slope
    given_bars = {} if s.kind == "cost" else {f"delta_{k}": components(seed.numpy()) for k, seed in seeds.items()}
    for forward, backward in stages(derivation):
        known = {k: components(v) for k, v in values.items()} | given_bars
        found = evaluate([*forward, *backward], known, sizes, settings=scalars)
        for k, theirs in want.items():
            assert_close(array_of(found[k], theirs.shape), theirs.detach().numpy(), f"{name}: {k}")


def assert_close(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    error = np.abs(ours - theirs).max()
    assert error <= LIMIT * np.abs(theirs).max(), f"{what}: {error}"


# Convolution and pooling ----------------------------------------------------------------------------------------------


@st.composite
def planes(draw, covered: bool = False):
    """Sizes, settings among them, of windows over small planes: one output at least; ``covered``: no window of padding alone."""
    sizes = {k: draw(st.integers(1, 2)) for k in "NCO"}
    sizes |= {k: draw(st.integers(1, 3)) for k in "UV"} | {k: draw(st.integers(1, 5)) for k in "PQ"}
    sizes |= {side: draw(st.integers(0, 2)) for side in SIDES}
    sizes |= {"stride": draw(st.integers(1, 3)), "dilation": 1 if covered else draw(st.integers(1, 2))}
    if covered:
        sizes |= {side: min(sizes[side], sizes[part] - 1) for part, two in zip("UV", AXES, strict=True) for side in two}
    return sizes


def with_outputs(s: System, sizes: dict[str, int]) -> dict[str, int]:
    """The sizes with those of the outputs, as many as there are whole windows."""
    values = {symbol: sizes[symbol.name] for of in s.sizes.values() for symbol in of.free_symbols}
    outputs = {size.name: int(of.xreplace(values)) for size, of in s.sizes.items()}
    assume(min(outputs.values()) >= 1)
    return {**sizes, **outputs}


def reals(sizes: dict[str, int], *shapes: str) -> list[np.ndarray]:
    random = np.random.default_rng(sum(sizes.values()))
    return [random.standard_normal([sizes[k] for k in shape]) for shape in shapes]


def check_convolution(name: str, sizes: dict[str, int]) -> None:
    sizes = with_outputs(convolution, sizes)
    a, w, b = reals(sizes, "NCPQ", "OCUV", "O")

    def peer(a, w, b):
        bordered = F.pad(a, [sizes[side] for side in ("left", "right", "top", "bottom")])
        return {"z": F.conv2d(bordered, w, b, sizes["stride"], dilation=sizes["dilation"])}

    compare(name, {"a": a, "w": w, "b": b}, sizes, peer)


@given(planes())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_convolution_of_any_stride_dilation_and_padding_is_that_of_pytorch(sizes):
    check_convolution("convolution", sizes)


@given(planes())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_convolution_with_stride_one_and_no_padding_put_in_is_that_of_pytorch(sizes):
    check_convolution("plain convolution", {**sizes, "stride": 1, "dilation": 1, **dict.fromkeys(SIDES, 0)})


def test_of_convolution_with_stride_one_the_input_receives_the_full_convolution_with_the_turned_filter():
    n, c, p, q, o, i, j = indices("n c p q o i j")
    delta_z, w = tensors("delta_z w")
    found = {e.name: e.expression() for e in derived("plain convolution").closed}["delta_a"]
    assert found.function == delta_z[n, o, i, j] * w[o, c, p - i, q - j]
    bounds = {k: (low, high) for k, low, high in found.limits}
    assert bounds[i] == (sp.Max(0, p - U + 1), sp.Min(p, size_of(i) - 1))
    assert bounds[o] == (0, size_of(o) - 1)


def pooled(sizes: dict[str, int], pool: Callable, beyond: float) -> Callable:
    """PyTorch's pooling of a plane with a border put on, as wide as the last window needs it."""
    top, left, step = sizes["top"], sizes["left"], sizes["stride"]

    def peer(a):
        below, right = (
            max(0, (sizes[out] - 1) * step + sizes[part] - before - sizes[whole])
            for (out, whole, part), before in (("IPU", top), ("JQV", left))
        )
        padded = F.pad(a, (left, right, top, below), value=beyond)
        return {"z": pool(padded, (sizes["U"], sizes["V"]), step)[:, :, : sizes["I"], : sizes["J"]]}

    return peer


@given(planes(), st.integers(0, 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_average_pooling_is_that_of_pytorch(sizes, more):
    sizes = with_outputs(average_pooling, sizes)
    sizes = {**sizes, "I": sizes["I"] + more}  # a last window over the border
    compare("average_pooling", {"a": reals(sizes, "NCPQ")[0]}, sizes, pooled(sizes, F.avg_pool2d, 0))


@given(planes(covered=True), st.integers(1, 9), st.integers(0, 1))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_max_pooling_is_that_of_pytorch_ties_and_padding_included(sizes, levels, more):
    """Of few levels, many are equal; all are below 0, so that padding must not be taken for a value."""
    sizes = with_outputs(max_pooling, sizes)
    if (sizes["I"] * sizes["stride"] - sizes["top"]) < sizes["P"]:
        sizes = {**sizes, "I": sizes["I"] + more}  # a last window over the border, of which one row is inside
    a = np.random.default_rng(levels).integers(-levels, 0, [sizes[k] for k in "NCPQ"]).astype(float)
    compare("max_pooling", {"a": a}, sizes, pooled(sizes, F.max_pool2d, -np.inf))


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_windows_side_by_side_are_those_of_pytorch(samples, window, I, J, levels):  # noqa: E741
    sizes = {"N": samples, "C": 2, "U": window, "I": I, "J": J, "P": I * window, "Q": J * window}
    all_settings = {**sizes, "V": window, "stride": window, **dict.fromkeys(SIDES, 0)}
    a = np.random.default_rng(window).integers(-levels, levels, [sizes[k] for k in "NCPQ"]).astype(float)
    compare("windows side by side", {"a": a}, sizes, pooled(all_settings, F.max_pool2d, -np.inf))
    compare("averages side by side", {"a": a}, sizes, pooled(all_settings, F.avg_pool2d, 0))


def test_overlapping_windows_all_send_back_to_the_unit_that_wins_them():
    """One peak in the middle of 3 x 3 wins all four windows of 2 x 2; among equals each window's own first unit wins."""
    sizes = {"N": 1, "C": 1, "P": 3, "Q": 3, "U": 2, "V": 2, "I": 2, "J": 2, "stride": 1, **dict.fromkeys(SIDES, 0)}
    delta = np.arange(1.0, 5).reshape(1, 1, 2, 2)
    for a, want in (
        ([[0, 0, 0], [0, 9, 0], [0, 0, 0]], [[0, 0, 0], [0, 10, 0], [0, 0, 0]]),
        ([[5, 5, 5], [5, 5, 5], [5, 5, 5]], [[1, 2, 0], [3, 4, 0], [0, 0, 0]]),
        ([[0, 7, 0], [7, 0, 0], [0, 0, 7]], [[0, 3, 0], [3, 0, 0], [0, 0, 4]]),
    ):
        known = {"a": components(np.array([[a]], float)), "delta_z": components(delta)}
        found = evaluate([*derived("max_pooling").defined, *derived("max_pooling").closed], known, sizes)
        assert array_of(found["delta_a"], (1, 1, 3, 3)).tolist() == [[want]]


def test_a_maximum_with_where_is_over_no_other_places_and_its_relations_must_be_of_known_indices():
    n, k, r = indices("n k r")
    x, y = tensors("x y")
    with system("tail", inputs=[x[n, k]], outputs=[y[n]]) as tail:
        tail.y[n] = 1 + MaxOver(x[n, k], k, where=[k > 1])
    values = {"x": components(np.array([[9.0, 8, 1, 2], [0, 0, 0, -1]]))}
    found = evaluate(tail.equations, values, {"N": 2, "K": 4})
    assert array_of(found["y"], (2,)).tolist() == [3, 1]
    loose = "index r is neither on the left side nor summed"
    with pytest.raises(DefinitionError, match=loose), system("loose", inputs=[x[n, k]], outputs=[y[n]]) as bad:
        bad.y[n] = MaxOver(x[n, k], k, where=[k > r])


def test_only_a_setting_can_be_specialised():
    assert convolution.specialised({stride: 2}).settings == {dilation: 1, **NO_BORDER}
    with pytest.raises(DefinitionError, match="U is no setting; its settings are stride, dilation, top, bottom, left"):
        convolution.specialised({U: 2})


def test_sizes_that_follow_are_those_of_the_outputs_from_what_is_known():
    P, I, J = (size_of(i) for i in indices("p i j"))  # noqa: E741
    assert max_pooling.specialised({U: 3, V: 3, stride: 2, **NO_BORDER}).sizes[I] == (P - 3) // 2 + 1
    a, z, n, p, i = *tensors("a z"), *indices("n p i")
    for sizes, said in (
        ({J: P}, "J is neither the size of an index that no input has nor a setting"),
        ({I: P + J}, "I needs J, which is no size of an input and no setting"),
        ({I: sp.sqrt(P)}, r"I = sqrt\(P\) must be of whole numbers"),
        ({I: P / 2}, "must be of whole numbers"),
    ):
        with (
            pytest.raises(DefinitionError, match=said),
            system("s", inputs=[a[n, p]], outputs=[z[n, i]], sizes=sizes) as s,
        ):
            s.z[n, i] = a[n, i]


# Batch normalisation --------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 3), st.sampled_from([1e-3, 0.1, 1.0]), st.integers(0, 99))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_batch_norm_is_that_of_pytorch_also_of_a_single_sample(samples, features, epsilon, seed):
    random = np.random.default_rng(seed)
    values = {"z": random.standard_normal((samples, features)) * 3 + 1}
    values |= {k: random.standard_normal(features) for k in ("gamma", "beta", "mean", "variance")}

    def peer(z, gamma, beta, mean, variance):
        if len(z) > 1:
            return {"y": F.batch_norm(z, None, None, gamma, beta, training=True, eps=epsilon)}
        return {"y": gamma * (z - z.mean(0)) / torch.sqrt(z.var(0, correction=0) + epsilon) + beta}  # PyTorch has none

    compare("batch_norm", values, {"M": samples, "C": features}, peer, {"epsilon": epsilon, "momentum": 0.1})


def test_the_gradient_of_batch_norm_is_the_textbooks_for_every_size_of_the_batch():
    """Of Ioffe & Szegedy's six gradients, and of delta_z in one line as books and programs have it."""
    m, c = indices("m c")
    z, mu, var, z_hat, gamma = tensors("z mu var z_hat gamma")
    delta_y, delta_z_hat, delta_mu, delta_var = tensors("delta_y delta_z_hat delta_mu delta_var")
    M, spread = size_of(m), var[c] + next(iter(batch_norm.settings))
    assert batch_norm.settings == {sp.Symbol("epsilon", real=True): 1e-5, sp.Symbol("momentum", real=True): 0.1}

    raw = {e.name: e.expression() for e in derived("batch_norm").adjoints}
    book = {
        "delta_z_hat": delta_y[m, c] * gamma[c],
        "delta_var": Sum(delta_z_hat[m, c] * (z[m, c] - mu[c]) * sp.Rational(-1, 2) * spread ** sp.Rational(-3, 2), m),
        "delta_mu": Sum(-delta_z_hat[m, c] / sp.sqrt(spread), m) + delta_var[c] * Sum(-2 * (z[m, c] - mu[c]), m) / M,
        "delta_z": delta_z_hat[m, c] / sp.sqrt(spread) + delta_var[c] * 2 * (z[m, c] - mu[c]) / M + delta_mu[c] / M,
        "nabla_gamma": Sum(delta_y[m, c] * z_hat[m, c], m),
        "nabla_beta": Sum(delta_y[m, c], m),
    }
    assert raw.keys() == book.keys()
    for name, expected in book.items():
        assert same_sums(raw[name], expected), name

    closed = {e.name: e.expression() for e in derived("batch_norm").closed}
    sums = {tensor(name)[c]: e for name, e in closed.items() if name not in book}
    found = closed["delta_z"].xreplace(sums)
    total, weighed = Sum(delta_y[m, c], m), Sum(delta_y[m, c] * z_hat[m, c], m)
    one_line = gamma[c] / (M * sp.sqrt(spread)) * (M * delta_y[m, c] - total - z_hat[m, c] * weighed)
    assert same_sums(found, one_line)
    assert found.has(sp.Sum) and not found.has(z)  # from z_hat alone: z need not be kept


def same_sums(found: sp.Expr, expected: sp.Expr) -> bool:
    """Whether the difference is zero once every sum over a sample has one name for its index and no constant factor."""

    def plain(s: sp.Sum) -> sp.Expr:
        k, low, high = s.limits[0]
        own = sp.Symbol("k", integer=True)
        addends = sp.Add.make_args(sp.expand(s.function.xreplace({k: own})))
        split = [a.as_independent(own, as_Add=False) for a in addends]
        return sp.Add(*(c * sp.Sum(body, (own, low, high)) for c, body in split))

    return sp.simplify(sp.expand((found - expected).replace(lambda e: isinstance(e, sp.Sum), plain))) == 0


# YOLOv3 ---------------------------------------------------------------------------------------------------------------

RAW = ("t_x", "t_y", "t_w", "t_h", "t_o", "t_c")
GRID = {"lw": 13.0, "lh": 9.0, "net_w": 416.0, "net_h": 288.0}


def predictions(sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Raw values; soft and hard targets, of which some do not count; cells and anchors."""
    random = np.random.default_rng(seed)
    shape = (sizes["N"], sizes["P"])
    of = {k: (*shape, sizes["K"]) if k == "c" else shape for k in "xywhoc"}
    values = {f"t_{k}": 2 * random.standard_normal(of[k]) for k in of}
    values |= {f"{k}_true": random.random(of[k]) for k in "xy"} | {f"{k}_true": random.normal(size=of[k]) for k in "wh"}
    values |= {f"{k}_true": random.integers(0, 2, of[k]).astype(float) for k in "oc"}  # several classes, or none
    values |= {"scale": random.integers(0, 2, shape) * (2 - random.random(shape))}
    values |= {k: random.integers(0, 2, shape).astype(float) for k in ("weight_o", "weight_c")}
    values |= {k: random.integers(0, 9, sizes["P"]).astype(float) for k in ("column", "row")}
    return values | {k: random.uniform(10, 300, sizes["P"]) for k in ("anchor_w", "anchor_h")}


def given_to(name: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    s = SYSTEMS[name]
    return {x.base.name: values[x.base.name] for x in (*s.inputs, *s.targets, *s.constants)}


def outputs_of(t_x, t_y, t_w, t_h, t_o, t_c, column, row, anchor_w, anchor_h) -> dict:
    x, y, o, c = map(torch.sigmoid, (t_x, t_y, t_o, t_c))
    box = {"b_x": (column + x) / GRID["lw"], "b_y": (row + y) / GRID["lh"]}
    box |= {"b_w": anchor_w * t_w.exp() / GRID["net_w"], "b_h": anchor_h * t_h.exp() / GRID["net_h"]}
    return {**box, "x": x, "y": y, "w": t_w * 1, "h": t_h * 1, "o": o, "c": c}


def cost_of(outputs: dict, data: dict) -> dict:
    """C[n] by PyTorch's own costs."""

    def total(kind: Callable, name: str, weight: str) -> torch.Tensor:
        each = kind(outputs[name], data[f"{name}_true"], reduction="none")
        return (each * data[weight].reshape(*data[weight].shape, *[1] * (each.ndim - 2))).flatten(1).sum(1)

    entropy, square = F.binary_cross_entropy, F.mse_loss
    box = total(entropy, "x", "scale") + total(entropy, "y", "scale")
    box = box + total(square, "w", "scale") / 2 + total(square, "h", "scale") / 2
    return {"C": box + total(entropy, "o", "weight_o") + total(entropy, "c", "weight_c")}


sizes_of_yolo = st.fixed_dictionaries({"N": st.integers(1, 3), "P": st.integers(1, 4), "K": st.integers(1, 3)})


@given(sizes_of_yolo, st.integers(0, 99))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_yolos_outputs_and_boxes_are_differentiated_as_by_pytorch(sizes, seed):
    compare("yolo", given_to("yolo", predictions(sizes, seed)), sizes, outputs_of, GRID)


@given(sizes_of_yolo, st.integers(0, 99))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_yolos_cost_is_differentiated_as_by_pytorch(sizes, seed):
    values = predictions(sizes, seed)
    for k in "xyoc":
        values[k] = 1 / (1 + np.exp(-values[f"t_{k}"]))
    values |= {k: values[f"t_{k}"] for k in "wh"}
    compare("yolo_cost", given_to("yolo_cost", values), sizes, lambda **all_: cost_of(all_, all_))


@given(sizes_of_yolo, st.integers(0, 99))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_yolo_with_its_cost_is_differentiated_as_by_pytorch(sizes, seed):
    def peer(**all_):
        known = {k: all_[k] for k in (*RAW, "column", "row", "anchor_w", "anchor_h")}
        return cost_of(outputs_of(**known), all_)

    compare("yolo+yolo_cost", given_to("yolo+yolo_cost", predictions(sizes, seed)), sizes, peer, GRID)


def test_the_negative_slope_of_yolos_cost_is_weight_times_target_minus_output():
    """By every raw value, in closed form and exactly, the cost of all samples added up: Darknet's `delta`."""
    n, p, k = indices("n p k")
    found = {e.name: e for e in derived("yolo+yolo_cost").closed}
    assert found.keys() == {f"delta_{name}" for name in RAW}
    weights = dict.fromkeys("xywh", "scale") | {"o": "weight_o", "c": "weight_c"}
    for name, weight in weights.items():
        at = (n, p, k) if name == "c" else (n, p)
        slope = found[f"delta_t_{name}"].expression() * size_of(n)
        delta = tensor(weight)[n, p] * (tensor(f"{name}_true")[at] - tensor(name)[at])
        assert sp.expand(-slope - delta) == 0, name


def test_constants_have_no_gradient():
    names = {e.name for e in derived("yolo").adjoints}
    assert names >= {f"delta_{name}" for name in RAW}
    assert not names & {f"delta_{x.base.name}" for x in yolo.constants}


@pytest.mark.parametrize("output", [0.0, 1.0])
def test_of_saturated_outputs_a_right_target_costs_nothing_and_a_weight_of_zero_takes_all_with_it(output):
    """The stable form of the cost by itself, where cross-entropy is 0 * log 0 and has a pole."""
    sizes = {"N": 1, "P": 2, "K": 1}
    values = {k: np.full((1, 2, 1) if k == "c" else (1, 2), output) for k in "xywhoc"}
    values |= {f"{k}_true": v.copy() for k, v in values.items()}
    for k in "xyoc":
        values[f"{k}_true"][0, 1] = 1 - output  # wrong, and of weight 0
    values |= {k: np.array([[1.0, 0.0]]) for k in ("scale", "weight_o", "weight_c")}
    leaves = {k: components(torch.tensor(v)) for k, v in values.items()}
    arithmetic = Arithmetic(torch, lambda x: torch.tensor(float(x), dtype=torch.float64))
    derivation = derived("yolo_cost")
    found = evaluate([*derivation.forward, *derivation.backward], leaves, sizes, arithmetic)
    assert float(found["C"][0,]) == 0
    for k in "xywhoc":
        slopes = array_of(found[f"delta_{k}"], values[k].shape)
        assert np.isfinite(slopes).all() and not slopes[0, 1].any()
        assert np.abs(slopes).max() <= 1  # at most the pole's far side, 1 / N


# Updates --------------------------------------------------------------------------------------------------------------


def test_updates_are_the_recurrences_that_books_have():
    i = indices("i")
    w, v, nabla = tensors("w v nabla")
    rate, momentum = sp.symbols("learning_rate momentum", real=True)
    plain = {e.name: e.expression() for e in gradient_descent.equations}
    heavy = {e.name: e.expression() for e in heavy_ball.equations}
    assert plain["w_new"] == w[i] - rate * nabla[i]
    assert heavy["v_new"] == momentum * v[i] - rate * nabla[i]
    assert heavy["w_new"] == w[i] + tensor("v_new")[i]


def test_the_step_against_the_penaltys_gradient_shrinks_the_weights_by_rate_times_decay():
    i = indices("i")
    w, nabla = tensors("w nabla")
    rate, decay = sp.symbols("learning_rate weight_decay", real=True)
    (gradient,) = derive(penalty).closed
    slope = gradient.expression().xreplace({tensor("delta_R")[0]: sp.Integer(1)})
    assert slope == decay * w[i]
    (step,) = gradient_descent.equations
    assert sp.expand(step.expression().xreplace({nabla[i]: slope}) - (1 - rate * decay) * w[i]) == 0


def test_many_steps_with_momentum_and_decay_are_those_of_pytorch():
    random = np.random.default_rng(0)
    w, target = random.standard_normal((2, 5))
    rate, momentum, decay = 0.1, 0.9, 0.05
    leaf = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=rate, momentum=momentum, weight_decay=decay)
    v = np.zeros(5)
    scalars = {"learning_rate": rate, "momentum": momentum, "weight_decay": decay}
    sizes = {"I": 5}
    for _ in range(20):
        optimizer.zero_grad()
        (((leaf - torch.tensor(target)) ** 2).sum() / 2).backward()
        optimizer.step()
        known = {"w": components(w), "delta_R": {(0,): 1.0}}
        added = evaluate(derive(penalty).closed, known, sizes, settings=scalars)["nabla_w"]
        known = {"w": components(w), "v": components(v), "nabla": components(w - target + array_of(added, (5,)))}
        found = evaluate(heavy_ball.equations, known, sizes, settings=scalars)
        w, v = array_of(found["w_new"], (5,)), array_of(found["v_new"], (5,))
    assert_close(w, leaf.detach().numpy(), "w after 20 steps")


# The commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("form", ["text", "latex", "html"])
def test_the_derivation_is_shown(capsys, name, form):
    assert main(["show", name, "--format", form]) == 0
    out, err = capsys.readouterr()
    assert not err and "Forward equations" in out and "Chain rule" in out
    if form == "html":
        page = HTMLParser()
        page.feed(out)
        assert out.count("<math") == out.count("</math>") > 0 and "<merror" not in out


def test_sums_over_part_of_an_index_are_shown_with_their_bounds(capsys):
    assert main(["show", "average_pooling", "--format", "latex"]) == 0
    out, _ = capsys.readouterr()
    assert r"\sum_{i = \max\left(0, " in out and r"\left\lfloor{\frac{p + " in out
    assert main(["show", "max_pooling", "--format", "latex"]) == 0
    out, _ = capsys.readouterr()
    assert r"= z^{\mathrm{at\_u}}_{n, c, i, j}\right]" in out


def test_every_definition_has_kernels_of_its_own_or_in_a_head():
    written = {p.stem for p in installed_package().rglob("*.py")}
    own = {name for name, s in own_systems().items() if s.kind in ("layer", "cost", "rule")} & written
    in_heads = {part for parts in HEADS.values() for part in parts}
    assert set(HEADS) <= written
    assert set(own_systems()) == own | in_heads | {"weight_decay"}  # the penalty is in the rules


def test_a_users_definition_may_not_have_the_name_of_a_heads_part(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from derive.notation import indices, system, tensors\n"
        'n, j = indices("n j")\nz, a = tensors("z a")\n'
        'with system("yolo", inputs=[z[n, j]], outputs=[a[n, j]]) as s:\n    s.a[n, j] = z[n, j] ** 3\n'
    )
    with pytest.raises(DefinitionError, match="there is a definition named 'yolo' already"):
        generate([tmp_path / "mine.py"], tmp_path / "out")


def test_what_no_kernel_is_made_of_is_refused():
    with pytest.raises(DefinitionError, match=r"column.* is a constant"):
        check_definition(yolo)
