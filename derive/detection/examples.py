"""Pictures with truths, to learn from: kept as bytes in the size of the network's input, changed anew each epoch.

An epoch goes part by part; while the network learns from one, a thread makes the next one. What a part holds depends on the
seed and the epoch alone.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derive.detection.augmentation import Augmentation, boxes_in, changed, drawn
from derive.detection.average_precision import Precision, average_precisions, mean
from derive.detection.boxes import NMS, Detection, detections
from derive.detection.labelled import Labelled, Truths, read_names
from derive.detection.names import NAMES, classes_of
from derive.detection.pictures import Place, letterbox, letterbox_place, read_picture, resized
from derive.detection.truths import read_truths
from derive.files import write_whole
from derive.training.folder import Settings
from generated import Network
from generated.configuration import Configuration
from generated.progress import ProgressLine

PART_BYTES = 64 << 20  # of pictures that are made together
THRESHOLD = 0.005  # least probability of a detection that average precision is measured with, as in Darknet


@dataclass(frozen=True)
class Example:
    """A picture in bytes (3, rows, columns), as large as the network's input has room for, and its boxes (T, 5)."""

    pixels: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray

    @property
    def learned(self) -> np.ndarray:
        """The boxes that are learned: those that are not difficult."""
        return self.boxes[~self.difficult]


def read_example(labelled: Labelled, width: int, height: int) -> Example:
    """A picture and its boxes. Raises ValueError if it cannot be read, or is not of the size that its truths say."""
    picture = read_picture(labelled.path)
    _, rows, columns = picture.shape
    if labelled.size not in (None, (columns, rows)):
        said = " x ".join(map(str, labelled.size or ()))
        raise ValueError(f"{labelled.path}: a picture of {columns} x {rows} pixels; its truths are of one of {said}")
    place = letterbox_place(columns, rows, width, height)
    pixels = np.rint(resized(picture, place.columns, place.rows) * 255).astype(np.uint8)
    return Example(pixels, labelled.boxes, labelled.difficult)


class Examples:
    """The samples of a detector: those to learn from, and those held out, for an input of (3, height, width)."""

    kinds = ("flip", "jitter", "colour")
    usual = kinds
    measure = "map"

    def __init__(self, truths: Truths, inputs: tuple[int, ...], augmentation: Augmentation) -> None:
        """Reads all pictures. Raises ValueError for one that cannot be read."""
        if len(inputs) != 3 or inputs[0] != 3:
            raise ValueError(f"{truths.name}: pictures have 3 channels; the network takes samples of {inputs}")
        self.name, self.classes, self.augmentation = truths.name, truths.classes, augmentation
        _, self.height, self.width = inputs
        self.train, self.test = (
            [read_example(one, self.width, self.height) for one in part] for part in (truths.train, truths.held_out)
        )

    @property
    def held_out(self) -> int:
        return len(self.test)

    def __len__(self) -> int:
        return len(self.train)

    def check(self, network: Network, pictures: Sequence[Example] | None = None) -> None:
        """Raises ValueError if the network tells another number of classes apart, or there are no pictures.

        pictures: those that it is about, else those to learn from.
        """
        pictures = self.train if pictures is None else pictures
        if len(self.classes) != (count := classes_of(network)):
            raise ValueError(
                f"it has {len(self.classes)} classes, {', '.join(self.classes)}; the network tells {count} apart"
            )
        if not pictures:
            raise ValueError("there is no picture")
        fullest = max(pictures, key=lambda one: len(one.boxes))
        network.loss(*self._part([fullest]))

    def epoch(self, network: Network, number: int, settings: Settings, line: ProgressLine, **fit: Any) -> None:
        """As :class:`derive.training.samples.Samples` has it; the order of the pictures is drawn here."""
        began = time.perf_counter()
        batch, rates = fit["batch_size"], fit.pop("learning_rate")
        order = np.random.default_rng([settings.seed, number]).permutation(len(self.train))
        size = max(1, self._room() // batch) * batch
        parts = [order[begin : begin + size] for begin in range(0, len(order), size)]
        history, done, total, steps = network.history_, 0, 0.0, 0
        before = {name: len(values) for name, values in history.items()}
        try:
            for rows, (X, y) in zip(parts, self._ahead(parts, settings, number), strict=True):
                count = -(-len(rows) // batch)
                rate = rates if np.ndim(rates) == 0 else rates[steps : steps + count]
                within = PartLine(line, done / len(order), len(rows) / len(order))
                network.partial_fit(X, y, shuffle=False, verbose=within, learning_rate=rate, **fit)
                total += history["loss"][-1] * len(rows)
                done, steps = done + len(rows), steps + count
        finally:  # one entry an epoch, not one a part
            for name, entries in history.items():
                del entries[before.get(name, 0) :]
        values = {"loss": total / len(order), "seconds": time.perf_counter() - began}
        if self.test:
            loss, precisions = self.measured(network, self.test)
            values |= {"validation_loss": loss, "validation_score": mean(precisions)}
        for name, value in values.items():
            history.setdefault(name, []).append(value)
        line.epoch(0, history)

    def score(self, value: float) -> str:
        return f"mAP@0.5 {value:.2%}"

    def leave(self, folder: Path) -> None:
        """The names of the classes."""
        write_whole(folder / NAMES, "".join(f"{name}\n" for name in self.classes))

    def measured(self, network: Network, examples: Sequence[Example]) -> tuple[float, list[Precision]]:
        """The mean cost of these pictures, and the average precision of each class."""
        total, found, size = 0.0, list[list[Detection]](), self._room()
        for begin in range(0, len(examples), size):
            some = examples[begin : begin + size]
            X, y = self._part(some)
            total += network.loss(X, y) * len(some)
            places = [self._place(one) for one in some]
            found += detections(network.predictions(X), places, THRESHOLD, NMS)
        boxes, difficult = [one.boxes for one in examples], [one.difficult for one in examples]
        return total / len(examples), average_precisions(found, boxes, len(self.classes), difficult)

    def _place(self, example: Example) -> Place:
        """Where a picture lies as it is."""
        _, rows, columns = example.pixels.shape
        return letterbox_place(columns, rows, self.width, self.height)

    def _room(self) -> int:
        """Pictures of a part, before it is made of whole batches."""
        return max(1, PART_BYTES // (12 * self.height * self.width))

    def _part(self, examples: Sequence[Example]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Pictures as they are, (N, 3, height, width), and their truths."""
        X = np.stack([letterbox(one.pixels, self.width, self.height) for one in examples])
        places = [self._place(one) for one in examples]
        return X, [boxes_in(one.learned, place) for one, place in zip(examples, places, strict=True)]

    def changed(self, rows: np.ndarray, settings: Settings, epoch: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Pictures of these numbers as they are in an epoch, (N, 3, height, width), and their truths."""
        asked, off = self.augmentation, Augmentation()
        asked = Augmentation(
            jitter=asked.jitter if "jitter" in settings.augment else off.jitter,
            flip=asked.flip and "flip" in settings.augment,
            **{name: getattr(asked if "colour" in settings.augment else off, name) for name in COLOURS},
        )
        X, y = np.empty((len(rows), 3, self.height, self.width), np.float32), []
        for sample, number in zip(X, rows.tolist(), strict=True):
            one = self.train[number]
            _, height, width = one.pixels.shape
            change = drawn(asked, width, height, self.width, self.height, settings.seed, epoch, number)
            sample[...] = changed(one.pixels, change)
            y.append(boxes_in(one.learned, change.place))
        return X, y

    def _ahead(
        self, parts: Sequence[np.ndarray], settings: Settings, epoch: int
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Each part; the next one is being made meanwhile."""
        with ThreadPoolExecutor(1) as thread:
            coming = [thread.submit(self.changed, rows, settings, epoch) for rows in parts[:1]]
            for rows in [*parts[1:], None]:
                part = coming.pop().result()
                if rows is not None:
                    coming.append(thread.submit(self.changed, rows, settings, epoch))
                yield part


COLOURS = ("hue", "saturation", "exposure")


class PartLine(ProgressLine):
    """The progress of a part of an epoch, shown as that of the whole."""

    def __init__(self, whole: ProgressLine, begin: float, share: float) -> None:
        self.whole, self.begin, self.share, self.done = whole, begin, share, whole.done

    def steps(self, epoch: int, share: float, losses: np.ndarray) -> None:
        self.whole.steps(epoch, self.begin + share * self.share, losses)

    def epoch(self, epoch: int, history: dict[str, list[float]]) -> None:
        pass


def read_examples(
    source: str | Path, configuration: Configuration, names: Path | None = None, left: Path | None = None
) -> tuple[Examples, list[str]]:
    """The pictures of a VOC folder or a .data file for the detector of a configuration; and warnings.

    names: a file with the classes' names in the order of their numbers. left: the folder of a training that goes on, whose
    names they are. Raises ValueError for what does not fit; else errors are those of ``read_truths``.
    """
    classes = None if names is None else read_names(names)
    if left is not None:
        kept = read_names(left / NAMES)
        if classes not in (None, kept):
            raise ValueError(f"{names}: the classes of this training are those of {left / NAMES}")
        classes = kept
    truths = read_truths(source, classes)
    warnings = list(truths.warnings)
    if configuration.augmentation.random:
        warnings.append(f"{configuration.path}: random: the input keeps its size of {configuration.inputs}")
    return Examples(truths, configuration.inputs, augmentation_of(configuration)), warnings


def augmentation_of(configuration: Configuration) -> Augmentation:
    """What a file asks for. A factor below 1 means the same as one over it."""
    said = configuration.augmentation
    factors = {
        name: max(value, 1 / value) if (value := getattr(said, name)) > 0 else value
        for name in ("saturation", "exposure")
    }
    try:
        return Augmentation(jitter=said.jitter, hue=said.hue, flip=bool(said.flip), **factors)
    except ValueError as error:
        raise ValueError(f"{configuration.path}: {error}") from error
