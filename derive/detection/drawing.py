"""Boxes with names and per cent on a picture, a colour for each class."""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from derive.detection.boxes import Detection

GOLDEN = 0.618034  # of the colour circle, from each class to the next: no two that follow are alike


def colour_of(class_: int) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(class_ * GOLDEN % 1, 0.9, 0.95))
    return red, green, blue


def label(detection: Detection, names: Sequence[str]) -> str:
    """Its name and its probability: ``dog: 57%``."""
    return f"{names[detection.class_]}: {100 * detection.probability:.0f}%"


def with_boxes(picture: np.ndarray, found: Sequence[Detection], names: Sequence[str]) -> Any:
    """A Pillow image of the bytes (3, rows, columns) with the boxes; of two, the more probable one is on top."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    draw = ImageDraw.Draw(image)
    line = max(1, round(min(image.size) / 200))
    font: Any = ImageFont.load_default(max(10, min(image.size) // 30))
    for one in sorted(found, key=lambda one: one.probability):
        left, top, right, bottom = one.pixels(*image.size)
        colour = colour_of(one.class_)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        text = label(one, names)
        _, _, width, height = draw.textbbox((0, 0), text, font=font)
        x = max(0, min(left, image.width - round(width) - 2 * line))
        y = top - round(height) - 2 * line if top > height + 2 * line else top  # above the box, or inside
        draw.rectangle((x, y, x + width + 2 * line, y + height + 2 * line), fill=colour)
        dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 128
        draw.text((x + line, y + line), text, fill="white" if dark else "black", font=font)
    return image
