"""Average precision against another way to compute it: every threshold by itself, in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.detection.average_precision import average_precisions, mean
from derive.detection.boxes import Detection

CLASSES = 2
places = st.integers(1, 6)  # sixteenths: overlaps are the same in binary fractions as in exact ones
sides = st.sampled_from([2, 4, 6])
boxes = st.tuples(places, places, sides, sides).map(lambda box: tuple(v / 16 for v in box))
truth = st.tuples(st.integers(0, CLASSES - 1), boxes, st.booleans())
detection = st.tuples(st.integers(0, CLASSES - 1), boxes)
pictures = st.lists(st.tuples(st.lists(truth, max_size=4), st.lists(detection, max_size=6)), min_size=1, max_size=4)


def overlap(a, b) -> Fraction:
    (l1, t1, r1, b1), (l2, t2, r2, b2) = (
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in (map(Fraction, one) for one in (a, b))
    )
    common = max(min(r1, r2) - max(l1, l2), 0) * max(min(b1, b2) - max(t1, t2), 0)
    return common / ((r1 - l1) * (b1 - t1) + (r2 - l2) * (b2 - t2) - common)


def at_threshold(k, given, least) -> tuple[int, int]:
    """Right and wrong detections of class k, if only those of at least that probability are shown."""
    right = wrong = 0
    for truths, shown in given:
        free = {n: hard for n, (class_, _, hard) in enumerate(truths) if class_ == k}
        for _, _, box in sorted((d for d in shown if d[1] == k and d[0] >= least), reverse=True):
            of_class = [n for n, (class_, _, _) in enumerate(truths) if class_ == k]
            best = max(of_class, key=lambda n: (overlap(box, truths[n][1]), -n), default=None)
            if best is None or overlap(box, truths[best][1]) < Fraction(1, 2):
                wrong += 1
            elif truths[best][2]:
                continue
            elif best in free:
                right += 1
                del free[best]
            else:
                wrong += 1
    return right, wrong


def exact_average(k, given) -> Fraction | None:
    """The integral over recall of the best precision at that recall or beyond, from all thresholds."""
    total = sum(class_ == k and not hard for truths, _ in given for class_, _, hard in truths)
    if not total:
        return None
    points = []
    for least in sorted({d[0] for _, shown in given for d in shown}):
        right, wrong = at_threshold(k, given, least)
        if right + wrong:
            points.append((Fraction(right, total), Fraction(right, right + wrong)))
    steps = [Fraction(n, total) for n in range(1, total + 1)]
    return sum((max((p for r, p in points if r >= step), default=Fraction(0)) for step in steps), Fraction(0)) / total


@settings(max_examples=200, deadline=None)
@given(pictures, st.randoms(use_true_random=False))
def test_average_precision_is_the_integral_over_all_thresholds(drawn, random):
    count = sum(len(shown) for _, shown in drawn)
    ranks = random.sample(range(1, count + 1), count)  # all different
    given = [(truths, [(ranks.pop(), k, box) for k, box in shown]) for truths, shown in drawn]
    found = average_precisions(
        [[Detection(k, rank / (count + 1), *box) for rank, k, box in shown] for _, shown in given],
        [np.array([(k, *box) for k, box, _ in truths]).reshape(-1, 5) for truths, _ in given],
        CLASSES,
        [np.array([hard for *_, hard in truths], bool) for truths, _ in given],
    )
    averages = []
    for k in range(CLASSES):
        expected = exact_average(k, given)
        right, wrong = at_threshold(k, given, 0)
        assert (found[k].right, found[k].wrong) == (right, wrong)
        if expected is None:
            assert np.isnan(found[k].average) and found[k].truths == 0
        else:
            averages.append(expected)
            assert found[k].average == pytest.approx(float(expected), abs=1e-12)
    assert mean(found) == pytest.approx(float(sum(averages) / len(averages)) if averages else float("nan"), nan_ok=True)


def one(k, probability, *box) -> Detection:
    return Detection(k, probability, *box)


BOX, FAR = (0.3, 0.3, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2)


def test_by_hand_right_wrong_right_is_five_sixths():
    found = [[one(0, 0.9, *BOX), one(0, 0.8, 0.5, 0.5, 0.1, 0.1), one(0, 0.7, *FAR)]]
    (precision,) = average_precisions(found, [np.array([(0, *BOX), (0, *FAR)])], 1)
    assert precision.average == pytest.approx((1 + 2 / 3) / 2) and (precision.right, precision.wrong) == (2, 1)


def test_finding_the_same_thing_twice_is_once_wrong():
    found = [[one(0, 0.9, *BOX), one(0, 0.8, *BOX)]]
    (precision,) = average_precisions(found, [np.array([(0, *BOX)])], 1)
    assert precision.average == 1 and (precision.right, precision.wrong) == (1, 1)


def test_what_is_difficult_counts_neither_for_nor_against():
    found = [[one(0, 0.9, *FAR), one(0, 0.8, *BOX)]]
    (precision,) = average_precisions(found, [np.array([(0, *BOX), (0, *FAR)])], 1, [np.array([False, True])])
    assert precision.average == 1 and (precision.truths, precision.right, precision.wrong) == (1, 1, 0)


def test_pictures_are_told_apart_and_a_class_without_truths_is_left_out_of_the_mean():
    found = [[one(0, 0.9, *BOX), one(1, 0.9, *BOX)], []]
    nothing = np.zeros((0, 5))
    precisions = average_precisions(found, [nothing, np.array([(0, *BOX)])], 2)
    assert precisions[0].average == 0 and np.isnan(precisions[1].average) and mean(precisions) == 0
    assert np.isnan(mean(average_precisions([[]], [nothing], 2)))


def test_an_overlap_of_exactly_one_half_is_enough():
    half = (0.5, 0.5, 0.5, 0.25)  # of a box of .5 x .5, in binary fractions
    (precision,) = average_precisions([[one(0, 0.9, *half)]], [np.array([(0, 0.5, 0.5, 0.5, 0.5)])], 1)
    assert precision.average == 1
