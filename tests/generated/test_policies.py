"""Learning-rate policies: the numbers that Darknet's formulas give, worked by hand, and mistakes that name key and line."""

import math

import numpy as np
import pytest

from generated.configuration import ConfigurationError, parse_configuration
from generated.policies import NEEDED, Policy, PolicyError

BY_HAND = {
    "constant": (Policy(0.5), {1: 0.5, 10**6: 0.5}),
    "step: every third batch a half": (
        Policy(0.8, "step", step=3, scale=0.5), {1: 0.8, 2: 0.8, 3: 0.4, 5: 0.4, 6: 0.2, 9: 0.1},
    ),
    "steps: a scale counts from its step on": (
        Policy(0.001, "steps", steps=(400, 450), scales=(0.1, 0.5)),
        {1: 0.001, 399: 0.001, 400: 0.0001, 449: 0.0001, 450: 0.00005, 9999: 0.00005},
    ),
    "steps that begin before the training": (
        Policy(1.0, "steps", steps=(-1, 100), scales=(0.1, 10)), {1: 0.1, 99: 0.1, 100: 1.0},
    ),
    "steps: one that is not reached hides those after it": (
        Policy(1.0, "steps", steps=(10, 5), scales=(0.5, 0.1)), {1: 1.0, 5: 1.0, 9: 1.0, 10: 0.05},
    ),
    "exp": (Policy(2.0, "exp", gamma=0.5), {1: 1.0, 2: 0.5, 5: 0.0625}),
    "poly: to the fourth power unless said otherwise": (
        Policy(0.1, "poly", max_batches=10), {1: 0.1 * 0.9**4, 5: 0.1 / 16, 9: 0.1 * 1e-4, 10: 0.0, 11: 0.0},
    ),
    "poly of power one": (Policy(3.0, "poly", power=1, max_batches=4), {1: 2.25, 2: 1.5, 3: 0.75, 4: 0.0}),
    "sigmoid": (
        Policy(1.0, "sigmoid", gamma=math.log(3), step=5), {5: 0.5, 4: 0.75, 6: 0.25, 3: 0.9, 7: 0.1},
    ),
    "sigmoid far from its step": (Policy(1.0, "sigmoid", gamma=1, step=5), {10**9: 0.0}),
    "burn-in, then what follows": (
        Policy(1.6, "steps", steps=(4, 8), scales=(0.5, 0.5), burn_in=6, power=2),
        {1: 1.6 / 36, 3: 0.4, 5: 1.6 * 25 / 36, 6: 0.8, 7: 0.8, 8: 0.4},
    ),
    "burn-in to the fourth power": (Policy(1.0, burn_in=10), {1: 1e-4, 5: 0.0625, 9: 0.6561, 10: 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_rates_are_those_worked_by_hand(case):
    policy, expected = BY_HAND[case]
    assert {batch: policy.rate(batch) for batch in expected} == pytest.approx(expected, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("case", BY_HAND)
def test_rates_of_many_batches_are_those_of_each(case):
    policy, _ = BY_HAND[case]
    assert policy.rates(3, 9).tolist() == [policy.rate(batch) for batch in range(3, 12)]
    assert policy.rates(1, 0).shape == (0,) and policy.rates(1, 4).dtype == np.float64


def test_random_rates_come_from_the_seed_and_are_spread_as_powers_of_uniform_draws():
    policy = Policy(2.0, "random", power=3, seed=5)
    rates = policy.rates(1, 2000)
    assert rates[700] == policy.rate(701) != Policy(2.0, "random", power=3, seed=6).rate(701)
    shares = (rates / 2) ** (1 / 3)  # uniform in [0, 1)
    assert shares.min() >= 0 and shares.max() < 1
    assert abs(np.sort(shares) - (np.arange(2000) + 0.5) / 2000).max() < 0.04  # Kolmogorov: 0.04 once in 300


def test_the_policies_are_darknets():
    assert set(NEEDED) == {"constant", "step", "steps", "exp", "poly", "sigmoid", "random"}
    with pytest.raises(PolicyError, match="policy: must be one of constant, step"):
        Policy(name="cosine")


IN_A_FILE = {
    "constant": ("", Policy(0.001)),
    "step": ("policy=step\nstep=7\nscale=.5", Policy(0.001, "step", step=7, scale=0.5)),
    "steps": (
        "learning_rate=.1\npolicy=steps\nsteps = 5, 9\nscales = .1, 2\nburn_in=3",
        Policy(0.1, "steps", steps=(5, 9), scales=(0.1, 2.0), burn_in=3),
    ),
    "exp": ("policy=exp\ngamma=.99", Policy(0.001, "exp", gamma=0.99)),
    "poly": ("policy=poly\nmax_batches=70\npower=2", Policy(0.001, "poly", power=2.0, max_batches=70)),
    "sigmoid": ("policy=sigmoid\ngamma=.5\nstep=9", Policy(0.001, "sigmoid", gamma=0.5, step=9)),
    "random": ("policy=random\npower=1", Policy(0.001, "random", power=1.0)),
    "settings that the policy does not need": ("policy=constant\nstep=7\nsteps=1,2\nscales=1", Policy(0.001)),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_A_FILE)
def test_a_file_states_its_policy_and_has_it_back_when_it_is_written(case):
    text, policy = IN_A_FILE[case]
    found = parse_configuration(f"[net]\ninputs=3\n{text}\n[softmax]")
    assert found.training.policy == policy and found.training.max_batches == policy.max_batches
    assert parse_configuration(found.text()).training == found.training


BAD = {
    "an unknown policy": ("policy=cosine", r"my.cfg:3: \[net\] policy=cosine: must be one of constant, step, steps, exp, poly"),
    "steps without scales": ("policy=steps\nsteps=1", r"my.cfg:1: \[net\] scales: policy=steps needs steps and scales"),
    "scales without steps": ("policy=steps\nscales=1", r"my.cfg:1: \[net\] steps: policy=steps needs steps and scales"),
    "lists of different length": (
        "policy=steps\nsteps=1,2,3\nscales=.1,.1", r"my.cfg:5: \[net\] scales=.1,.1: policy=steps has 3 steps and 2 scales"
    ),
    "step without step": ("policy=step\nscale=.5", r"my.cfg:1: \[net\] step: policy=step needs step and scale"),
    "step of nothing": ("policy=step\nscale=.5\nstep=0", r"my.cfg:5: \[net\] step=0: policy=step needs step and scale"),
    "exp without gamma": ("policy=exp", r"my.cfg:1: \[net\] gamma: policy=exp needs gamma"),
    "poly without end": ("policy=poly", r"my.cfg:1: \[net\] max_batches: policy=poly needs max_batches"),
    "sigmoid without step": ("policy=sigmoid\ngamma=1", r"my.cfg:1: \[net\] step: policy=sigmoid needs step and gamma"),
    "no numbers": ("policy=steps\nsteps=a", r"my.cfg:4: \[net\] steps=a: must be .*: whole numbers"),
    "no scales": ("policy=steps\nsteps=1\nscales=1,", r"my.cfg:5: \[net\] scales=1,: must be .*: numbers"),
    "a negative power": ("power=-1", r"my.cfg:3: \[net\] power=-1: must be a number, 0 or more"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_names_key_and_line(case):
    text, message = BAD[case]
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_configuration(f"[net]\ninputs=3\n{text}\n[softmax]", "my.cfg")
    assert "\n" not in str(caught.value)
