"""YOLOv2's head and what its networks need besides: cost and gradient against PyTorch, its assignment against plain Python,
reorg against what it does to the values in memory, and whole networks."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from one_layer import OneLayer

from generated import Network
from generated.configuration import parse_configuration
from generated.heads import as_truths, head_pass
from generated.layers import REORG
from generated.program import Program, Stage

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")

ANCHORS = [(0.6, 0.7), (1.9, 2.1), (3.3, 1.2)]  # in cells
ROWS, COLUMNS, K = 3, 4, 3
PUBLISHED = {"thresh": 0.6, "bias_match": 1, "rescore": 1, "object_scale": 5}
OTHERS = {"thresh": 0.1, "coord_scale": 2, "object_scale": 3, "noobject_scale": 0.5, "class_scale": 0.25}


# The head, written again --------------------------------------------------------------------------------------------------


def overlap(one, other) -> float:
    """Intersection over union of two boxes (x, y, w, h)."""
    sides = [
        min(one[i] + one[i + 2] / 2, other[i] + other[i + 2] / 2)
        - max(one[i] - one[i + 2] / 2, other[i] - other[i + 2] / 2)
        for i in (0, 1)
    ]
    both = max(sides[0], 0) * max(sides[1], 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def costs_by_pytorch(z, truths, own, *, warm=False):
    """The cost of each sample, from raw numbers z (N, P, 5 + K): squared errors, and the cross-entropy of one class."""
    own = {"bias_match": 0, "rescore": 0, "coord_scale": 1, "noobject_scale": 1, "class_scale": 1} | own
    x, y, o = z[..., 0].sigmoid(), z[..., 1].sigmoid(), z[..., 4].sigmoid()
    logarithms, A = z[..., 5:].log_softmax(-1), len(ANCHORS)
    costs = []
    for n, rows in enumerate(truths):
        boxes, box_target, object_target, class_target = [], {}, {}, {}
        for p in range(ROWS * COLUMNS * A):
            i, j, (w, h) = p // A % COLUMNS, p // A // COLUMNS, ANCHORS[p % A]
            w, h = w * z[n, p, 2].exp().item() / COLUMNS, h * z[n, p, 3].exp().item() / ROWS
            boxes.append(((i + x[n, p].item()) / COLUMNS, (j + y[n, p].item()) / ROWS, w, h))
            covered = max((overlap(boxes[p], row[1:]) for row in rows), default=0)
            object_target[p] = (0.0, 0 if covered > own["thresh"] else own["noobject_scale"])
            if warm:
                box_target[p] = (0.5, 0.5, 0.0, 0.0, 0.01)
        for kind, *box in rows:
            i, j = min(int(box[0] * COLUMNS), COLUMNS - 1), min(int(box[1] * ROWS), ROWS - 1)
            first = (j * COLUMNS + i) * A
            shapes = (
                [(w / COLUMNS, h / ROWS) for w, h in ANCHORS] if own["bias_match"] else [b[2:] for b in boxes[first:]]
            )
            likeness = [overlap((0, 0, *box[2:]), (0, 0, *shape)) for shape in shapes[:A]]
            a = likeness.index(max(likeness))
            w, h = np.log(box[2] * COLUMNS / ANCHORS[a][0]), np.log(box[3] * ROWS / ANCHORS[a][1])
            scale = own["coord_scale"] * (2 - box[2] * box[3])
            box_target[first + a] = (box[0] * COLUMNS - i, box[1] * ROWS - j, w, h, scale)
            asked = overlap(boxes[first + a], box) if own["rescore"] else 1.0
            object_target[first + a] = (asked, own["object_scale"])
            class_target[first + a] = int(kind)
        total = sum(weight * (t - o[n, p]) ** 2 / 2 for p, (t, weight) in object_target.items())
        for p, (*wanted, scale) in box_target.items():
            found = (x[n, p], y[n, p], z[n, p, 2], z[n, p, 3])
            total = total + scale * sum((t - f) ** 2 for t, f in zip(wanted, found, strict=True)) / 2
        costs.append(total - own["class_scale"] * sum(logarithms[n, p, k] for p, k in class_target.items()))
    return torch.stack(costs)


def scene(random) -> list[list[tuple]]:
    """Truths of four samples: none, some at random, several in one cell, some with centres on borders of cells."""

    def rows(centres):
        return [(random.integers(K), *c, *random.uniform(0.1, 0.9, 2)) for c in centres]

    cell = (random.integers(0, 3, 2) + random.uniform(0.1, 0.9, (4, 2))) / (COLUMNS, ROWS)
    borders = random.integers(0, (COLUMNS + 1, ROWS + 1), (4, 2)) / (COLUMNS, ROWS)
    same = [rows(cell[:1])[0], rows(cell[:1])[0]]  # one centre, and below one size too
    same[1] = (same[1][0], *same[0][1:])
    return [[], rows(random.random((4, 2))), rows(cell) + same, rows(borders)]


def head(**settings) -> Network:
    planes = (len(ANCHORS) * (5 + K), ROWS, COLUMNS)
    return Network([("region", K, {"anchors": ANCHORS, **settings})], inputs=planes, dtype="float64")


# Its cost -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1, 6])  # logistic functions in their middle, or saturated
@pytest.mark.parametrize(("own", "step"), [(PUBLISHED, np.inf), (PUBLISHED, 1), (OTHERS, np.inf)])
def test_costs_and_sensitivities_are_those_of_pytorch(own, step, spread):
    (link,), most = head(**own)._built().heads, 0.0
    for seed in range(6):
        random = np.random.default_rng(seed)
        truths, z = scene(random), spread * random.standard_normal((4, ROWS * COLUMNS * len(ANCHORS), 5 + K))
        z[..., 2:4] /= spread
        variable = torch.tensor(z, requires_grad=True)
        wanted = costs_by_pytorch(variable, truths, own, warm=step == 1)
        wanted.mean().backward()
        planes = z.reshape(4, ROWS, COLUMNS, -1)
        delta, given = np.full_like(planes, np.nan), as_truths(truths, 4, K, z.dtype)
        found = head_pass(link, planes, lambda shape: np.full(shape, np.nan), given, delta, np.array([float(step)]))
        Program([Stage([call]) for call in (*found.forward, *found.cost, *found.backward)], z.dtype).run()
        np.testing.assert_allclose(found.arrays["C"], wanted.detach(), rtol=1e-12)
        np.testing.assert_allclose(delta.reshape(z.shape), variable.grad, rtol=1e-10, atol=1e-13)
        most = max(most, abs(delta).max())
    assert most > 0.1


def test_the_likest_box_and_the_likest_anchor_are_not_the_same():
    """A truth with the shape of anchor 0, in a cell where anchor 1 predicts that shape."""
    truth, first = (
        [(2, 0.1, 0.1, ANCHORS[0][0] / COLUMNS, ANCHORS[0][1] / ROWS)],
        np.log(np.divide(ANCHORS[0], ANCHORS[1])),
    )
    z = np.zeros((1, ROWS * COLUMNS * len(ANCHORS), 5 + K))
    z[0, 1, 2:4], z[0, 0, 2:4] = first, 2.0
    for bias_match, p in ((1, 0), (0, 1)):
        (link,) = head(bias_match=bias_match)._built().heads
        given = as_truths([truth], 1, K, z.dtype)
        found = head_pass(link, z.reshape(1, ROWS, COLUMNS, -1), np.zeros, given)
        Program([Stage([call]) for call in (*found.forward, *found.cost)], z.dtype).run()
        assert found.arrays["weight_c"].nonzero()[1].tolist() == [p]


def test_predictions_are_boxes_objectness_and_one_distribution_of_classes():
    random, network = np.random.default_rng(0), head()
    z = random.standard_normal((2, ROWS, COLUMNS, len(ANCHORS), 5 + K))
    found = network.predictions(z.reshape(2, ROWS, COLUMNS, -1).transpose(0, 3, 1, 2))
    j, i, a = 2, 1, 2
    raw, own = z[1, j, i, a], found[1, (j * COLUMNS + i) * 3 + a]
    x, y, o = 1 / (1 + np.exp(-raw[[0, 1, 4]]))
    box = [(i + x) / COLUMNS, (j + y) / ROWS, *np.multiply(ANCHORS[a], np.exp(raw[2:4])) / (COLUMNS, ROWS)]
    np.testing.assert_allclose(own, [*box, o, *np.exp(raw[5:]) / np.exp(raw[5:]).sum()], rtol=1e-12)


@pytest.mark.parametrize("subdivisions", [1, 3])
def test_the_first_samples_draw_every_box_to_its_anchor_and_no_loss_or_gradient_does(subdivisions):
    random = np.random.default_rng(0)
    truths, own = [*scene(random), *scene(random)[1:3]], PUBLISHED | {"warm_samples": 5}
    z = random.standard_normal((6, ROWS * COLUMNS * len(ANCHORS), 5 + K))
    X = z.reshape(6, ROWS, COLUMNS, -1).transpose(0, 3, 1, 2)
    layers = [("depthwise_convolution", 1, {"bias": False}), ("region", K, {"anchors": ANCHORS, **own})]
    network = Network(layers, inputs=X.shape[1:], dtype="float64", random_state=0)
    network.parameters[0]["w"][...] = 1
    cold, warm = (costs_by_pytorch(torch.tensor(z), truths, own, warm=w).numpy() for w in (False, True))
    settings = {"batch_size": 6 if subdivisions == 3 else 2, "subdivisions": subdivisions, "learning_rate": 0.0}
    network.partial_fit(
        X, truths, shuffle=False, **settings
    )  # 2, 4 and 6 samples are seen: in steps, or in parts of one
    assert network.history_["loss"][0] == pytest.approx(np.mean([*warm[:4], *cold[4:]]), rel=1e-12)
    assert network.loss(X, truths) == pytest.approx(cold.mean(), rel=1e-12)
    assert network.loss(X, truths, training=True) == pytest.approx(cold.mean(), rel=1e-12)


# Reorg ----------------------------------------------------------------------------------------------------------------------


def reorganised(a: np.ndarray, stride: int) -> np.ndarray:
    """The values as they lie are large planes; the units of their blocks are channels; those, as they lie, the output."""
    count, channels, rows, columns = a.shape
    large = a.reshape(count, channels // stride**2, rows * stride, columns * stride)
    units = [large[:, :, y::stride, x::stride] for y in range(stride) for x in range(stride)]
    return np.concatenate(units, axis=1).reshape(count, channels * stride**2, rows // stride, columns // stride)


@pytest.mark.parametrize(
    ("shape", "stride"),
    [((2, 4, 2, 2), 2), ((3, 8, 4, 6), 2), ((1, 3, 2, 5), 1), ((2, 9, 6, 3), 3), ((1, 64, 26, 26), 2)],
)
def test_reorg_moves_values_as_darknet_does_and_sensitivities_back(shape, stride):
    a = np.arange(np.prod(shape), dtype=float).reshape(shape)
    one, wanted = OneLayer(REORG, {"a": a}, {"stride": stride}), reorganised(a, stride)
    assert np.array_equal(one.forward(), wanted)
    assert np.array_equal(one.backward(z=wanted), a)  # every value to where it came from


def test_planes_that_reorg_cannot_part_are_refused():
    for shape, said in (((6, 4, 4), "C = "), ((4, 5, 4), "P = "), ((4, 4, 3), "Q = ")):
        with pytest.raises(ValueError, match=rf"layer 1: 'reorg' of the samples .*: {said}.* that must hold"):
            Network(["reorg"], inputs=shape)


# Networks -------------------------------------------------------------------------------------------------------------------

SMALL = f"""[net]
height=32
width=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[route]
layers=-2
[reorg]
stride=2
[route]
layers=-1,-3
[convolutional]
size=1
filters={3 * (5 + K)}
activation=linear
[region]
anchors=0.6,0.7, 1.9,2.1, 3.3,1.2
num=3
classes={K}
softmax=1
bias_match=1
rescore=1
object_scale=5
thresh=.6
"""


def images(count: int, classes: int, side: int) -> tuple[np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(0)
    truths = [
        [(random.integers(classes), *random.random(2), *random.uniform(0.1, 0.5, 2))] * (n % 3) for n in range(count)
    ]
    return random.random((count, 3, side, side)).astype("f4"), [np.array(rows).reshape(-1, 5) for rows in truths]


def test_a_network_of_yolov2s_kind_learns_from_its_cfg():
    network, (X, y) = parse_configuration(SMALL).network(random_state=0), images(6, K, 32)
    assert network.predictions(X).shape == (6, 8 * 8 * 3, 5 + K)
    network.partial_fit(X, y, epochs=30, batch_size=3, learning_rate=0.01, momentum=0.9)
    assert network.history_["loss"][-1] < 0.3 * network.history_["loss"][0]


FOLDER = Path(os.environ.get("BACKDERIVE_DATA", "."), "cfg")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("yolov2*.cfg")), ids=lambda path: path.stem)
def test_published_networks_of_yolov2_are_built_predict_and_take_a_step(path):
    text = re.sub(r"(?m)^(width|height)=.*", r"\1=64", path.read_text(encoding="utf-8"))
    network = parse_configuration(text, str(path)).network(random_state=0)
    classes = network.layers[-1][1][0]
    X, y = images(2, classes, 64)
    assert network.predictions(X).shape == (2, 2 * 2 * 5, 5 + classes)
    network.partial_fit(X, y, batch_size=2, learning_rate=1e-4, momentum=0.9)
    assert np.isfinite(network.history_["loss"]).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"coords": 5}, "setting coords must be 4: there is no other here, not 5"),
        ({"softmax": 0}, "setting softmax must be 1: there is no other here, not 0"),
        ({"rescore": 0.5}, "setting rescore must be a whole number from 0 to 1, not 0.5"),
        ({"class_scale": -1}, "setting class_scale must be a number of 0 or more, not -1"),
        ({"mask": [0]}, r"has no setting \['mask'\]; it has \['absolute', 'anchors'"),
        ({"anchors": [(0, 1)]}, r"needs the setting anchors, a list of \(width, height\) in cells"),
    ],
)
def test_a_region_that_cannot_stand_is_refused(settings, said):
    with pytest.raises(ValueError, match=f"layer 1: 'region':? {said}"):
        head(**settings)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("softmax=1", "softmax=0", r"my.cfg:33: \[region\] softmax=0: must be 1: anything else cannot be built here"),
        ("softmax=1\n", "", r"my.cfg:29: \[region\] softmax: must be 1: anything else"),
        ("classes=3", "classes=2\ncoords=5", r"my.cfg:33: \[region\] coords=5: must be 4: anything else"),
    ],
)
def test_a_region_section_of_another_kind_is_read_and_not_built(old, new, said):
    found = parse_configuration(SMALL.replace(old, new), "my.cfg")
    assert parse_configuration(found.text()).layers == found.layers
    with pytest.raises(ValueError, match=said):
        found.network()
