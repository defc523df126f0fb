"""Detectors: their steps against PyTorch, the gradient of their cost against finite differences, and what they refuse."""

import math
from collections import Counter

import mpmath
import numpy as np
import pytest
from plain_yolo import Grid, assigned, cost, decoded, iou

from generated import Network, load
from generated.definition import HEADS, tensor
from generated.graph import Graph, entry_of
from generated.heads import as_truths, head_pass
from generated.program import Program, Stage

ANCHORS = [(5, 6), (10, 8), (14, 20), (24, 18)]
K = 3
HEAD = 2 * (5 + K)  # channels
SIDE = 32


def block(filters: int) -> list:
    return [("convolution", filters, 3, {"padding": 1, "bias": False}), "batch_norm", "leaky"]


def layers(**settings) -> list:
    """Two heads, as YOLOv3-tiny has them: one on planes of an eighth, one on planes of a quarter of the input."""
    pool = ("max_pooling", {"size": 2, "stride": 2})
    return [
        *[*block(4), pool, *block(6), pool, *block(8), pool, *block(8)],  # 0 to 14
        *[("convolution", HEAD, 1), ("yolo", K, {"anchors": ANCHORS, "mask": [2, 3], **settings})],  # 15, 16
        *[("route", {"layers": [-3]}), ("upsample", {"stride": 2}), ("route", {"layers": [-1, 10]})],  # 17 to 19
        *[("convolution", HEAD, 1), ("yolo", K, {"anchors": ANCHORS, "mask": [0, 1], **settings})],  # 20, 21
    ]  # fmt: skip


def detector(dtype: str = "float32", **settings) -> Network:
    return Network(layers(**settings), dtype=dtype, random_state=1, inputs=(3, SIDE, SIDE))


def grids(**settings) -> list[Grid]:
    return [Grid(n, n, SIDE, SIDE, ANCHORS, mask, K, **settings) for n, mask in ((4, [2, 3]), (8, [0, 1]))]


def data(count: int, seed: int = 0, most: int = 5) -> tuple[np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(seed)
    X = random.random((count, 3, SIDE, SIDE)).astype(np.float32)
    y = []
    for n in range(count):
        number = most - n % (most + 1)  # of the last none
        kinds = random.integers(0, K, (number, 1))
        y.append(np.hstack([kinds, random.random((number, 2)), random.uniform(0.05, 0.9, (number, 2))]))
    return X, [rows.astype(np.float32) for rows in y]


# A step against PyTorch -----------------------------------------------------------------------------------------------


def by_pytorch(network: Network, X: np.ndarray, y: list, *, learning_rate: float, momentum: float, decay: float):
    """The parameters after one step, and its loss: the layers, YOLOv3's cost and the update written in PyTorch, float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")
    F = torch.nn.functional
    own = [{k: torch.tensor(np.array(a, np.float64)).requires_grad_() for k, a in p.items()} for p in network.parameters]
    given, heads = [], []

    def read(index: int, number: int):
        return given[number if number >= 0 else index + number]

    for index, (name, _, settings) in enumerate(network.layers):
        before = given[-1] if given else torch.tensor(X, dtype=torch.float64)
        p = own[index]
        if name == "convolution":
            after = F.conv2d(before, p["w"], p.get("b"), padding=settings.get("padding", 0))
        elif name == "batch_norm":
            after = F.batch_norm(before, None, None, p["gamma"], p["beta"], training=True)
        elif name == "leaky":
            after = F.leaky_relu(before, 0.1)
        elif name == "max_pooling":
            after = F.max_pool2d(before, 2)
        elif name == "upsample":
            after = before.repeat_interleave(2, 2).repeat_interleave(2, 3)
        elif name == "route":
            after = torch.cat([read(index, number) for number in settings["layers"]], 1)
        else:
            heads.append((before, settings))
            after = None
        given.append(after)

    total = 0
    for (planes, settings), grid in zip(heads, grids(), strict=True):
        grid.ignore, grid.sure = settings["ignore_threshold"], settings["truth_threshold"]
        count, _, rows, columns = planes.shape
        z = planes.reshape(count, -1, 5 + K, rows, columns).permute(0, 3, 4, 1, 2).reshape(count, -1, 5 + K)
        for one, truths in zip(z, y, strict=True):
            boxes = [decoded(raw, place, grid) for raw, place in zip(one.tolist(), grid.places, strict=True)]
            targets = assigned(boxes, [tuple(map(float, row)) for row in truths], grid)
            of = {name: torch.tensor([getattr(t, name) for t in targets], dtype=torch.float64) for name in vars(targets[0]) if name not in ("classes", "truths")}
            classes = torch.tensor([t.classes for t in targets], dtype=torch.float64)
            entropy = F.binary_cross_entropy_with_logits
            total = total + (
                (of["scale"] * entropy(one[:, 0], of["x"], reduction="none")).sum()
                + (of["scale"] * entropy(one[:, 1], of["y"], reduction="none")).sum()
                + (of["scale"] * (of["w"] - one[:, 2]) ** 2).sum() / 2
                + (of["scale"] * (of["h"] - one[:, 3]) ** 2).sum() / 2
                + (of["weight_o"] * entropy(one[:, 4], of["o"], reduction="none")).sum()
                + (of["weight_c"][:, None] * entropy(one[:, 5:], classes, reduction="none")).sum()
            )
    loss = total / len(X)
    loss.backward()
    parameters = [{k: t.detach().clone().requires_grad_() for k, t in p.items()} for p in own]
    weights = [t for p in parameters for t in p.values() if t.ndim > 1]
    others = [t for p in parameters for t in p.values() if t.ndim == 1]
    for p, q in zip(parameters, own, strict=True):
        for name in p:
            p[name].grad = q[name].grad
    groups = [{"params": weights, "weight_decay": decay}, {"params": others}]
    torch.optim.SGD(groups, lr=learning_rate, momentum=momentum).step()
    return [{k: t.detach().numpy() for k, t in p.items()} for p in parameters], float(loss)


@pytest.mark.parametrize("settings", [{}, {"ignore_threshold": 0.2, "truth_threshold": 0.35}])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_all_weights_after_a_step_are_those_of_pytorch(dtype, tolerance, settings):
    X, y = data(4)
    network = detector(dtype, **settings)
    step = {"learning_rate": 0.01, "momentum": 0.9}
    expected, loss = by_pytorch(network, X, y, decay=0.005, **step)
    before = [{name: a.copy() for name, a in p.items()} for p in network.parameters]
    network.partial_fit(X, y, batch_size=4, shuffle=False, weight_decay=0.005, **step)
    assert network.history_["loss"][-1] == pytest.approx(loss, rel=tolerance / 10)
    for index, theirs in enumerate(expected):
        for name, values in theirs.items():
            ours = network.parameters[index][name]
            np.testing.assert_allclose(ours, values, rtol=tolerance, err_msg=f"{name} of layer {index + 1}")
            assert (ours != before[index][name]).all()


# The gradient against finite differences ------------------------------------------------------------------------------


def scene(kind: str, random: np.random.Generator, grid: Grid) -> list[tuple]:
    """Truths of one sample: none, at random, several in one cell, or with centres on the borders of cells."""
    sizes = random.uniform(0.1, 0.9, (4, 2))
    if kind == "none":
        return []
    if kind == "one cell":
        sizes[1:] = sizes[0]
        centres = (random.integers(0, 2, 2) + random.uniform(0.1, 0.9, (4, 2))) / (grid.columns, grid.rows)
    elif kind == "borders":
        centres = random.integers(0, (grid.columns + 1, grid.rows + 1), (4, 2)) / (grid.columns, grid.rows)
    else:
        centres = random.random((4, 2))
    return [(int(random.integers(0, K)), *map(float, (*c, *s))) for c, s in zip(centres, sizes, strict=True)]


def slopes(network: Network, z: np.ndarray, truths: list) -> tuple[np.ndarray, np.ndarray]:
    """(the sensitivities (N, P, 5 + K) of a head's raw numbers, the costs of the samples)."""
    (head,) = network._built().heads
    rows, columns = head.grid
    planes = np.ascontiguousarray(z.reshape(len(z), rows, columns, -1))
    delta = np.full_like(planes, np.nan)
    given = as_truths(truths, len(z), K, z.dtype)
    found = head_pass(head, planes, lambda shape: np.full(shape, np.nan), given, delta)
    Program([Stage([call]) for call in (*found.forward, *found.cost, *found.backward)], z.dtype).run()
    return delta.reshape(z.shape), found.arrays["C"]


def test_the_costs_gradient_is_that_of_finite_differences_in_high_precision():
    """Of the mean over the samples, by every raw number, with 50 digits; the assignment is data."""
    anchors = [(20, 30), (40, 30), (60, 70)]
    seen: Counter = Counter()
    for seed in range(6):
        random = np.random.default_rng(seed)
        grid = Grid(3, 2, 96, 64, anchors, [0, 2], K, ignore=0.4, sure=0.7 if seed % 2 else 1.0)
        head = {"anchors": anchors, "mask": [0, 2], "ignore_threshold": 0.4, "truth_threshold": grid.sure}
        network = Network([("yolo", K, head)], inputs=(HEAD, 2, 3), dtype="float64")
        network._built().heads[0].settings |= {"net_w": np.array([96.0]), "net_h": np.array([64.0])}
        kinds = ("none", "random", "one cell", "borders")
        truths = [scene(kind, random, grid) for kind in kinds]
        z = random.standard_normal((4, 12, 5 + K)) * (1 if seed < 4 else 8)  # saturated, too
        for n, rows in enumerate(truths):
            for p, (i, j, m) in enumerate(grid.places[: len(rows)]):  # boxes that cover a truth, as far as their cell lets
                _, x, y, w, h = rows[p]
                at = [min(max(v, 1e-3), 1 - 1e-3) for v in (x * grid.columns - i, y * grid.rows - j)]
                z[n, p, :2] = [math.log(v / (1 - v)) for v in at]
                z[n, p, 2:4] = math.log(w * 96 / anchors[m][0]), math.log(h * 64 / anchors[m][1])
        delta, costs = slopes(network, z, truths)
        with mpmath.workdps(50):
            step = mpmath.mpf(10) ** -18
            for n, rows in enumerate(truths):
                boxes = [decoded(raw, place, grid) for raw, place in zip(z[n].tolist(), grid.places, strict=True)]
                targets, total = assigned(boxes, rows, grid), mpmath.mpf(0)
                for p, target in enumerate(targets):
                    raw = [mpmath.mpf(v) for v in z[n, p].tolist()]
                    total += cost(raw, target, mpmath)
                    for e in range(5 + K):
                        ahead, behind = (
                            cost([*raw[:e], raw[e] + s, *raw[e + 1 :]], target, mpmath) for s in (step, -step)
                        )
                        slope = float((ahead - behind) / (2 * step) / len(z))
                        assert delta[n, p, e] == pytest.approx(slope, rel=1e-8, abs=1e-15), (seed, n, p, e)
                assert costs[n] == pytest.approx(float(total), rel=1e-12)
                seen["ignored"] += sum(t.weight_o == 0 for t in targets)
                seen["several"] += sum(len(set(t.truths)) > 1 for t in targets)
                seen["answer"] += sum(t.o == 1 for t in targets)
                seen["sure"] += sum(not 0 <= t.x <= 1 for t in targets)
                seen["covered"] += any(iou(box, row[1:]) > 0.7 for box in boxes for row in rows)
    assert all(seen[what] > 3 for what in ("ignored", "several", "answer", "sure", "covered")), seen


def test_costs_and_slopes_of_saturated_predictions_are_finite_and_right():
    """At +-1000 a logistic function is 0 or 1: a right target costs nothing, a wrong one what the raw number is."""
    grid = {"anchors": [(8, 8)], "ignore_threshold": 1.0}
    network = Network([("yolo", 1, grid)], inputs=(6, 1, 1), dtype="float64")
    network._built().heads[0].settings |= {"net_w": np.array([8.0]), "net_h": np.array([8.0])}
    truth = [(0, 0.5, 0.5, 1.0, 1.0)]
    for t, wrong in ((1000.0, False), (-1000.0, True)):
        z = np.array([[[0.0, 0.0, 0.0, 0.0, t, t]]])
        delta, costs = slopes(network, z, [truth])
        assert costs[0] == pytest.approx(2 * math.log(2) + (2000 if wrong else 0))
        assert delta[0, 0].tolist() == [0, 0, 0, 0, *(-1.0 if wrong else 0.0,) * 2]


# The network ----------------------------------------------------------------------------------------------------------


def test_predictions_are_boxes_objectness_and_classes_head_by_head_cell_by_cell_anchor_by_anchor():
    network = detector("float64")
    X, _ = data(2)
    found = network.predictions(X)
    assert found.shape == (2, 2 * 16 + 2 * 64, 5 + K) and found.dtype == np.float64
    begin = 0
    for index, grid in zip((16, 21), grids(), strict=True):
        given = [(name, *sizes, settings) for name, sizes, settings in network.layers[:index]]
        ahead = Network([*given[:-6], *given[-6:]] if index == 16 else [e for e in given if e[0] != "yolo"], inputs=(3, SIDE, SIDE), dtype="float64") if index == 16 else None
        if ahead is None:
            begin += len(grid.places)
            continue
        for mine, theirs in zip(ahead.parameters, network.parameters, strict=False):
            for name in mine:
                mine[name][...] = theirs[name]
        planes = ahead.outputs(X)  # (N, A (5 + K), rows, columns)
        for n in range(2):
            for p, (i, j, m) in enumerate(grid.places):
                a = grid.mask.index(m)
                raw = planes[n, a * (5 + K) : (a + 1) * (5 + K), j, i].tolist()
                rest = [1 / (1 + math.exp(-t)) for t in raw[4:]]
                np.testing.assert_allclose(found[n, begin + p], [*decoded(raw, (i, j, m), grid), *rest], rtol=1e-12)
        begin += len(grid.places)
