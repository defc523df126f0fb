"""What the time of each row was before minimal filtering and the compiled step, what it is now, and what that came from."""

import json
import re
from pathlib import Path

BEFORE = Path(__file__).resolve().parent / "before.json"

FILTERED = "3x3 filters of stride 1 by minimal filtering, several chains of a tile's products at a time"
TALL = "tiles are as large as registers and the first-level cache allow"
CAME_FROM = {
    "784-30-10": "weights are moved by the contraction of their gradient, which is no array any more; the next mini-batch's "
    f"lines are asked for tile by tile; {TALL}",
    "784-512-512-10": "weights are moved by the contraction of their gradient; arrays begin with cache lines; the next panel "
    f"of an operand is asked for while one is used; threads go through the stages side by side; {TALL}",
    "convolutional network": "normalisation, leaky and pooling in fewer passes; depthwise windows are constants of their kernels, "
    "their weights in registers, their gradients' rows read once for all taps above each other; both operands of a contraction are asked "
    "for ahead; "
    "planes without a border are read where they lie; threads go through the stages side by side; sums over samples ask ahead for rows "
    f"that they read in part; {TALL}; it has no convolution that filtering would pay for",
    "YOLOv3-tiny": f"{FILTERED}; threads go through the stages side by side; {TALL}",
    r"convolution \(1, 3,": "three colours go along the places of a picture, not along vectors of eight or sixteen; tiles come out even; the "
    "rows' places are found once",
    "convolution .* 3x3(?!, stride)": FILTERED,
    "convolution .* 1x1": "both operands are asked for ahead; planes without a border are read where they lie; arrays begin with "
    f"cache lines; tiles come out even; {TALL}",
    "convolution ": f"arrays begin with cache lines; tiles come out even; a dense panel is not copied; {TALL}",
    "depthwise convolution": "the window's sizes and steps are constants of its kernels; its weights stay in registers along a "
    "row; the gradient by them reads a row once for all taps above each other",
    "batch normalisation": "sums in double, but for eight terms at a time, and all else in the network's precision; large results "
    "past the caches",
    "max pooling": "the next row of windows is asked for, on the way back as well; large results past the caches",
    "these 7 convolutions": "all of these",
}
"""By the name of a row: the first pattern that it begins with."""


def key_of(row: dict) -> tuple[str, str]:
    """The name and measure of a row, without what changes from run to run: PyTorch's best layout and number of threads."""
    name = re.sub(r" \((channels_last|contiguous_format)\)|, (channels_last|contiguous_format)$", "", row["name"])
    return re.sub(r"(?<=PyTorch), \d+ threads", "", name), row.get("measure", "")


def gains(results: dict) -> list[str]:
    """The table of before and after, as lines: every row with a ratio that was there before."""
    before = {key_of(row): row for row in json.loads(BEFORE.read_text(encoding="utf-8"))["rows"]}
    lines = ["| what | ratio before | after | what it came from |", "| --- | --- | --- | --- |"]
    for row in results["rows"]:
        key = key_of(row)
        reason = next((text for pattern, text in CAME_FROM.items() if re.match(pattern, key[0])), None)
        if reason and "ratio" in row and "ratio" in before.get(key, {}):
            was, now = (f"{one['ratio']['median']:.2g}" for one in (before[key], row))
            lines.append(f"| {': '.join(key)} | {was} | **{now}** | {reason} |")
    return lines
