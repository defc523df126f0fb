"""Average precision: how well a detector finds the things of a class (Everingham et al. 2010; all points, since VOC 2010)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derive.detection.boxes import Detection, iou

OVERLAP = 0.5  # of a detection with a truth, at least, for one to be the other


@dataclass(frozen=True)
class Precision:
    """Of a class: its average precision (nan without truths), how many truths there are, how many detections are right."""

    average: float
    truths: int
    right: int
    wrong: int


def average_precisions(
    found: Sequence[Sequence[Detection]],
    truths: Sequence[np.ndarray],
    classes: int,
    difficult: Sequence[np.ndarray] | None = None,
) -> list[Precision]:
    """Of each class, over all pictures.

    found: detections of each picture, boxes in shares of it. truths: rows (T, 5) of class, x, y, w, h. difficult: (T,) bool of
    each picture; such a truth need not be found, and who finds it is neither right nor wrong.
    """
    if difficult is None:
        difficult = [np.zeros(len(rows), bool) for rows in truths]
    return [_of_class(k, found, truths, difficult) for k in range(classes)]


def mean(precisions: Sequence[Precision]) -> float:
    """The mean of the classes that there are truths of; nan if there are none."""
    averages = [one.average for one in precisions if one.truths]
    return float(np.mean(averages)) if averages else float("nan")


def _of_class(
    k: int, found: Sequence[Sequence[Detection]], truths: Sequence[np.ndarray], difficult: Sequence[np.ndarray]
) -> Precision:
    """The detections are tried from the most probable on, each with the truth of its picture that it overlaps most.

    It is right if that overlap is enough and nobody has found the truth before.
    """
    chosen = [rows[:, 0] == k for rows in truths]
    boxes = [rows[these, 1:] for rows, these in zip(truths, chosen, strict=True)]
    hard = [flags[these] for flags, these in zip(difficult, chosen, strict=True)]
    seen = [np.zeros(len(rows), bool) for rows in boxes]
    tried = [
        (one.probability, picture, one.box) for picture, some in enumerate(found) for one in some if one.class_ == k
    ]
    tried.sort(key=lambda one: -one[0])
    right = []
    for _, picture, box in tried:
        overlaps = iou(np.array(box), boxes[picture])
        best = int(overlaps.argmax()) if overlaps.size else -1
        if best < 0 or overlaps[best] < OVERLAP:
            right.append(False)
        elif not hard[picture][best]:
            right.append(not seen[picture][best])
            seen[picture][best] = True
    total = int(sum((~flags).sum() for flags in hard))
    return Precision(_area(np.array(right, bool), total), total, sum(right), len(right) - sum(right))


def _area(right: np.ndarray, truths: int) -> float:
    """Under precision over recall, where precision is the greatest that there is at that recall or beyond.

    right: of each detection, from the most probable on. nan if there is nothing to find.
    """
    if not truths:
        return float("nan")
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    reached = np.maximum.accumulate(precision[::-1])[::-1]
    return float(reached[right].sum() / truths)  # recall grows by 1/truths at each detection that is right
