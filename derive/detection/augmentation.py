"""Pictures changed anew each epoch as Darknet changes them (src/data.c, src/image.c), and their boxes with them.

What is drawn depends on the seed, the epoch and the sample's number alone, so it is the same whoever computes it, and when.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from derive.detection.pictures import Place, letterbox_place, placed

LEAST = 0.001  # a box of less than this share of the input, in width or height, is dropped


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are changed; nothing, by default.

    jitter: each side of the picture is made shorter or longer by at most this share of it, and what comes of it placed
    anywhere in the input that has room for it. hue: moved by at most this share of the colour circle. saturation, exposure:
    multiplied or divided by at most this factor. flip: every other picture is mirrored.
    """

    jitter: float = 0.0
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (("jitter", 0, 0.9), ("hue", 0, 1), ("saturation", 1, 100), ("exposure", 1, 100)):
            if not least <= (value := getattr(self, name)) <= most:
                raise ValueError(f"{name} must be from {least} to {most}, not {value}")


@dataclass(frozen=True)
class Change:
    """What one picture is changed by, once it is drawn."""

    place: Place
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0


def drawn(
    augmentation: Augmentation, columns: int, rows: int, width: int, height: int, seed: int, epoch: int, sample: int
) -> Change:
    """The change of a picture of that many columns and rows, for an input of that width and height."""
    numbers = np.random.default_rng([seed, epoch, sample]).random(10).tolist()  # each decides the same, whatever is off
    jitter = augmentation.jitter
    aspect = columns * (1 + jitter * (2 * numbers[0] - 1)) / (rows * (1 + jitter * (2 * numbers[1] - 1)))
    place = letterbox_place(columns, rows, width, height)
    if jitter:
        size = max(1, min(width, round(height * aspect))), max(1, min(height, round(width / aspect)))
        left, top = int(numbers[2] * (width - size[0] + 1)), int(numbers[3] * (height - size[1] + 1))
        place = Place(left, top, *size, width, height)
    if augmentation.flip and numbers[4] < 0.5:
        place = replace(place, flipped=True)
    hue = augmentation.hue * (2 * numbers[5] - 1)
    return Change(
        place, hue, _factor(augmentation.saturation, *numbers[6:8]), _factor(augmentation.exposure, *numbers[8:])
    )


def _factor(most: float, share: float, coin: float) -> float:
    factor = 1 + (most - 1) * share
    return factor if coin < 0.5 else 1 / factor


def changed(picture: np.ndarray, change: Change) -> np.ndarray:
    """The picture (3, rows, columns) in the network's input, float32 (3, height, width) from 0 to 1."""
    found = np.ascontiguousarray(placed(picture, change.place))
    if (change.hue, change.saturation, change.exposure) != (0, 1, 1):
        recolour(found, np.float32(change.hue), np.float32(change.saturation), np.float32(change.exposure))
    return found


def boxes_in(boxes: np.ndarray, place: Place) -> np.ndarray:
    """Rows (T, 5) of class, x, y, w, h in shares of the picture, in shares of the input.

    They are clipped at its border; those that nothing, or next to nothing, is left of are dropped.
    """
    x, y, w, h = place.to_input(boxes[:, 1:]).T
    left, right = np.clip(x - w / 2, 0, 1), np.clip(x + w / 2, 0, 1)
    top, bottom = np.clip(y - h / 2, 0, 1), np.clip(y + h / 2, 0, 1)
    found = np.stack([boxes[:, 0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=1)
    return found[(found[:, 3] >= LEAST) & (found[:, 4] >= LEAST)]


@njit(nogil=True, cache=True)
def recolour(picture, hue, saturation, exposure):
    """In place: hue moved, saturation and value multiplied, in the cone of hue, saturation and value; then 0 to 1.

    With v the greatest and p the least of red, green and blue, saturation is (v - p)/v; the hue is 0 for red, 1/3 for green,
    2/3 for blue, linear between, and the other way round n = 5, 3, 1 give red, green and blue as
    v - (v - p)*max(0, min(k, 4 - k, 1)) with k = (n + 6*hue) mod 6.
    """
    red, green, blue = picture[0], picture[1], picture[2]
    zero, one, six = np.float32(0), np.float32(1), np.float32(6)
    for i in range(red.shape[0]):
        for j in range(red.shape[1]):
            r, g, b = red[i, j], green[i, j], blue[i, j]
            v = max(r, g, b)
            spread = v - min(r, g, b)
            if spread == zero:
                sixth = zero
            elif v == r:
                sixth = (g - b) / spread
            elif v == g:
                sixth = (b - r) / spread + np.float32(2)
            else:
                sixth = (r - g) / spread + np.float32(4)
            sixth += six * hue
            value, depth = v * exposure, spread * saturation * exposure
            for channel, n in ((red, np.float32(5)), (green, np.float32(3)), (blue, one)):
                k = n + sixth
                k -= six * np.floor(k / six)
                part = max(zero, min(k, np.float32(4) - k, one))
                channel[i, j] = min(max(value - depth * part, zero), one)
