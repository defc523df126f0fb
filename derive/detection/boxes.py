"""Boxes: how much two overlap, what a network's predictions say, and one box where several say the same.

A box is ``x, y, w, h``: its centre and its size, in any unit, the same for all that are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derive.detection.pictures import Place

THRESHOLD = 0.5  # the least probability of what `derive detect` shows
NMS = 0.45  # two boxes of a class that overlap more are one


@dataclass(frozen=True)
class Detection:
    """Something of a class in a picture, and its box: centre and size in shares of the picture."""

    class_: int
    probability: float
    x: float
    y: float
    w: float
    h: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.w, self.h

    def pixels(self, columns: int, rows: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels, within a picture of that size."""
        left, right = (round(columns * min(max(self.x + side * self.w / 2, 0), 1)) for side in (-1, 1))
        top, bottom = (round(rows * min(max(self.y + side * self.h / 2, 0), 1)) for side in (-1, 1))
        return left, top, right, bottom


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) with boxes (..., 4), each with each that broadcasting pairs it with.

    0 where neither has any area.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    right = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    left = np.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    common = np.prod(np.maximum(right - left, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def kept(boxes: np.ndarray, probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Non-maximum suppression: the places of the boxes (B, 4) that stay, the most probable first.

    A box goes if it overlaps a more probable one that stays by more than the threshold (intersection over union). Of two
    that are equally probable, the first counts as the more probable.
    """
    found = []
    left = np.argsort(-np.asarray(probabilities), kind="stable")
    while left.size:
        best, left = left[0], left[1:]
        found.append(best)
        left = left[iou(boxes[best], boxes[left]) <= threshold]
    return np.array(found, int)


def detections(
    predictions: np.ndarray, places: Sequence[Place], threshold: float = THRESHOLD, nms: float = NMS
) -> list[list[Detection]]:
    """What each sample's predictions (N, P, 5 + K) say is in its picture, the most probable first.

    A prediction is x, y, w, h in shares of the network's input, objectness, and K class probabilities; it counts for each
    class by objectness times class probability, if that and the objectness are above the threshold (Darknet's
    src/yolo_layer.c), and is suppressed within each class (its do_nms_sort in src/box.c). One that is not finite does not
    count. ``places``: of each picture.
    """
    found = []
    for rows, place in zip(predictions, places, strict=True):
        rows = rows[(rows[:, 4] > threshold) & np.isfinite(rows).all(axis=1)]
        boxes = place.to_picture(rows[:, :4])
        probabilities = rows[:, 4:5] * rows[:, 5:]
        seen = []
        for k in range(probabilities.shape[1]):
            likely = np.flatnonzero(probabilities[:, k] > threshold)
            stay = likely[kept(boxes[likely], probabilities[likely, k], nms)]
            seen += [Detection(k, float(probabilities[p, k]), *map(float, boxes[p])) for p in stay]
        found.append(sorted(seen, key=lambda one: -one.probability))
    return found
