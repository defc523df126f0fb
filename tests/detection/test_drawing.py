"""Drawings: the box is where the detection is, in its class's colour; what reaches out of the picture is no trouble."""

import itertools

import numpy as np
import pytest

from derive.detection.boxes import Detection
from derive.detection.drawing import colour_of, label, with_boxes

BLACK = np.zeros((3, 120, 160), np.uint8)


def test_a_box_is_drawn_around_its_place_and_nowhere_else():
    image = np.asarray(with_boxes(BLACK, [Detection(1, 0.574, 0.5, 0.5, 0.5, 0.5)], ["cat", "dog"]))
    coloured = (image == colour_of(1)).all(axis=2)
    assert coloured[30, 40:120].all() and coloured[89, 40:120].all()
    assert coloured[30:90, 40].all() and coloured[30:90, 119].all()
    assert not coloured[31:89, 41:119].any()  # within
    assert not image[90:].any() and not image[:, 120:].any() and not image[:, :40].any()  # the label lies above it


def test_the_label_says_name_and_per_cent():
    assert label(Detection(1, 0.574, 0, 0, 0, 0), ["cat", "dog"]) == "dog: 57%"
    assert label(Detection(0, 0.999, 0, 0, 0, 0), ["cat", "dog"]) == "cat: 100%"


def test_the_more_probable_box_is_on_top():
    near = Detection(0, 0.9, 0.5, 0.5, 0.5, 0.5), Detection(1, 0.6, 0.5, 0.5, 0.5, 0.5)
    for order in (near, near[::-1]):
        assert tuple(np.asarray(with_boxes(BLACK, order, ["cat", "dog"]))[89, 80]) == colour_of(0)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0.5, 0.5), (1, 1, 0.5, 0.5), (0.5, 0.5, 9, 9), (0.5, 0.5, 0, 0), (-3, -3, 0.1, 0.1), (5, 5, 0.1, 0.1)],
)
@pytest.mark.parametrize("size", [(120, 160), (1, 1), (3, 400)])
def test_boxes_anywhere_in_pictures_of_any_size_can_be_drawn(box, size):
    picture = np.zeros((3, *size), np.uint8)
    assert (
        with_boxes(picture, [Detection(0, 0.9, *box)], ["a name as long as it may be, with ünïcödé"]).size == size[::-1]
    )


def test_neighbouring_classes_have_colours_that_differ():
    colours = [np.array(colour_of(k)) for k in range(80)]
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(colours)) > 100
    assert len({tuple(c) for c in colours}) == 80
