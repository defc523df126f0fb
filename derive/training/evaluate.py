"""How good a trained network is: loss, accuracy, and which classes it takes for which. `derive evaluate` is this file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derive.training.datasets import Dataset, read_dataset
from derive.training.folder import network_in
from generated import Network, load

MISTAKEN = 3  # classes that are named beside each one


@dataclass(frozen=True)
class Evaluation:
    """The measures of a network on samples. For labels: ``confusion[i, j]`` samples of class i were taken for class j."""

    network: str
    epochs: int
    data: str
    held_out: bool
    samples: int
    loss: float
    score: float
    classes: np.ndarray | None = None
    confusion: np.ndarray | None = None


def evaluate(network_file: Path, data: str, format: str = "text", accuracy: str | None = None) -> int:
    """Print the measures of a network file on the held-out samples of the data, or on all if none are. Returns 0.

    accuracy: as Network takes it, None for what it was trained with. Raises ValueError or OSError for bad input.
    """
    path = network_in(network_file)
    network = load(path)
    network.accuracy = accuracy or network.accuracy
    if network.is_detector:
        from derive.detection.evaluate import evaluate as evaluate_detector

        return evaluate_detector(path, network, data, format)
    found = evaluation(network, read_dataset(data, network.inputs, network.random_state or 0), str(path))
    print(as_json(found) if format == "json" else text(found))
    return 0


def evaluation(network: Network, data: Dataset, path: str) -> Evaluation:
    """The measures. Raises ValueError if the labels are not those that the network knows."""
    held_out = data.X_test is not None and data.y_test is not None
    X, y = (data.X, data.y) if data.X_test is None or data.y_test is None else (data.X_test, data.y_test)
    try:
        loss, score = network.loss(X, y), network.score(X, y)
    except ValueError as error:
        raise ValueError(f"{path} on {data.name}: {error}") from error
    classes, confusion = network.classes_, None
    if classes is not None and np.ndim(y) == 1:
        confusion = np.zeros((len(classes), len(classes)), int)
        places = [np.searchsorted(classes, labels) for labels in (y, network.predict(X))]
        np.add.at(confusion, tuple(places), 1)
    epochs = len(network.history_.get("loss", []))
    return Evaluation(path, epochs, data.name, held_out, len(X), loss, score, classes, confusion)


def as_json(found: Evaluation) -> str:
    """One object; its keys are those of Evaluation, ``score`` named for what it is."""
    about: dict[str, Any] = dict(vars(found))
    score, classes, confusion = (about.pop(name) for name in ("score", "classes", "confusion"))
    if confusion is None:
        return json.dumps({**about, "r2": score}, indent=2)
    labels = {"accuracy": score, "classes": classes.tolist(), "confusion": confusion.tolist()}
    return json.dumps({**about, **labels}, indent=2, ensure_ascii=False)


def text(found: Evaluation) -> str:
    """A few lines, and a row for each class."""
    part = "held-out samples" if found.held_out else "samples, none of them held out"
    lines = [
        f"network   {found.network}, trained for {found.epochs} epochs",
        f"data      {found.data}: {found.samples:,} {part}",
        f"loss      {found.loss:.4f}",
    ]
    if found.confusion is None or found.classes is None:
        return "\n".join([*lines, f"R^2       {found.score:.4f}"])
    lines += [f"accuracy  {found.score:.2%} ({np.trace(found.confusion):,} right)", ""]
    names = [str(name) for name in found.classes.tolist()]
    width = max(5, *map(len, names))
    lines.append(f"{'class':<{width}}  samples    right  taken instead for")
    for number, (name, row) in enumerate(zip(names, found.confusion, strict=True)):
        total = row.sum()
        if not total:
            lines.append(f"{name:<{width}}  {0:>7}")
            continue
        others = [other for other in np.argsort(-row, kind="stable") if other != number and row[other]]
        wrong = ", ".join(f"{names[other]} ({row[other] / total:.1%})" for other in others[:MISTAKEN])
        lines.append(f"{name:<{width}}  {total:>7,}  {row[number] / total:>7.1%}  {wrong}".rstrip())
    return "\n".join(lines)
