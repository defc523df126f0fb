"""Which way a contraction is computed: by its sizes and the accuracy asked for alone."""

import pytest

from generated.choice import ACCURACIES, choose
from generated.filtering import FILTERINGS
from generated.layers import CONVOLUTION, DENSE, GROUPED_CONVOLUTION

FORWARD = CONVOLUTION.forward[0]
PLAIN = {"stride": 1.0, "dilation": 1.0}


def kernel(written: str):
    return next(k for k in CONVOLUTION.backward if k.writes == (written,))


def sizes(n=8, plane=56, taps=(3, 3), channels=64, filters=64) -> dict[str, int]:
    places = {"p": plane, "q": plane, "i": plane, "j": plane}
    return {"n": n, **places, "u": taps[0], "v": taps[1], "c": channels, "o": filters}


def test_tiles_are_larger_in_a_hurry():
    ways = {accuracy: choose(FORWARD, sizes(), PLAIN, accuracy) for accuracy in ACCURACIES}
    assert ways["direct"].name == "direct" and ways["direct"].filtering is None
    assert ways["default"].name == "F(2x2, 3x3)"
    assert [f.m for f in ways["fast"].filtering] > [2, 2]
    assert ways["fast"].cost < ways["default"].cost < ways["direct"].cost


@pytest.mark.parametrize("written", ("delta_a", "nabla_w"))
def test_both_gradients_have_a_choice_of_their_own(written):
    assert choose(kernel(written), sizes(), PLAIN, "default").filtering is not None


@pytest.mark.parametrize("setting", ({"stride": 2.0}, {"dilation": 2.0}))
def test_steps_of_two_leave_one_way(setting):
    assert choose(FORWARD, sizes(), {**PLAIN, **setting}, "fast") is None


def test_a_filter_of_one_place_and_a_dense_layer_have_one_way():
    assert choose(FORWARD, sizes(taps=(1, 1)), PLAIN, "fast") is None
    assert choose(DENSE.forward[0], {"n": 128, "j": 512, "k": 512}, {}, "fast") is None


def test_filters_without_a_filtering_are_direct():
    assert choose(FORWARD, sizes(taps=(7, 7)), PLAIN, "fast").name == "direct"


def test_little_work_is_done_directly():
    way = choose(FORWARD, sizes(n=1, plane=8, channels=8, filters=8), PLAIN, "fast")
    assert way.name == "direct" and "little" in way.why


def test_few_channels_do_not_pay_for_transforms():
    assert choose(FORWARD, sizes(n=1, plane=416, channels=3, filters=16), PLAIN, "default").name == "direct"


def test_along_one_axis_a_filter_of_one_row_is_filtered():
    assert choose(FORWARD, sizes(taps=(1, 3)), PLAIN, "fast").name in ("F(2, 3)", "F(4, 3)", "F(6, 3)")


def test_shares_of_a_gradient_follow_from_the_sizes():
    many, few = (choose(kernel("nabla_w"), sizes(n=n), PLAIN, "default") for n in (64, 8))
    assert many.shares == 8 and 1 <= few.shares <= 8


def test_a_tile_that_is_asked_for_is_taken_whatever_it_costs():
    small = sizes(n=1, plane=5, channels=1, filters=1)
    for (m, r), _ in FILTERINGS.items():
        if r == 3:
            assert choose(FORWARD, small, PLAIN, "direct", (m, m)).name == f"F({m}x{m}, 3x3)"


def test_groups_count_once_for_each():
    grouped = GROUPED_CONVOLUTION.forward[0]
    one, two = (choose(grouped, {**sizes(), "g": g}, PLAIN, "default") for g in (1, 2))
    assert one.name == two.name and two.cost == 2 * one.cost
