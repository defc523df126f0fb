"""Augmentation: nothing asked, nothing changed; boxes stay around what they were around; colours as colorsys has them."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.detection.augmentation import LEAST, Augmentation, Change, boxes_in, changed, drawn, recolour
from derive.detection.pictures import Place, letterbox, letterbox_place

ALL = Augmentation(jitter=0.3, hue=0.1, saturation=1.5, exposure=1.5, flip=True)
sides = st.integers(8, 60)
seeds = st.integers(0, 2**31)


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, rows, columns)).astype(np.uint8)


@given(sides, sides, sides, sides, seeds, st.integers(0, 99), st.integers(0, 999))
def test_nothing_asked_is_the_letterbox(rows, columns, width, height, seed, epoch, sample):
    picture = noise(rows, columns)
    change = drawn(Augmentation(), columns, rows, width, height, seed, epoch, sample)
    assert change == Change(letterbox_place(columns, rows, width, height))
    np.testing.assert_array_equal(changed(picture, change), letterbox(picture, width, height))


@settings(deadline=None)  # compiles
@given(seeds, st.integers(0, 3), st.integers(0, 3))
def test_a_change_is_what_seed_epoch_and_sample_say(seed, epoch, sample):
    size = (50, 40, 64, 48)
    change = drawn(ALL, *size, seed, epoch, sample)
    assert drawn(ALL, *size, seed, epoch, sample) == change
    others = [(seed + 1, epoch, sample), (seed, epoch + 1, sample), (seed, epoch, sample + 1)]
    assert all(drawn(ALL, *size, *other) != change for other in others)
    place = change.place
    assert 0 <= place.left <= 64 - place.columns and 0 <= place.top <= 48 - place.rows
    assert place.columns == 64 or place.rows == 48  # as large as there is room for
    least, most = 50 / 40 * 0.7 / 1.3, 50 / 40 * 1.3 / 0.7
    assert least * 0.97 < place.columns / place.rows < most * 1.03
    assert abs(change.hue) <= 0.1 and 1 / 1.5 <= change.saturation <= 1.5 and 1 / 1.5 <= change.exposure <= 1.5
    picture = noise(40, 50)
    np.testing.assert_array_equal(changed(picture, change), changed(picture, change))


def test_all_of_the_range_is_drawn_and_each_part_can_be_switched_off():
    found = [drawn(ALL, 50, 40, 64, 64, 0, 0, sample) for sample in range(400)]
    flipped = np.mean([one.place.flipped for one in found])
    assert 0.4 < flipped < 0.6
    for name, least, most in (("hue", -0.1, 0.1), ("saturation", 1 / 1.5, 1.5), ("exposure", 1 / 1.5, 1.5)):
        values = [getattr(one, name) for one in found]
        assert min(values) < least + 0.02 and max(values) > most - 0.02
        only = Augmentation(**{name: getattr(ALL, name)})
        same = drawn(only, 50, 40, 64, 64, 0, 0, 7)
        assert getattr(same, name) == getattr(found[7], name) and same.place == letterbox_place(50, 40, 64, 64)
    assert len({(one.place.left, one.place.top, one.place.columns) for one in found}) > 50


@settings(deadline=None)
@given(sides, sides, seeds, st.integers(0, 999), st.data())
def test_a_marked_pixel_inside_a_box_stays_inside_the_moved_box(rows, columns, seed, sample, data):
    width, height = 96, 80
    box = data.draw(st.tuples(st.integers(0, columns - 2), st.integers(0, rows - 2)))
    size = data.draw(st.tuples(st.integers(2, columns - box[0]), st.integers(2, rows - box[1])))
    place = drawn(Augmentation(jitter=0.4, flip=True), columns, rows, width, height, seed, 0, sample).place
    picture = np.zeros((3, rows, columns), np.uint8)
    picture[:, box[1] : box[1] + size[1], box[0] : box[0] + size[0]] = 255
    share = np.array(
        [[5, (box[0] + size[0] / 2) / columns, (box[1] + size[1] / 2) / rows, size[0] / columns, size[1] / rows]]
    )
    ((class_, x, y, w, h),) = boxes_in(share, place)
    assert class_ == 5
    inside = changed(picture, Change(place))[0] > 0.999
    inside[: place.top], inside[place.top + place.rows :] = False, False
    ys, xs = np.nonzero(inside)
    # pixel centres; the linear interpolation from corner to corner moves them by less than one step of the picture
    slack = np.array([1 + place.columns / columns, 1 + place.rows / rows])
    for at, centre, extent, room in ((xs, x * width, w * width, slack[0]), (ys, y * height, h * height, slack[1])):
        if at.size:
            assert at.min() + 0.5 >= centre - extent / 2 - room and at.max() + 0.5 <= centre + extent / 2 + room


def test_flipping_exchanges_left_and_right_and_nothing_else():
    place = Place(4, 2, 30, 20, 40, 24)
    flipped = Place(4, 2, 30, 20, 40, 24, flipped=True)
    picture, boxes = noise(20, 30), np.array([[2, 0.25, 0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(changed(picture, Change(flipped)), changed(picture, Change(place))[:, :, ::-1])
    there, back = boxes_in(boxes, place), boxes_in(boxes, flipped)
    np.testing.assert_allclose(back[:, 1], 1 - there[:, 1])
    np.testing.assert_allclose(back[:, [0, 2, 3, 4]], there[:, [0, 2, 3, 4]])


def test_boxes_are_clipped_at_the_input_and_dropped_when_nothing_is_left():
    place = Place(-10, 0, 40, 20, 20, 20)  # the middle half of the picture is in the input
    boxes = np.array(
        [[0, 0.5, 0.5, 1, 1], [1, 0.1, 0.5, 0.2, 0.2], [2, 0.25, 0.5, 0.2, 0.5], [3, 0.5, 0.5, LEAST / 4, 0.5]]
    )
    np.testing.assert_allclose(boxes_in(boxes, place), [[0, 0.5, 0.5, 1, 1], [2, 0.1, 0.5, 0.2, 0.5]], atol=1e-12)
    assert boxes_in(np.zeros((0, 5)), place).shape == (0, 5)


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(-1, 1), st.floats(0.2, 4), st.floats(0.2, 4))
def test_colours_are_those_of_the_python_library(rgb, hue, saturation, exposure):
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in rgb))
    s, v = s * saturation, v * exposure
    if s <= 1:  # the library has no colours beyond
        oracle = np.clip(colorsys.hsv_to_rgb((h + hue) % 1, s, v), 0, 1)
    else:
        full = np.array(colorsys.hsv_to_rgb((h + hue) % 1, 1, 1))
        oracle = np.clip(v * (1 - s * (1 - full)), 0, 1)
    pixel = np.array(rgb, np.float32).reshape(3, 1, 1) / np.float32(255)
    recolour(pixel, np.float32(hue), np.float32(saturation), np.float32(exposure))
    np.testing.assert_allclose(pixel[:, 0, 0], oracle, atol=5e-5)


@pytest.mark.parametrize(
    "wrong", [{"jitter": -0.1}, {"jitter": 1}, {"hue": 2}, {"saturation": 0.5}, {"exposure": float("nan")}]
)
def test_a_value_that_means_nothing_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be from"):
        Augmentation(**wrong)
