"""The published YOLOv3-tiny: every layer against PyTorch, what it detects, and what the C program reads of what we write.

The peer reads the network's text and its weights by itself, from Darknet's src/parser.c alone. Its sums are in double
precision.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from generated import Network
from generated.configuration import read_configuration
from generated.weights import read_weights, write_weights

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'backderive[peers]'")
Image = pytest.importorskip("PIL.Image", reason="pictures are read by Pillow: pip install 'backderive[images]'")

DATA = Path(os.environ.get("BACKDERIVE_DATA", "no data"))
CFG, WEIGHTS, DOG = (
    DATA / "yolov3-tiny/yolov3-tiny.cfg",
    DATA / "yolov3-tiny/yolov3-tiny.weights",
    DATA / "images/dog.jpg",
)
PROGRAM = shutil.which("darknet")
NAMES = Path("/usr/share/darknet/data")

needs_data = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the published weights are not in BACKDERIVE_DATA")
needs_program = pytest.mark.skipif(
    PROGRAM is None or not NAMES.is_dir(), reason="there is no darknet: apt install darknet"
)

EPSILON = {"batch_norm_darknet": lambda variance: variance.sqrt() + 1e-6, "batch_norm": lambda v: (v + 1e-5).sqrt()}


# The peer -------------------------------------------------------------------------------------------------------------


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    for line in (line.partition("#")[0].replace(" ", "").strip() for line in text.splitlines()):
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif line:
            key, _, value = line.partition("=")
            found[-1][1][key] = value
    return found


def peer(x: np.ndarray, deviation=EPSILON["batch_norm_darknet"]) -> Iterator[torch.Tensor]:
    """What each section of YOLOv3-tiny gives for pictures x."""
    numbers = torch.from_numpy(np.fromfile(WEIGHTS, "<f4", offset=20).astype("float64"))

    def taken(*shape: int) -> torch.Tensor:
        nonlocal numbers
        count = int(np.prod(shape))
        own, numbers = numbers[:count], numbers[count:]
        return own.reshape(shape)

    outputs: list[torch.Tensor] = []
    z = torch.from_numpy(x.astype("float64"))
    for kind, keys in sections(CFG.read_text())[1:]:
        number = {key: int(value) for key, value in keys.items() if value.lstrip("-").isdigit()}
        if kind == "convolutional":
            filters, size = number["filters"], number["size"]
            biases = taken(filters)
            normalised = number.get("batch_normalize", 0)
            scales, means, variances = (taken(filters) for _ in range(3)) if normalised else (None, None, None)
            w = taken(filters, z.shape[1], size, size)
            z = torch.nn.functional.conv2d(z, w, stride=number["stride"], padding=size // 2 if number["pad"] else 0)
            column = (-1, 1, 1)
            if normalised:
                z = (z - means.reshape(column)) / deviation(variances).reshape(column) * scales.reshape(column)
            z = z + biases.reshape(column)
            z = torch.where(z > 0, z, 0.1 * z) if keys["activation"] == "leaky" else z
        elif kind == "maxpool":
            size, stride = number["size"], number["stride"]
            before = (size - 1) // 2
            around = (before, size - 1 - before) * 2
            z = torch.nn.functional.max_pool2d(torch.nn.functional.pad(z, around, value=-np.inf), size, stride)
        elif kind == "route":
            z = torch.cat([outputs[i if i >= 0 else len(outputs) + i] for i in map(int, keys["layers"].split(","))], 1)
        elif kind == "upsample":
            z = z.repeat_interleave(number["stride"], 2).repeat_interleave(number["stride"], 3)
        else:
            z = predicted(z, keys, x.shape[2:])
        outputs.append(z)
        yield z
    assert not len(numbers)


def predicted(z: torch.Tensor, keys: dict[str, str], net: tuple[int, int]) -> torch.Tensor:
    """x, y, w, h, objectness, class probabilities: (N, rows * columns * anchors, 5 + classes)."""
    pairs = torch.tensor([float(v) for v in keys["anchors"].split(",")], dtype=torch.float64).reshape(-1, 2)
    anchors = pairs[[int(m) for m in keys["mask"].split(",")]]
    N, _, rows, columns = z.shape
    z = z.reshape(N, len(anchors), -1, rows, columns).permute(0, 3, 4, 1, 2)
    x = (z[..., 0].sigmoid() + torch.arange(columns).reshape(-1, 1)) / columns
    y = (z[..., 1].sigmoid() + torch.arange(rows).reshape(-1, 1, 1)) / rows
    w, h = z[..., 2].exp() * anchors[:, 0] / net[1], z[..., 3].exp() * anchors[:, 1] / net[0]
    boxes = torch.stack([x, y, w, h], -1)
    return torch.cat([boxes, z[..., 4:].sigmoid()], -1).reshape(N, -1, z.shape[-1])


def along(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Bilinear along one axis, the first and the last place the same before and after."""
    x = np.moveaxis(x, axis, -1)
    at = np.arange(size, dtype=np.float32) * np.float32((x.shape[-1] - 1) / (size - 1))
    low = at.astype(int)
    share = at - low
    low[-1], share[-1] = x.shape[-1] - 1, 0
    high = np.minimum(low + 1, x.shape[-1] - 1)
    return np.moveaxis((1 - share) * x[..., low] + share * x[..., high], -1, axis)


@cache
def picture(side: int = 416) -> np.ndarray:
    """The dog in a square, as Darknet's letterbox_image has it: grey around it, columns first, then rows."""
    planes = np.asarray(Image.open(DOG).convert("RGB"), np.float32).transpose(2, 0, 1) / np.float32(255)
    _, rows, columns = planes.shape
    scale = side / max(rows, columns)
    rows, columns = (side if n == max(rows, columns) else int(n * scale + 1e-9) for n in (rows, columns))
    boxed = np.full((1, 3, side, side), np.float32(0.5))
    top, left = (side - rows) // 2, (side - columns) // 2
    boxed[0, :, top : top + rows, left : left + columns] = along(along(planes, 2, columns), 1, rows)
    return boxed


# Layers and detections ------------------------------------------------------------------------------------------------


@needs_data
def test_every_layer_of_yolov3_tiny_is_that_of_pytorch():
    configuration, x = read_configuration(CFG), picture()
    whole, heads = configuration.network(), []
    layers = ["linear" if entry[0] == "yolo" else entry for entry in configuration.layers]
    read_weights(whole, WEIGHTS, sections=configuration.sections)
    for number, (place, wanted) in enumerate(zip(configuration.sections, peer(x), strict=True)):
        if place.name == "yolo":
            heads.append(wanted)
            continue
        one = Network(layers[: place.last], inputs=configuration.inputs)
        read_weights(one, WEIGHTS, cutoff=number + 1, sections=configuration.sections[: number + 1])
        gap = np.abs(one.outputs(x) - wanted.numpy()).max() / wanted.abs().max().item()
        assert gap < 1e-4, (number, place.name, gap)
    wanted = torch.cat(heads, 1).numpy()
    assert np.abs(whole.predictions(x) - wanted).max() / np.abs(wanted).max() < 1e-4


def shown(predictions: np.ndarray, threshold: float) -> list[tuple[str, float]]:
    """Names and probabilities of what is above the threshold, of boxes that overlap by more than 0.45 the most probable."""
    names, found = CFG.with_name("coco.names").read_text().split("\n"), list[tuple[str, float]]()
    rows = predictions[predictions[:, 4] > threshold]
    for k in range(predictions.shape[1] - 5):
        chances = rows[:, 4] * rows[:, 5 + k]
        kept = list[np.ndarray]()
        for n in np.argsort(-chances):
            if chances[n] > threshold and all(overlap(rows[n], other) <= 0.45 for other in kept):
                kept.append(rows[n])
                found.append((names[k], float(chances[n])))
    return sorted(found)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = [
        min(a[n] + a[n + 2] / 2, b[n] + b[n + 2] / 2) - max(a[n] - a[n + 2] / 2, b[n] - b[n + 2] / 2) for n in (0, 1)
    ]
    common = max(sides[0], 0) * max(sides[1], 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


@needs_data
def test_yolov3_tiny_sees_what_darknet_sees():
    configuration = read_configuration(CFG)
    network = configuration.network()
    read_weights(network, WEIGHTS, sections=configuration.sections)
    found = shown(network.predictions(picture())[0].astype(float), 0.4)
    wanted = [("bicycle", 59), ("car", 52), ("car", 62), ("dog", 57), ("truck", 43), ("truck", 56)]
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert all(abs(100 * chance - percent) <= 1 for (_, chance), (_, percent) in zip(found, wanted, strict=True)), found


# The C program --------------------------------------------------------------------------------------------------------


def darknet(folder: Path, *arguments: object) -> str:
    """What the program says where it runs in a folder; its labels and names are beside it."""
    for name in ("data", "cfg"):
        (folder / name).exists() or (folder / name).symlink_to(NAMES.parent / name)
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300).stdout


@needs_data
@needs_program
def test_weights_that_we_write_give_the_same_detections_in_darknet(tmp_path):
    configuration = read_configuration(CFG)
    network = configuration.network(dtype="float64")
    header = read_weights(network, WEIGHTS, sections=configuration.sections)
    ours = tmp_path / "ours.weights"
    write_weights(network, ours, header.seen, sections=configuration.sections)
    said = {}
    for path in (WEIGHTS, ours):
        lines = darknet(tmp_path, "detect", CFG, path, DOG, "-out", "found").splitlines()
        said[path] = sorted(line for line in lines if line.endswith("%")), (tmp_path / "found.jpg").read_bytes()
    assert said[ours] == said[WEIGHTS]
    found = {(name, int(percent.strip("% "))) for name, percent in (line.split(":") for line in said[ours][0])}
    assert {name for name, _ in found} == {"bicycle", "car", "dog", "truck"} and len(found) == 5


EVERY_KIND = """
[net]
height=12
width=12
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
groups=2
filters=6
size=3
pad=1
activation=leaky

[local]
size=3
pad=1
filters=4
activation=leaky

[convolutional]
filters=6
size=1
activation=linear

[connected]
output=10
batch_normalize=1
activation=relu

[connected]
output=5
activation=linear

[softmax]
"""


@needs_program
@pytest.mark.parametrize("variance", [1.0, 1e-5])
def test_a_network_of_every_kind_of_section_gives_in_darknet_what_it_gives_here(tmp_path, variance):
    """Where variances are as small as what is added to them, this also shows which normalisation Darknet's is."""
    random, percents = np.random.default_rng(4), {}
    small = tmp_path / "small.cfg"
    small.write_text(EVERY_KIND)
    (tmp_path / "names").write_text("\n".join("abcde"))
    (tmp_path / "small.data").write_text("names=names\ntop=5\n")
    pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    for normalisation in EPSILON:
        configuration = read_configuration(small, normalisation=normalisation)
        network = configuration.network(random_state=0)
        generator = np.random.default_rng(5)
        for own, kept in zip(network.parameters, network.states, strict=True):
            for name in ("b", "beta", "gamma"):
                if name in own:
                    own[name][...] = generator.normal(size=own[name].shape)
            if kept:
                kept["mean"][...] = generator.normal(size=kept["mean"].shape)
                kept["variance"][...] = variance * generator.uniform(0.5, 2, kept["variance"].shape)
                own["gamma"] *= np.sqrt(variance)
        for own in network.parameters[-2].values():
            own *= 0.2  # so that no class is certain
        write_weights(network, tmp_path / "small.weights", sections=configuration.sections)
        outputs = network.outputs(pixels.transpose(2, 0, 1)[None] / np.float32(255))[0]
        percents[normalisation] = dict(zip("abcde", 100 * outputs, strict=True))
    said = darknet(tmp_path, "classifier", "predict", "small.data", small, "small.weights", "small.png").splitlines()
    theirs = {line.split(": ")[1]: float(line.split("%")[0]) for line in said if "%: " in line}
    assert sum(value > 1 for value in theirs.values()) > 2  # they say something
    gaps = {form: max(abs(ours[k] - theirs[k]) for k in "abcde") for form, ours in percents.items()}
    assert gaps["batch_norm_darknet"] < 0.0051
    assert variance == 1 or gaps["batch_norm"] > 1
