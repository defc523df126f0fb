"""Pictures to learn from that need no files: red and blue squares on a dark ground, as a Pascal VOC folder, and a network."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 220), "red": (220, 50, 40)}
CFG = """[net]
height=32
width=48
channels=3
batch=4
learning_rate=0.01
momentum=0.9
decay=0.0005
hue=.02
saturation=1.2
exposure=1.2
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=7
size=1
activation=linear
[yolo]
anchors=12,12
classes=2
num=1
jitter=.1
"""


def voc_folder(folder: Path, learned: int = 22, held_out: int = 7, seed: int = 0) -> Path:
    """Pictures of 60 x 40 with one or two squares each, none the same."""
    random = np.random.default_rng(seed)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    names = [f"{number:03}" for number in range(learned + held_out)]
    for name in names:
        picture = random.integers(0, 60, (40, 60, 3)).astype(np.uint8)
        things = ""
        for half in range(random.integers(1, 3)):
            colour, side = random.choice(list(COLOURS)), random.integers(11, 18)
            x, y = 30 * half + random.integers(0, 30 - side), random.integers(0, 40 - side)
            picture[y : y + side, x : x + side] = COLOURS[str(colour)]
            box = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + side}</xmax><ymax>{y + side}</ymax>"
            things += f"<object><name>{colour}</name><bndbox>{box}</bndbox></object>"
        Image.fromarray(picture).save(folder / f"JPEGImages/{name}.png")
        size = "<size><width>60</width><height>40</height></size>"
        (folder / f"Annotations/{name}.xml").write_text(f"<annotation>{size}{things}</annotation>")
    (folder / "ImageSets/Main/trainval.txt").write_text("\n".join(names[:learned]))
    (folder / "ImageSets/Main/test.txt").write_text("\n".join(names[learned:]))
    return folder
