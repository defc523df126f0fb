"""What a trained network says of images and other samples. `derive predict` is this file."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from derive.files import write_whole
from derive.training.datasets import as_planes, image_files, read_idx_images, read_images, read_npz, shaped
from derive.training.folder import network_in
from generated import Network, load

SHOWN = 3  # classes of a line


@dataclass(frozen=True)
class Predictions:
    """Of each sample its name, its label and the network's outputs: shares of the classes, if ``shares``.

    Without classes (a network that did not learn labels), there is no label.
    """

    names: list[str]
    outputs: np.ndarray
    classes: list[int | str] | None
    labels: list[int | str] | None
    shares: bool


def predict(network_file: Path, inputs: Sequence[Path], output: Path | None = None, accuracy: str | None = None) -> int:
    """Print a line a sample, or write all outputs to a ``.json`` or ``.csv`` file. Returns 0.

    accuracy: as Network takes it, None for what it was trained with. Raises ValueError or OSError for bad input.
    """
    if output is not None and output.suffix not in FORMATS:
        raise ValueError(f"{output}: its name must end in {' or '.join(FORMATS)}")
    network = load(network_in(network_file))
    network.accuracy = accuracy or network.accuracy
    if network.is_detector:
        raise ValueError(f"{network_file}: a detector; derive detect says what is in pictures")
    names, samples = [], []
    for path in inputs:
        for inside, rows in _samples(path, network.inputs or ()):
            names += inside
            samples.append(rows)
    found = predictions(network, names, np.concatenate(samples))
    if output is None:
        print(text(found), end="")
    else:
        write_whole(output, FORMATS[output.suffix](found))
        print(f"{len(names):,} predictions written to {output}")
    return 0


def _samples(path: Path, shape: tuple[int, ...]) -> list[tuple[list[str], np.ndarray]]:
    """Names and samples of a file: an image, the array X of an .npz, the images of an IDX file; or a folder of images."""
    if path.is_dir():
        files = image_files(path)
        if not files:
            raise ValueError(f"{path}: no images lie in this folder")
        return [part for file in files for part in _samples(file, shape)]
    if path.suffix == ".npz":
        arrays = read_npz(path, ("X",))
        if "X" not in arrays:
            raise ValueError(f"{path}: there is no array X")
        samples = as_planes(arrays["X"], f"{path}: X")
    elif _is_idx(path):
        samples = read_idx_images(path)
    else:
        return [([str(path)], shaped(read_images([path], shape), shape, str(path)))]
    return [([f"{path}[{number}]" for number in range(len(samples))], shaped(samples, shape, str(path)))]


def _is_idx(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"\x1f\x8b", b"\0\0")  # no image begins so


def predictions(network: Network, names: list[str], samples: np.ndarray) -> Predictions:
    """The network's outputs for samples, and what they mean."""
    if network.classes_ is None:
        return Predictions(names, network.outputs(samples), None, None, False)
    try:
        outputs, shares = network.predict_proba(samples), True
    except ValueError:  # the last layer's outputs are no probabilities
        outputs, shares = network.outputs(samples), False
    classes = network.classes_.tolist()
    return Predictions(names, outputs, classes, network.predict(samples).tolist(), shares)


def text(found: Predictions) -> str:
    """A line a sample: its name, its label, and what follows next."""
    width = max(map(len, found.names))
    if found.classes is None or found.labels is None or len(found.classes) != found.outputs.shape[1]:
        rows = [" ".join(f"{value:.6g}" for value in row) for row in found.outputs.tolist()]
        said = found.labels or [""] * len(rows)
        return "".join(
            f"{name:<{width}}  {label}  {row}\n" for name, label, row in zip(found.names, said, rows, strict=True)
        )
    longest = max(len(str(name)) for name in found.classes)
    lines = []
    for name, row in zip(found.names, found.outputs, strict=True):
        best = np.argsort(-row, kind="stable")[:SHOWN]
        shown = [
            f"{found.classes[i]!s:<{longest}} {f'{row[i]:.1%}' if found.shares else f'{row[i]:.4g}':>6}" for i in best
        ]
        lines.append(f"{name:<{width}}  {'   '.join(shown)}\n")
    return "".join(lines)


def as_json(found: Predictions) -> str:
    """One array; each element has the name, the label and the outputs, by class where there are as many."""
    rows = []
    for number, name in enumerate(found.names):
        row = found.outputs[number].tolist()
        about: dict = {"input": name}
        if found.labels is not None and found.classes is not None:
            about["label"] = found.labels[number]
        if found.shares and found.classes is not None:
            about["probabilities"] = dict(zip(map(str, found.classes), row, strict=True))
        else:
            about["outputs"] = row
        rows.append(about)
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def as_csv(found: Predictions) -> str:
    """A row a sample: input, label, and a column for each class or output."""
    outputs = found.outputs.tolist()
    columns = [f"output {n}" for n in range(len(outputs[0]))]
    if found.shares and found.classes is not None:
        columns = [str(name) for name in found.classes]
    label = [] if found.labels is None else ["label"]
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["input", *label, *columns])
    for number, name in enumerate(found.names):
        table.writerow([name, *([] if found.labels is None else [found.labels[number]]), *outputs[number]])
    return file.getvalue()


FORMATS = {".json": as_json, ".csv": as_csv}
