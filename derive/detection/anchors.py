"""Anchors for a network from the boxes that it is to learn: k-means, where near means overlapping (Redmon & Farhadi 2017).

from derive.detection.anchors import anchors
from derive.detection.truths import read_truths

anchors(read_truths("VOC2007").train, 6, width=416, height=416)
"""

from collections.abc import Sequence

import numpy as np

from derive.detection.boxes import iou
from derive.detection.labelled import Labelled
from derive.detection.pictures import letterbox_place, read_picture

ROUNDS = 300  # at most


def anchors(pictures: Sequence[Labelled], count: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """``count`` pairs (width, height) in pixels of a network's input, by rising area.

    Each is the mean of those boxes, all with the same centre, that overlap it more than any other. Begins at boxes drawn by
    the seed. Raises ValueError if there are fewer boxes of different sizes than that.
    """
    sizes = np.concatenate([_sizes(one, width, height) for one in pictures] or [np.zeros((0, 2))])
    different = np.unique(sizes, axis=0)
    if not 1 <= count <= len(different):
        raise ValueError(f"{count} anchors: there are boxes of {len(different)} different sizes")
    found = different[np.random.default_rng(seed).choice(len(different), count, replace=False)]
    nearest = np.full(len(sizes), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, overlaps(sizes, found).argmax(axis=1)
        if (nearest == before).all():
            break
        found = np.array([sizes[nearest == k].mean(axis=0) if (nearest == k).any() else found[k] for k in range(count)])
    return found[np.argsort(found.prod(axis=1), kind="stable")]


def overlaps(sizes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (B, 2) with anchors (A, 2), all with the same centre: (B, A)."""
    return iou(*(np.concatenate([np.zeros_like(a), a], axis=-1) for a in (sizes[:, np.newaxis], found)))


def _sizes(one: Labelled, width: int, height: int) -> np.ndarray:
    columns, rows = one.size or read_picture(one.path).shape[:0:-1]
    return letterbox_place(columns, rows, width, height).to_input(one.boxes[:, 1:])[:, 2:] * (width, height)
