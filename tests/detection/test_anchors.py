"""Anchors: groups of boxes that are plain to see are found; the mean overlap never falls while they are sought."""

from pathlib import Path

import numpy as np
import pytest

from derive.detection.anchors import anchors, overlaps
from derive.detection.labelled import Labelled


def picture(sizes, columns=200, rows=100) -> Labelled:
    """A picture with boxes of these sizes in pixels, anywhere."""
    sizes = np.array(sizes, float)
    boxes = np.concatenate([np.zeros((len(sizes), 1)), np.full((len(sizes), 2), 0.5), sizes / (columns, rows)], axis=1)
    return Labelled(Path("x.png"), boxes, np.zeros(len(sizes), bool), (columns, rows))


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_are_plain_to_see_are_found(seed):
    random = np.random.default_rng(seed)
    centres = np.array([(10, 10), (20, 60), (80, 30)])
    pictures = [picture(centre + random.uniform(-1, 1, (20, 2))) for centre in centres]
    best = max((anchors(pictures, 3, 100, 50, seed=s) for s in range(8)), key=lambda found: score(pictures, found))
    np.testing.assert_allclose(best, centres / 2, atol=0.4)  # the letterbox halves them; by rising area


def score(pictures, found) -> float:
    sizes = np.concatenate([one.boxes[:, 3:] * one.size / 2 for one in pictures])
    return overlaps(sizes, found).max(axis=1).mean()


def test_the_overlap_of_boxes_with_the_same_centre_by_hand():
    np.testing.assert_allclose(
        overlaps(np.array([[2.0, 3.0]]), np.array([[2.0, 3.0], [1, 3], [4, 1]])), [[1, 0.5, 2 / 8]]
    )


def test_the_letterbox_counts_in_proportion():
    assert anchors([picture([(100, 50)])], 1, 416, 416).tolist() == [[208, 104]]


def test_more_anchors_than_sizes_are_refused():
    with pytest.raises(ValueError, match="3 anchors: there are boxes of 2 different sizes"):
        anchors([picture([(10, 10), (10, 10), (20, 20)])], 3, 100, 100)
    with pytest.raises(ValueError, match="1 anchors: there are boxes of 0 different sizes"):
        anchors([], 1, 100, 100)
