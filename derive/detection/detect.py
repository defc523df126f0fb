"""What a detector finds in pictures: printed, drawn and written as JSON. `derive detect` is this file."""

import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derive.detection.boxes import Detection, detections
from derive.detection.drawing import label, with_boxes
from derive.detection.names import class_names
from derive.detection.pictures import letterbox_place, placed, read_picture
from derive.files import write_whole
from derive.training.datasets import image_files
from derive.training.folder import network_in, same_network
from generated import Network, load
from generated.choice import DEFAULT
from generated.configuration import read_configuration
from generated.weights import read_weights

FOLDER = "derive-detect"
RECORD = "detections.json"
KEPT = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}  # endings of pictures that are drawn in the form that they came in


@dataclass(frozen=True)
class Asked:
    """What the command line says. network: a .weights file of Darknet's, or what `derive train` left."""

    configuration: Path
    network: Path
    pictures: tuple[Path, ...]
    threshold: float
    nms: float
    names: Path | None = None
    output: Path = Path(FOLDER)
    normalisation: str | None = None
    format: str = "text"
    accuracy: str | None = None


def detect(asked: Asked) -> int:
    """Print what is in the pictures, and leave them with boxes, and all of it as JSON, in the folder of the output.

    Returns 0. Raises ValueError or OSError for bad input.
    """
    pictures = [file for path in asked.pictures for file in _files(path)]
    drawings = _drawings(pictures, asked.output)
    network = read_detector(asked.configuration, asked.network, asked.normalisation, asked.accuracy)
    names = class_names(network, asked.names, (asked.network, asked.configuration))
    record = []
    for path, drawing in zip(pictures, drawings, strict=True):
        picture = read_picture(path)
        began = time.perf_counter()
        found = found_in(network, picture, asked.threshold, asked.nms)
        seconds = time.perf_counter() - began
        write_whole(drawing, _encoded(with_boxes(picture, found, names), drawing.suffix))
        record.append(_about(path, drawing, picture, found, names))
        if asked.format == "text":
            print(_text(path, picture, found, names, seconds), flush=True)
    written = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_whole(asked.output / RECORD, written)
    if asked.format == "json":
        print(written, end="")
    else:
        print(f"{len(pictures)} with boxes, and {RECORD}: {asked.output}")
    return 0


def read_detector(
    configuration: Path, network: Path, normalisation: str | None = None, accuracy: str | None = None
) -> Network:
    """The detector of a .cfg file with the weights of a .weights or .npz file. Raises ValueError for what is none.

    accuracy: as Network takes it, None for what it was trained with.
    """
    more = {} if normalisation is None else {"normalisation": normalisation}
    stated = read_configuration(configuration, **more)
    for warning in stated.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    found = stated.network(random_state=0, accuracy=accuracy or DEFAULT)
    if not found.is_detector:
        raise ValueError(
            f"{configuration}: no detector: it has no [yolo] or [region]; derive predict is for other networks"
        )
    if found.inputs is None or len(found.inputs) != 3 or found.inputs[0] != 3:
        raise ValueError(f"{configuration}: the network takes {found.inputs}, no pictures of 3 channels")
    if network.is_dir() or network.suffix == ".npz":
        path = network_in(network)
        trained = load(path)
        if not same_network(found, trained):
            raise ValueError(
                f"{path} is not the network of {configuration}, or was trained with another --normalisation"
            )
        trained.accuracy = accuracy or trained.accuracy
        return trained
    read_weights(found, network, sections=stated.sections)
    return found


def found_in(network: Network, picture: np.ndarray, threshold: float, nms: float) -> list[Detection]:
    """What a detector finds in a picture, the bytes (3, rows, columns)."""
    _, height, width = network.inputs  # type: ignore[misc]
    place = letterbox_place(picture.shape[2], picture.shape[1], width, height)
    (found,) = detections(network.predictions(placed(picture, place)[np.newaxis]), [place], threshold, nms)
    return found


def _files(path: Path) -> list[Path]:
    """A picture, or those that lie in a folder."""
    if not path.is_dir():
        path.stat()  # an OSError, before anything is done
        return [path]
    files = image_files(path)
    if not files:
        raise ValueError(f"{path}: no images lie in this folder")
    return files


def _drawings(pictures: Sequence[Path], output: Path) -> list[Path]:
    """Where each picture with its boxes goes: under its name, numbered where names are the same."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: this is a file; give --output a folder")
    found: list[Path] = []
    for path in pictures:
        suffix = path.suffix if path.suffix.lower() in KEPT else ".png"
        name, number = output / f"{path.stem}{suffix}", 1
        while name in found:
            number += 1
            name = output / f"{path.stem}-{number}{suffix}"
        found.append(name)
    taken = {path.resolve() for path in pictures}
    for name in found:
        if name.resolve() in taken:
            raise ValueError(f"{name}: a picture with boxes would be written over a picture; give another --output")
    return found


def _encoded(image: Any, suffix: str) -> bytes:
    file = io.BytesIO()
    from PIL import Image

    image.save(file, Image.registered_extensions()[suffix.lower()], quality=92)
    return file.getvalue()


def _about(
    path: Path, drawing: Path, picture: np.ndarray, found: Sequence[Detection], names: Sequence[str]
) -> dict[str, Any]:
    """What JSON has of a picture: boxes as left, top, right, bottom in pixels, and as centre and size in shares."""
    _, rows, columns = picture.shape
    things = [
        {
            "name": names[one.class_], "class": one.class_, "probability": one.probability,
            "pixels": list(one.pixels(columns, rows)), "x": one.x, "y": one.y, "w": one.w, "h": one.h,
        }
        for one in found
    ]  # fmt: skip
    return {"picture": str(path), "columns": columns, "rows": rows, "drawing": str(drawing), "detections": things}


def _text(path: Path, picture: np.ndarray, found: Sequence[Detection], names: Sequence[str], seconds: float) -> str:
    _, rows, columns = picture.shape
    lines = [f"{path}: {columns} x {rows} pixels, {len(found) or 'nothing'} found in {seconds:.2f} s"]
    width = max((len(label(one, names)) for one in found), default=0)
    for one in found:
        left, top, right, bottom = one.pixels(columns, rows)
        lines.append(f"  {label(one, names):<{width}}  columns {left:>4} to {right:>4}, rows {top:>4} to {bottom:>4}")
    return "\n".join(lines)
