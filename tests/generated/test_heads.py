"""Detectors: their steps against PyTorch, the gradient of their cost against finite differences, and what they refuse."""

import math
from collections import Counter

import mpmath
import numba
import numpy as np
import pytest
from plain_yolo import Grid, assigned, cost, decoded, iou

from generated import Network, load
from generated.definition import HEADS, tensor
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
    ]


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
    own = [
        {k: torch.tensor(np.array(a, np.float64)).requires_grad_() for k, a in p.items()} for p in network.parameters
    ]
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
            names = ("x", "y", "w", "h", "o", "scale", "weight_o", "weight_c", "classes")
            of = {k: torch.tensor([getattr(t, k) for t in targets], dtype=torch.float64) for k in names}
            entropy = F.binary_cross_entropy_with_logits
            total = total + (
                (of["scale"] * entropy(one[:, 0], of["x"], reduction="none")).sum()
                + (of["scale"] * entropy(one[:, 1], of["y"], reduction="none")).sum()
                + (of["scale"] * (of["w"] - one[:, 2]) ** 2).sum() / 2
                + (of["scale"] * (of["h"] - one[:, 3]) ** 2).sum() / 2
                + (of["weight_o"] * entropy(one[:, 4], of["o"], reduction="none")).sum()
                + (of["weight_c"][:, None] * entropy(one[:, 5:], of["classes"], reduction="none")).sum()
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
    return [{k: t.detach().numpy() for k, t in p.items()} for p in parameters], loss.item()


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
            # With thresholds one weight cancels to 1/5000 of its layer's largest: there the bound is 1/100 of that one's.
            least = tolerance * abs(values).max() / 100 if settings else 0
            np.testing.assert_allclose(ours, values, tolerance, least, err_msg=f"{name} of layer {index + 1}")
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
        grid = Grid(3, 2, 96, 64, anchors, [0, 2], K, ignore=0.4, sure=0.5 if seed % 2 else 1.0)
        head = {"anchors": anchors, "mask": [0, 2], "ignore_threshold": 0.4, "truth_threshold": grid.sure}
        network = Network([("yolo", K, head)], inputs=(HEAD, 2, 3), dtype="float64")
        network._built().heads[0].settings |= {"net_w": np.array([96.0]), "net_h": np.array([64.0])}
        kinds = ("none", "random", "one cell", "borders")
        truths = [scene(kind, random, grid) for kind in kinds]
        z = random.standard_normal((4, 12, 5 + K)) * (1 if seed < 4 else 8)  # saturated, too
        for n, rows in enumerate(truths):
            for p, (i, j, m) in enumerate(
                grid.places[: len(rows)]
            ):  # boxes that cover a truth, as far as their cell lets
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
    network, (X, _) = detector("float64"), data(2)
    found, begin = network.predictions(X), 0
    assert found.shape == (2, 2 * 16 + 2 * 64, 5 + K) and found.dtype == np.float64
    assert np.array_equal(found, network.outputs(X)) and np.array_equal(found, network.predict(X))
    first = layers()[:16]  # up to what the first head reads; and up to what the second does, without the first
    second = [*first, ("route", {"layers": [14]}), *layers()[18:21]]
    for ahead, own, grid in zip((first, second), ([*range(16)], [*range(16), *range(17, 21)]), grids(), strict=True):
        planes_of = Network(ahead, inputs=(3, SIDE, SIDE), dtype="float64")
        for mine, number in zip(planes_of.parameters, own, strict=True):
            for name, array in mine.items():
                array[...] = network.parameters[number][name]
        planes = planes_of.outputs(X)  # (N, A (5 + K), rows, columns)
        for n, p in ((0, 0), (0, 5), (1, 17), (1, len(grid.places) - 1)):
            i, j, m = grid.places[p]
            a = grid.mask.index(m)
            raw = planes[n, a * (5 + K) : (a + 1) * (5 + K), j, i].tolist()
            rest = [1 / (1 + math.exp(-t)) for t in raw[4:]]
            np.testing.assert_allclose(found[n, begin + p], [*decoded(raw, (i, j, m), grid), *rest], rtol=1e-12)
        begin += len(grid.places)


def test_a_detector_learns_and_goes_on_from_its_file_to_the_bit(tmp_path):
    (X, y), settings = data(5), {"batch_size": 2, "learning_rate": 0.005, "momentum": 0.9, "weight_decay": 0.001}
    network = detector().fit(X, y, epochs=12, validation_data=(X[:2], y[:2]), **settings)
    history = network.history_
    assert history["loss"][-1] < 0.3 * history["loss"][0] and set(history) == {"loss", "seconds", "validation_loss"}
    assert history["validation_loss"][-1] == pytest.approx(network.loss(X[:2], y[:2]))
    network.save(tmp_path / "detector.npz")
    again = load(tmp_path / "detector.npz")
    assert again.is_detector and again.layers == network.layers and again.cost is None
    for one in (network, again):
        one.partial_fit(X, y, **settings)
    assert np.array_equal(network.predictions(X), again.predictions(X))


def test_a_step_has_the_same_bits_whatever_the_number_of_threads():
    X, y = data(4)
    found = []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        found.append(detector().fit(X, y, epochs=2, batch_size=4, learning_rate=0.001).predictions(X))
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert np.array_equal(*found)


def test_more_truths_than_before_find_room_and_rows_that_are_none_change_nothing():
    X, y = data(3)
    network = detector("float64").fit(X, y, epochs=1, batch_size=3, learning_rate=0.001)
    loss, none = network.loss(X, y), np.tile([-1.0, 0, 0, 0, 0], (20, 1))
    assert network.loss(X, [np.vstack([rows, none]) for rows in y]) == loss
    many = [np.vstack([rows] * 7) for rows in y]  # the same ones, seven times
    assert network.loss(X, many) == loss
    network.partial_fit(X, y, batch_size=3, learning_rate=0.001, validation_data=(X, many))
    assert network.loss(X, y) == network.history_["validation_loss"][-1]


@pytest.mark.parametrize("kind", ["read again", "two heads on one"])
def test_gradients_where_a_head_is_not_the_only_reader_are_those_of_the_loss(kind):
    """Along a random direction of all weights, by central differences."""
    head = ("yolo", K, {"anchors": ANCHORS, "mask": [0, 3], "ignore_threshold": 1.0})
    stem = [("convolution", 4, 3, {"padding": 1}), "leaky", ("convolution", HEAD, 1), head]
    more = [("route", {"layers": [2]}), "leaky", ("convolution", HEAD, 1), head]
    other = [("yolo", K, {"anchors": ANCHORS, "mask": [1, 2], "layers": [2], "ignore_threshold": 1.0})]
    network = Network(
        stem + (more if kind == "read again" else other), inputs=(3, 8, 8), dtype="float64", random_state=0
    )
    random, (X, y) = np.random.default_rng(0), data(2)
    X = X[:, :, :8, :8]
    slope, step = 0.0, 1e-6
    directions = [{k: random.standard_normal(a.shape) for k, a in p.items()} for p in network.parameters]
    for own, gradient in zip(directions, network.gradients(X, y), strict=True):
        slope += sum(np.vdot(own[name], gradient[name]) for name in own)
    losses = []
    for sign in (1, -2):
        for own, p in zip(directions, network.parameters, strict=True):
            for name in own:
                p[name] += sign * step * own[name]
        losses.append(network.loss(X, y))
    assert slope == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-7)


def test_a_detector_is_told_apart_and_has_no_score():
    network, (X, y) = detector(), data(1)
    assert network.is_detector and "cost" not in repr(network) and eval(repr(network)).layers == network.layers
    with pytest.raises(ValueError, match="use derive evaluate"):
        network.score(X, y)
    with pytest.raises(ValueError, match="trained on labels"):
        network.predict_proba(X)
    plain = Network([("dense", 3)], inputs=4)
    assert not plain.is_detector and plain.cost.name == "quadratic"
    with pytest.raises(ValueError, match="this network has no head"):
        plain.predictions(np.zeros((1, 4)))


# What is refused ------------------------------------------------------------------------------------------------------

PLANES = ("convolution", HEAD, 1)
RIGHT = {"anchors": ANCHORS, "mask": [0, 1]}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([PLANES, "yolo"], "layer 2: 'yolo' takes one size, the number of classes, a positive integer, not none"),
        (
            [PLANES, ("yolo", 0, RIGHT)],
            "layer 2: 'yolo' takes one size, the number of classes, a positive integer, not 0",
        ),
        ([PLANES, ("yolo", K)], r"layer 2: 'yolo' needs the setting anchors, a list of \(width, height\) in pixels"),
        ([PLANES, ("yolo", K, {"anchors": [(3, 0)]})], "layer 2: 'yolo' needs the setting anchors"),
        ([PLANES, ("yolo", K, {"anchors": [3, 4]})], "layer 2: 'yolo' needs the setting anchors"),
        (
            [PLANES, ("yolo", K, RIGHT | {"mask": [0, 4]})],
            "mask must be of different numbers from 0 to 3, .* not \\[0, 4\\]",
        ),
        ([PLANES, ("yolo", K, RIGHT | {"mask": [1, 1]})], "mask must be of different numbers from 0 to 3"),
        ([PLANES, ("yolo", K, RIGHT | {"mask": []})], "mask must be a list of numbers of anchors, not \\[\\]"),
        (
            [PLANES, ("yolo", K, RIGHT | {"jitter": 1})],
            r"'yolo' has no setting \['jitter'\]; it has \['anchors', 'ignore_th",
        ),
        (
            [PLANES, ("yolo", K, RIGHT | {"ignore_threshold": 2})],
            "ignore_threshold must be a number from 0 to 1, not 2",
        ),
        ([PLANES, ("yolo", K, RIGHT | {"layers": [0, 0]})], "layer 2: 'yolo' takes 1 input, it has 2"),
        (
            [("convolution", 18, 1), ("yolo", 80, {"anchors": ANCHORS[:3]})],
            r"layer 2: 'yolo' takes 255 channels, 3 \* \(5 \+ 80\) for 3 anchors and 80 classes; layer 1 gives 18",
        ),
        ([("dense", HEAD), ("yolo", K, RIGHT)], r"layer 2: 'yolo' takes planes of layer 1, .*; its shape is \(16,\)"),
        (
            [PLANES, ("yolo", K, RIGHT), "leaky"],
            "layer 3: 'leaky' ends a detector, .* must end in a head, as layer 2 is one",
        ),
        (
            [PLANES, ("yolo", K, RIGHT), "leaky", ("yolo", K, RIGHT)],
            "layer 3: 'leaky' reads layer 2, the head 'yolo', which gives no values; say by the setting 'layers' which",
        ),
        (
            [PLANES, ("yolo", K, RIGHT), ("route", {"layers": [0, 1]}), ("yolo", K, RIGHT)],
            "layer 3: 'route' reads layer 2, the head",
        ),
        (
            [PLANES, ("yolo", K, RIGHT), ("yolo", 1, RIGHT | {"layers": [0]})],
            "layer 3: 'yolo' has 1 classes, that of layer 2 has 3; all heads of a detector have the same",
        ),
    ],
)
def test_a_head_that_cannot_stand_is_refused_by_the_number_of_its_layer(entries, said):
    with pytest.raises(ValueError, match=said):
        Network(entries, inputs=(3, 8, 8))


def test_a_detector_takes_no_cost_no_rows_and_no_labels():
    with pytest.raises(ValueError, match="a detector has the cost of its heads; cost='quadratic' is one too many"):
        Network(layers(), cost="quadratic")
    with pytest.raises(ValueError, match=r"layer 1: 'yolo' takes planes of the samples, .*; its shape is \(16,\)"):
        Network([("yolo", K, RIGHT)], inputs=16)
    X, y = data(2)
    network = detector()
    for wrong in ([0, 1], np.zeros((2, 4)), y[:1]):
        with pytest.raises(ValueError, match="y must be truths: for each of the 2 samples rows of class, x, y, w, h"):
            network.fit(X, wrong, learning_rate=0.1)
    with pytest.raises(ValueError, match="validation y: sample 0, row 0: class is 3, not a whole number from 0 to 2"):
        network.fit(X, y, learning_rate=0.1, validation_data=(X, [[[3, 0.5, 0.5, 0.1, 0.1]], []]))
    assert not network.history_


def test_the_heads_kernels_are_derived_from_the_definitions_and_stand_in_one_module():
    """By their docstrings: the backward kernel is the recovered cost's gradient in closed form, without a logarithm."""
    head = HEADS["yolo"]
    assert [tensor(slot)[0] for slot in head.constants] == ["column", "row", "anchor_w", "anchor_h"]
    (backward,) = head.backward
    assert "(o[n, p] - o_true[n, p])*[e = 4]*weight_o[n, p]/N" in " ".join(backward.function.__doc__.split())
    assert "log" not in backward.function.__code__.co_names and "exp" not in backward.function.__code__.co_names
    (costs,) = head.cost
    assert {"exp", "log1p"} <= set(costs.function.__code__.co_names) and not {"x", "o", "c"} & set(costs.arrays)
