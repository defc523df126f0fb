"""Boxes: overlap against exact fractions, suppression against a plain double loop, detections by hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.detection.boxes import Detection, detections, iou, kept
from derive.detection.pictures import Place, letterbox_place

eighths = st.integers(0, 16).map(lambda n: n / 8)
boxes = st.tuples(eighths, eighths, eighths, eighths)


def exact(a, b) -> Fraction:
    """Intersection over union in rational numbers, from the four sides."""
    sides = []
    for x, y, w, h in (map(Fraction, a), map(Fraction, b)):
        sides.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    (l1, t1, r1, b1), (l2, t2, r2, b2) = sides
    common = max(min(r1, r2) - max(l1, l2), 0) * max(min(b1, b2) - max(t1, t2), 0)
    union = (r1 - l1) * (b1 - t1) + (r2 - l2) * (b2 - t2) - common
    return common / union if union else Fraction(0)


@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4))
def test_overlap_is_common_area_over_the_area_of_both(first, second):
    found = iou(np.array(first)[:, np.newaxis], np.array(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert found[i, j] == pytest.approx(float(exact(a, b)), abs=1e-15)


def test_overlap_by_hand():
    assert iou([0, 0, 2, 2], [1, 0, 2, 2]) == pytest.approx(1 / 3)
    assert iou([0, 0, 2, 2], [0, 0, 1, 1]) == 1 / 4
    assert iou([0, 0, 2, 2], [2, 0, 2, 2]) == 0  # side by side
    assert iou([0, 0, 0, 0], [0, 0, 0, 0]) == 0


@given(st.lists(boxes, max_size=12), st.data(), st.sampled_from([0.0, 0.3, 0.45, 1.0]))
def test_suppression_leaves_what_a_plain_double_loop_leaves(rows, data, threshold):
    probabilities = data.draw(st.lists(st.integers(1, 5), min_size=len(rows), max_size=len(rows)))
    order = sorted(range(len(rows)), key=lambda i: (-probabilities[i], i))
    left = dict.fromkeys(order, True)
    for n, i in enumerate(order):
        for j in order[n + 1 :]:
            if left[i] and exact(rows[i], rows[j]) > Fraction(threshold):
                left[j] = False
    found = kept(np.reshape(rows, (-1, 4)), np.array(probabilities), threshold)
    assert found.tolist() == [i for i in order if left[i]]


SQUARE = Place(0, 0, 100, 100, 100, 100)


def prediction(box, objectness, *classes):
    return [*box, objectness, *classes]


def test_each_class_counts_by_objectness_times_its_probability():
    rows = np.array([[
        prediction((0.5, 0.5, 0.2, 0.2), 0.9, 0.8, 0.7, 0.1),  # .72, .63, .09: two classes
        prediction((0.2, 0.2, 0.1, 0.1), 0.5, 1.0, 1.0, 1.0),  # objectness is not above the threshold
        prediction((0.8, 0.8, 0.1, 0.1), 0.7, 0.7, 0.0, 0.9),  # .49: not above it either; .63
    ]])  # fmt: skip
    (found,) = detections(rows, [SQUARE])
    assert [(one.class_, round(one.probability, 6), one.x) for one in found] == [
        (0, 0.72, 0.5),
        (1, 0.63, 0.5),
        (2, 0.63, 0.8),
    ]
    (found,) = detections(rows, [SQUARE], threshold=0.0)
    assert len(found) == 8


def test_suppression_is_by_class():
    near = (0.5, 0.5, 0.2, 0.2), (0.51, 0.5, 0.2, 0.2)
    rows = np.array([[prediction(near[0], 1.0, 0.9, 0.6), prediction(near[1], 1.0, 0.8, 0.7)]])
    (found,) = detections(rows, [SQUARE])
    assert [(one.class_, one.probability) for one in found] == [(0, 0.9), (1, 0.7)]
    (found,) = detections(rows, [SQUARE], nms=0.95)
    assert len(found) == 4


def test_boxes_are_in_shares_of_the_picture():
    place = letterbox_place(200, 100, 64, 64)  # 64 x 32 in the middle
    rows = np.array([[prediction((0.5, 0.5, 0.5, 0.25), 1.0, 1.0)]])
    ((one,),) = detections(rows, [place])
    assert one.box == (0.5, 0.5, 0.5, 0.5) and one.pixels(200, 100) == (50, 25, 150, 75)


def test_pixels_stay_within_the_picture():
    assert Detection(0, 0.9, 0.0, 1.0, 0.5, 3.0).pixels(40, 30) == (0, 0, 10, 30)


def test_no_predictions_no_detections():
    assert detections(np.zeros((2, 0, 7)), [SQUARE] * 2) == [[], []]
