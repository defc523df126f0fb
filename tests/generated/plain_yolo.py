"""YOLOv3's boxes, assignment and cost in plain Python, one prediction after the other: what the heads are held against.

Numbers may be of any kind that has arithmetic; ``numbers`` is where exp and log come from (math, mpmath).
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any


@dataclass
class Grid:
    """Where a head's predictions stand. anchors in pixels, all there are; mask: the numbers of this head's own."""

    columns: int
    rows: int
    net_w: int
    net_h: int
    anchors: list
    mask: list
    classes: int
    ignore: float = 0.5
    sure: float = 1.0

    @property
    def places(self) -> list:
        """(column, row, anchor) of each prediction."""
        return [(i, j, m) for j in range(self.rows) for i in range(self.columns) for m in self.mask]


@dataclass
class Target:
    """What a prediction is to be; scale, weight_o and weight_c are what its terms count."""

    classes: list
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0
    scale: float = 0.0
    o: float = 0.0
    weight_o: float = 1.0
    weight_c: float = 0.0
    truths: list = field(default_factory=list)  # the rows it answers for


def sigmoid(t: Any, numbers: ModuleType = math) -> Any:
    return 1 / (1 + numbers.exp(-t))


def decoded(z: list, place: tuple, grid: Grid) -> tuple:
    """The box (x, y, w, h) of a prediction's raw numbers."""
    i, j, m = place
    width, height = grid.anchors[m]
    return (
        (i + sigmoid(z[0])) / grid.columns,
        (j + sigmoid(z[1])) / grid.rows,
        width * math.exp(z[2]) / grid.net_w,
        height * math.exp(z[3]) / grid.net_h,
    )


def iou(one: tuple, other: tuple) -> Fraction:
    """Exactly, of the numbers given."""
    (x, y, w, h), (x2, y2, w2, h2) = ([Fraction(float(v)) for v in box] for box in (one, other))
    across = min(x + w / 2, x2 + w2 / 2) - max(x - w / 2, x2 - w2 / 2)
    down = min(y + h / 2, y2 + h2 / 2) - max(y - h / 2, y2 - h2 / 2)
    both = max(across, Fraction(0)) * max(down, Fraction(0))
    either = w * h + w2 * h2 - both
    return both / either if either else Fraction(0)


def assigned(boxes: list, truths: list, grid: Grid) -> list[Target]:
    """The target of each prediction, from its box and the sample's truths (class, x, y, w, h)."""
    targets = [Target([0.0] * grid.classes) for _ in boxes]

    def answers(p: int, place: tuple, number: int) -> None:
        (i, j, m), target, (kind, x, y, w, h) = place, targets[p], truths[number]
        target.x, target.y = x * grid.columns - i, y * grid.rows - j
        target.w = math.log(w * grid.net_w / grid.anchors[m][0])
        target.h = math.log(h * grid.net_h / grid.anchors[m][1])
        target.scale, target.o, target.weight_o, target.weight_c = 2 - w * h, 1.0, 1.0, 1.0
        target.classes[int(kind)] = 1.0
        target.truths.append(number)

    for p, (box, place) in enumerate(zip(boxes, grid.places, strict=True)):
        values = [iou(box, truth[1:]) for truth in truths]
        best = max(values, default=Fraction(0))
        if best > Fraction(grid.ignore):
            targets[p].weight_o = 0.0
        if best > Fraction(grid.sure):
            answers(p, place, values.index(best))
    for number, (_, x, y, w, h) in enumerate(truths):
        shape = (0, 0, w * grid.net_w, h * grid.net_h)
        likeness = [iou(shape, (0, 0, *anchor)) for anchor in grid.anchors]
        m = likeness.index(max(likeness))
        if m in grid.mask:
            i = min(math.floor(x * grid.columns), grid.columns - 1)
            j = min(math.floor(y * grid.rows), grid.rows - 1)
            answers(grid.places.index((i, j, m)), (i, j, m), number)
    return targets


def cross_entropy(target: float, t: Any, numbers: ModuleType) -> Any:
    """Of the logistic function's value at t."""
    a = sigmoid(t, numbers)
    return -target * numbers.log(a) - (1 - target) * numbers.log(1 - a)


def cost(z: list, target: Target, numbers: ModuleType = math) -> Any:
    """Of one prediction, from its raw numbers."""
    total = target.weight_o * cross_entropy(target.o, z[4], numbers) if target.weight_o else 0
    if target.scale:
        total += target.scale * (
            cross_entropy(target.x, z[0], numbers)
            + cross_entropy(target.y, z[1], numbers)
            + (target.w - z[2]) ** 2 / 2
            + (target.h - z[3]) ** 2 / 2
        )
    if target.weight_c:
        classes = zip(target.classes, z[5:], strict=True)
        total += target.weight_c * sum(cross_entropy(c, t, numbers) for c, t in classes)
    return total
