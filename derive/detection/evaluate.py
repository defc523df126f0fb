"""How well a detector finds what is in pictures: average precision class by class. `derive evaluate` for detectors."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from derive.detection.augmentation import Augmentation
from derive.detection.average_precision import Precision, mean
from derive.detection.examples import Examples
from derive.detection.labelled import read_names
from derive.detection.names import NAMES
from derive.detection.truths import read_truths
from generated import Network


@dataclass(frozen=True)
class Evaluation:
    """The measures of a detector on pictures. loss: the mean cost of a picture."""

    network: str
    epochs: int
    data: str
    held_out: bool
    pictures: int
    loss: float
    classes: tuple[str, ...]
    precisions: list[Precision]

    @property
    def mean(self) -> float:
        return mean(self.precisions)


def evaluate(path: Path, network: Network, data: str, format: str = "text") -> int:
    """Print the measures of the detector in a file on the held-out pictures of the data, or on all if none are. Returns 0.

    The names of the classes are those that `derive train` left beside it, if it did. Raises ValueError or OSError for bad
    input.
    """
    beside = path.parent / NAMES
    truths = read_truths(data, read_names(beside) if beside.is_file() else None)
    for warning in truths.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    examples = Examples(truths, network.inputs, Augmentation())  # type: ignore[arg-type]
    held_out = bool(examples.test)
    pictures = examples.test if held_out else examples.train
    try:
        examples.check(network, pictures)
        loss, precisions = examples.measured(network, pictures)
    except ValueError as error:
        raise ValueError(f"{path} on {data}: {error}") from error
    epochs = len(network.history_.get("loss", []))
    found = Evaluation(str(path), epochs, data, held_out, len(pictures), loss, truths.classes, precisions)
    print(as_json(found) if format == "json" else text(found))
    return 0


def as_json(found: Evaluation) -> str:
    """One object; the classes are a list, ``null`` the average precision of one that there is nothing of."""
    about = {name: getattr(found, name) for name in ("network", "epochs", "data", "held_out", "pictures", "loss")}
    classes = [
        {
            "name": name,
            "average_precision": _number(one.average),
            "truths": one.truths,
            "right": one.right,
            "wrong": one.wrong,
        }
        for name, one in zip(found.classes, found.precisions, strict=True)
    ]
    return json.dumps({**about, "map": _number(found.mean), "classes": classes}, indent=2, ensure_ascii=False)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def text(found: Evaluation) -> str:
    """A few lines, and a row for each class."""
    part = "held-out pictures" if found.held_out else "pictures, none of them held out"
    lines = [
        f"network   {found.network}, trained for {found.epochs} epochs",
        f"data      {found.data}: {found.pictures:,} {part}",
        f"loss      {found.loss:.4f}",
        f"mAP@0.5   {found.mean:.2%}",
        "",
    ]
    width = max(5, *map(len, found.classes))
    lines.append(f"{'class':<{width}}  average precision  in the pictures    found")
    for name, one in zip(found.classes, found.precisions, strict=True):
        average = f"{one.average:.2%}" if one.truths else ""
        lines.append(f"{name:<{width}}  {average:>17}  {one.truths:>15,}  {one.right:>7,}")
    return "\n".join(lines)
