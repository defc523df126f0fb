"""Pictures as a detector takes them: the whole picture in the network's input, its sides in proportion, grey around it.

The steps are those of Darknet's src/image.c. A picture is planes (3, rows, columns), red first. Boxes are ``x, y, w, h``:
the centre and the size, in shares of the picture or of the network's input.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derive.training.datasets import open_image, scaled

PIXELS = 1 << 26  # that a picture may have: all that is made of it stays below 1 GB
GREY = 0.5  # around the picture


def read_picture(path: str | Path) -> np.ndarray:
    """The bytes of a picture, uint8 (3, rows, columns), upright.

    Raises ValueError, naming the file, if it cannot be read, is cut short or says that it is huge; OSError if it is not
    there.
    """
    return planes_of(open_image(path, PIXELS))


def planes_of(image: Any) -> np.ndarray:
    """The bytes of a Pillow image, uint8 (3, rows, columns)."""
    image = image.convert("RGB")
    pixels = np.asarray(image, np.uint8)
    del image  # before the planes take as much again
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@dataclass(frozen=True)
class Place:
    """Where a picture lies in the network's input: its left upper corner and its size, in pixels of the input.

    width, height: of the network's input. flipped: left and right are exchanged, in the whole input.
    """

    left: int
    top: int
    columns: int
    rows: int
    width: int
    height: int
    flipped: bool = False

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) in shares of the picture, in shares of the input."""
        x, y, w, h = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
        x = (self.left + x * self.columns) / self.width
        y = (self.top + y * self.rows) / self.height
        w, h = w * self.columns / self.width, h * self.rows / self.height
        return np.stack([1 - x if self.flipped else x, y, w, h], axis=-1)

    def to_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) in shares of the input, in shares of the picture."""
        x, y, w, h = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
        x = ((1 - x if self.flipped else x) * self.width - self.left) / self.columns
        y = (y * self.height - self.top) / self.rows
        return np.stack([x, y, w * self.width / self.columns, h * self.height / self.rows], axis=-1)


def letterbox_place(columns: int, rows: int, width: int, height: int) -> Place:
    """The middle of the input, as large as it can be, for a picture of that many columns and rows."""
    if width * rows < height * columns:
        size = width, max(1, rows * width // columns)
    else:
        size = max(1, columns * height // rows), height
    return Place((width - size[0]) // 2, (height - size[1]) // 2, *size, width, height)


def letterbox(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture in the network's input, float32 (3, height, width) from 0 to 1, grey around it."""
    return placed(picture, letterbox_place(picture.shape[2], picture.shape[1], width, height))


def placed(picture: np.ndarray, place: Place) -> np.ndarray:
    """The picture at its place in the input, float32 (3, height, width) from 0 to 1, grey around it."""
    found = np.full((len(picture), place.height, place.width), GREY, np.float32)
    right, bottom = place.left + place.columns, place.top + place.rows
    found[:, place.top : bottom, place.left : right] = resized(picture, place.columns, place.rows)
    return found[:, :, ::-1] if place.flipped else found


def resized(picture: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """A picture of that size, float32 from 0 to 1: linear between the nearest columns, then between the nearest rows.

    Its corners are those of the picture: ``columns - 1`` steps go over what were ``picture.shape[2] - 1``.
    """
    found = picture
    if found.shape[2] != columns:
        found = _between(found, columns, 2)
    if found.shape[1] != rows:
        found = _between(found, rows, 1)
    found = scaled(found)
    return found.copy() if found is picture else found


def _between(picture: np.ndarray, size: int, axis: int) -> np.ndarray:
    old = picture.shape[axis]
    step = np.float32(old - 1) / np.float32(max(size - 1, 1))  # float32, as in Darknet: the same neighbours
    at = np.arange(size, dtype=np.float32) * step
    at[-1] = old - 1
    before = np.minimum(at.astype(int), old - 1)
    share = np.reshape(at - before, [-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
    low = scaled(picture.take(before, axis))
    high = scaled(picture.take(np.minimum(before + 1, old - 1), axis))
    return (1 - share) * low + share * high
