"""Which predictions answer for which truths: intersection over union, anchors, cells, thresholds; and truths as they are given."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_yolo import Grid, assigned, iou

from generated.assignment import ASSIGN, intersection_over_union, likest_anchor
from generated.heads import PLAIN, as_truths, with_room
from generated.program import Call, Program, Stage

TARGETS = ("x_true", "y_true", "w_true", "h_true", "o_true", "scale", "weight_o", "weight_c")
ANCHORS = [(10, 14), (23, 27), (37, 58), (81, 82)]

share = st.floats(0, 1)
size = st.floats(1e-6, 1)
box = st.tuples(share, share, size, size)


def grid_of(**changes) -> Grid:
    settings = {"columns": 3, "rows": 2, "net_w": 96, "net_h": 64, "anchors": ANCHORS, "mask": [1, 2], "classes": 3}
    return Grid(**settings | changes)


def run(boxes, truths, grid: Grid, dtype="float64", *, parallel=False, grain=0) -> dict[str, np.ndarray]:
    """The kernel on boxes (N, P, 4) and truths, a list of rows for each sample."""
    boxes = np.asarray(boxes, dtype)
    count, predictions, _ = boxes.shape
    arrays = {f"b_{name}": np.ascontiguousarray(boxes[..., k]) for k, name in enumerate("xywh")}
    arrays |= {name: np.full((count, predictions), np.nan, dtype) for name in TARGETS}
    arrays["c_true"] = np.full((count, predictions, grid.classes), np.nan, dtype)
    arrays |= {"anchor": np.array(grid.anchors, dtype), "mask": np.array(grid.mask, np.int32)}
    arrays["truth"] = as_truths(truths, count, grid.classes, np.dtype(dtype))
    cells = {**PLAIN, "lw": grid.columns, "lh": grid.rows, "net_w": grid.net_w, "net_h": grid.net_h, "step": 1}
    cells |= {"ignore_threshold": grid.ignore, "truth_threshold": grid.sure}
    scalars = {name: np.array([float(value)]) for name, value in cells.items()}
    Program([Stage([Call(ASSIGN, arrays, scalars)], grain=grain, parallel=parallel)], dtype).run()
    return arrays


def far(grid: Grid, count: int = 1) -> np.ndarray:
    """Boxes that cover no truth."""
    return np.tile([0.5, 0.5, 1e-9, 1e-9], (count, len(grid.places), 1))


def check(boxes, truths, grid: Grid) -> dict[str, np.ndarray]:
    """That the kernel says what plain Python does."""
    found = run(boxes, truths, grid)
    for n, rows in enumerate(truths):
        for p, target in enumerate(assigned(boxes[n], list(map(tuple, rows)), grid)):
            theirs = (target.x, target.y, target.w, target.h, target.o, target.scale, target.weight_o, target.weight_c)
            np.testing.assert_allclose([found[name][n, p] for name in TARGETS], theirs, rtol=1e-12, atol=1e-12)
            assert found["c_true"][n, p].tolist() == target.classes
    return found


# Intersection over union ----------------------------------------------------------------------------------------------


def test_intersection_over_union_of_boxes_worked_out_by_hand():
    assert intersection_over_union(0.5, 0.5, 1.0, 1.0, 0.5, 0.5, 1.0, 1.0) == 1
    assert intersection_over_union(0.25, 0.5, 0.5, 1.0, 0.5, 0.5, 1.0, 1.0) == 0.5  # the left half
    assert intersection_over_union(1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0) == 1 / 7  # 1 of 4 + 4 - 1
    assert intersection_over_union(0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0) == 0  # they touch
    assert intersection_over_union(0.0, 0.0, 1.0, 1.0, 5.0, 0.0, 1.0, 1.0) == 0


@given(box, box)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_intersection_over_union_is_the_exact_one_and_the_same_both_ways_round(one, other):
    found = intersection_over_union(*one, *other)
    assert found == intersection_over_union(*other, *one)
    assert 0 <= found <= 1 + 1e-12
    assert abs(found - iou(one, other)) < 1e-9  # sizes of 1e-6 at a centre near 1 leave 10 digits
    assert intersection_over_union(*one, *one) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("w", [0.0, 1e-30, np.inf, np.nan])
def test_boxes_without_area_or_without_end_cover_nothing(w):
    for other in ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, w, w)):
        assert intersection_over_union(0.5, 0.5, w, w, *other) == 0
        assert intersection_over_union(*other, 0.5, 0.5, w, 0.1) == 0


@given(st.tuples(size, size), st.lists(st.tuples(size, size), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_likest_anchor_has_the_largest_intersection_over_union_by_shape(shape, anchors):
    found = likest_anchor(*shape, np.array(anchors))
    values = [iou((0, 0, *shape), (0, 0, *anchor)) for anchor in anchors]
    assert values[found] >= max(values) - Fraction(1, 10**12)


def test_of_equal_anchors_the_first_is_the_likest():
    assert likest_anchor(0.5, 0.5, np.array([(0.2, 0.2), (0.4, 0.5), (0.5, 0.4), (0.4, 0.5)])) == 1


# Assignment -----------------------------------------------------------------------------------------------------------


def test_a_truth_belongs_to_the_likest_anchor_in_its_cell_and_nothing_else_does():
    """24 x 30 pixels of 96 x 64: anchor 1 (23 x 27), the first of the mask; centre (0.7, 0.3): cell (2, 0) of 3 x 2."""
    grid = grid_of()
    found = run(far(grid), [[(2, 0.7, 0.3, 24 / 96, 30 / 64)]], grid)
    p = (0 * 3 + 2) * 2 + 0
    expected = {"x_true": 0.1, "y_true": 0.6, "w_true": np.log(24 / 23), "h_true": np.log(30 / 27)}
    expected |= {"scale": 2 - 24 / 96 * 30 / 64, "o_true": 1, "weight_o": 1, "weight_c": 1}
    for name, value in expected.items():
        assert found[name][0, p] == pytest.approx(value, rel=1e-12), name
    assert found["c_true"][0, p].tolist() == [0, 0, 1]
    others = np.delete(np.arange(12), p)
    assert not any(found[name][0, others].any() for name in TARGETS if name != "weight_o")
    assert (found["weight_o"][0, others] == 1).all() and not found["c_true"][0, others].any()


def test_a_truth_whose_anchor_another_head_has_is_not_this_ones():
    for mask, answered in (([3], 1), ([0], 0), ([0, 1, 2], 0), ([0, 3], 1)):
        grid = grid_of(mask=mask)
        found = run(far(grid), [[(0, 0.5, 0.5, 80 / 96, 1.0)]], grid)
        assert found["o_true"].sum() == answered


def test_of_several_truths_in_one_place_the_last_has_its_box_there_and_the_classes_of_all_count():
    grid = grid_of()
    truths = [(2, 0.1, 0.1, 24 / 96, 27 / 64), (1, 0.2, 0.1, 24 / 96, 27 / 64), (0, 0.2, 0.3, 22 / 96, 27 / 64)]
    found = check(far(grid), [truths], grid)
    assert found["c_true"][0, 0].tolist() == [1, 1, 1] and found["o_true"].sum() == 1
    assert found["x_true"][0, 0] == pytest.approx(0.6) and found["w_true"][0, 0] == pytest.approx(np.log(22 / 23))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_centres_on_the_border_stay_on_the_grid(dtype):
    grid = grid_of()
    for x in (0.0, 1.0, float(np.nextafter(np.float32(1), 0)), 1 - 1e-12):
        for y in (0.0, 1.0):
            found = run(far(grid), [[(0, x, y, 0.25, 0.4)]], grid, dtype)
            (p,) = np.flatnonzero(found["o_true"])
            column, row, _ = grid.places[p]
            assert (column, row) == (2 * (x > 0.5), int(y))
            assert found["x_true"][0, p] == pytest.approx(float(x > 0.5), abs=1e-6)
            assert found["y_true"][0, p] == y


def test_a_prediction_that_covers_a_truth_well_is_not_asked_for_objectness_but_where_it_answers():
    grid = grid_of(ignore=0.5)
    truth = (1, 0.7, 0.3, 24 / 96, 30 / 64)
    boxes = far(grid)
    boxes[0, 3] = truth[1:]  # elsewhere, and covers it
    boxes[0, 4] = truth[1:]  # where it belongs
    boxes[0, 5] = (*truth[1:3], truth[3] / 2, truth[4])  # covers half of it, which is not above the threshold
    found = check(boxes, [[truth]], grid)
    assert found["weight_o"][0].tolist() == [1, 1, 1, 0, *[1] * 8]
    assert np.flatnonzero(found["o_true"]).tolist() == [4]


def test_above_the_truth_threshold_a_prediction_answers_for_the_truth_that_it_covers_best():
    grid = grid_of(ignore=0.3, sure=0.6)
    truths = [(1, 0.7, 0.3, 24 / 96, 30 / 64), (2, 0.65, 0.3, 24 / 96, 30 / 64)]
    boxes = far(grid)
    boxes[0, 0] = truths[1][1:]  # in another cell: x_true lies outside of 0 to 1
    boxes[0, 5] = truths[0][1:]  # of the other anchor
    found = check(boxes, [truths], grid)
    assert np.flatnonzero(found["o_true"]).tolist() == [0, 2, 4, 5]
    assert found["x_true"][0, 0] == pytest.approx(0.65 * 3) and found["c_true"][0, 0].tolist() == [0, 0, 1]
    assert found["c_true"][0, 5].tolist() == [0, 1, 0]


def test_without_truths_nothing_is_there():
    grid = grid_of()
    found = run(far(grid, 2), [[], []], grid)
    assert (found["weight_o"] == 1).all()
    assert not any(found[name].any() for name in (*TARGETS, "c_true") if name != "weight_o")


truth = st.tuples(st.integers(0, 2), share | st.sampled_from([1 / 3, 2 / 3, 0.5, 1.0]), share, size, size)


@st.composite
def scenes(draw):
    """A grid, the boxes of two samples' predictions, and truths, some of which boxes cover."""
    grid = grid_of(
        columns=draw(st.integers(1, 4)),
        rows=draw(st.integers(1, 4)),
        mask=draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True)),
        ignore=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        sure=draw(st.sampled_from([0.4, 0.7, 1.0])),
    )
    truths = draw(st.lists(st.lists(truth, max_size=5), min_size=2, max_size=2))
    boxes = np.random.default_rng(draw(st.integers(0, 99))).uniform(0.02, 0.9, (2, len(grid.places), 4))
    for n, rows in enumerate(truths):
        for _, *covered in rows[::2]:
            boxes[n, draw(st.integers(0, len(grid.places) - 1))] = covered
    return grid, boxes, truths


@given(scenes())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_assignment_is_that_of_plain_python(scene):
    grid, boxes, truths = scene
    found = check(boxes, truths, grid)
    responsible = found["o_true"] == 1
    assert (found["weight_c"] == responsible).all() and ((found["scale"] > 0) == responsible).all()
    assert (found["c_true"].any(axis=2) == responsible).all() and (found["weight_o"][responsible] == 1).all()


def test_the_assignment_has_the_same_bits_however_samples_are_shared_out():
    grid, random = grid_of(columns=13, rows=13), np.random.default_rng(0)
    boxes = random.uniform(0.05, 0.9, (7, len(grid.places), 4))
    truths = [np.column_stack([random.integers(0, 3, n), random.uniform(0.05, 1, (n, 4))]) for n in range(7)]
    first = run(boxes, truths, grid, "float32")
    for how in ({"grain": 1}, {"grain": 2, "parallel": True}):
        again = run(boxes, truths, grid, "float32", **how)
        assert all(np.array_equal(first[name], again[name]) for name in (*TARGETS, "c_true"))


# Truths as they are given ---------------------------------------------------------------------------------------------

ROW = [1, 0.5, 0.25, 0.1, 0.2]


def test_truths_are_kept_in_rows_those_that_are_none_last():
    none = [-1, 0, 0, 0, 0]
    expected = with_room(np.array([[ROW], [none], [ROW]]), 8)
    for given_ in ([[ROW], [], np.array([ROW])], np.array([[none, ROW], [none, none], [ROW, none]])):
        assert np.array_equal(as_truths(given_, 3, 2, np.dtype("float64")), expected)
    assert as_truths([[ROW] * 9], 1, 2, np.dtype("float32")).shape == (1, 16, 5)
    assert as_truths([[ROW]], 1, 2, np.dtype("float32"), room=20).shape == (1, 32, 5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: 2}, "y: sample 1, row 1: class is 2, not a whole number from 0 to 1"),
        ({0: 0.5}, "y: sample 1, row 1: class is 0.5, not a whole number from 0 to 1"),
        ({1: -0.1}, "y: sample 1, row 1: x is -0.1, not a share of the network's input, from 0 to 1"),
        ({2: 1.5}, "y: sample 1, row 1: y is 1.5, not a share"),
        ({3: 0}, "y: sample 1, row 1: w is 0, not a share of the network's input, above 0 and at most 1"),
        ({4: 0}, "y: sample 1, row 1: h is 0, not a share"),
        ({4: 1e-60}, "y: sample 1, row 1: h is 1e-60, not a share"),  # 0 in float32
        ({4: 2}, "y: sample 1, row 1: h is 2, not a share"),
        ({3: np.nan}, "y: sample 1, row 1: w is nan, not a share"),
    ],
)
def test_a_truth_that_cannot_be_is_refused_by_sample_row_and_number(change, said):
    wrong = [change.get(k, value) for k, value in enumerate(ROW)]
    with pytest.raises(ValueError) as error:
        as_truths([[ROW], [ROW, wrong]], 2, 2, np.dtype("float32"))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (None, r"y must be truths: .*; it is NoneType"),
        ([[ROW]], r"y must be truths: for each of the 2 samples .*; it has 1 entries"),
        ([[ROW], [[1, 2, 3]]], r"y: sample 1: .*; its shape is \(1, 3\)"),
        ([[ROW], ROW], r"y: sample 1: .*; its shape is \(5,\)"),
        ([[ROW], "none"], r"y: sample 1: .*: these are <U4"),
        ([[ROW], [[1, "a", 0, 0, 0]]], r"y: sample 1: .*: these are <U"),
        ([[ROW], [ROW, [1]]], r"y: sample 1: "),
        (np.zeros((2, 5)), r"y: sample 0: .*; its shape is \(5,\)"),
    ],
)
def test_what_is_no_list_of_truths_is_refused(given_, said):
    with pytest.raises(ValueError, match=said):
        as_truths(given_, 2, 2, np.dtype("float32"))
