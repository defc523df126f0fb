"""Network: what it takes and refuses, that a seed gives the same bits everywhere, that no failure leaves it half-done."""

import _thread
import copy
import json
import pickle
import re
import signal
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from generated import DivergedError, Network, load, names
from generated import network as module
from generated.definition import RULES

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [("dense", 11), "tanh", ("dense", 3), "softmax"]


def blobs(count: int = 203, features: int = 7, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = random.integers(classes, size=count)
    return random.standard_normal((count, features)) + 2 * np.eye(classes, features)[y], y


X, Y = blobs()


def classifier(**options) -> Network:
    return Network(LAYERS, cost="softmax_cross_entropy", **{"random_state": 0, **options})


def fitted(**options) -> Network:
    return classifier().fit(X, Y, **{"epochs": 3, "batch_size": 20, "verbose": False, **options})


def bits(network: Network) -> bytes:
    return b"".join(p.tobytes() for layer in network.parameters for p in layer.values())


# What is refused ------------------------------------------------------------------------------------------------------

NAN, INFINITE, HUGE = X.copy(), X.copy(), X.copy()
NAN[5, 2], INFINITE[0, 0], HUGE[1, 1] = np.nan, -np.inf, 1e300
SHARES = np.full((len(X), 3), 0.25)
BAD_FITS = {
    "features that are not there": ({"X": X[:, :0]}, r"X has samples without numbers"),
    "no samples": ({"X": X[:0], "y": Y[:0]}, r"X has no samples"),
    "one axis": ({"X": X[:, 0]}, r"one row a sample.*\(203,\)"),
    "a number": ({"X": 3.0}, r"one row a sample.*\(\)"),
    "words": ({"X": X.astype(str)}, r"X must be an array of numbers"),
    "complex numbers": ({"X": X + 1j}, r"X must be an array of numbers: these are complex128"),
    "nothing": ({"X": np.array([[None] * 7] * 203)}, r"X has the value nan at \[0, 0\]"),
    "objects": ({"X": np.array([[{}] * 7] * 203)}, r"X must be an array of numbers"),
    "rows of unequal length": ({"X": [[1.0, 2.0], [3.0]]}, r"X must be an array of numbers"),
    "nan": ({"X": NAN}, r"X has the value nan at \[5, 2\]"),
    "infinity": ({"X": INFINITE}, r"X has the value -inf at \[0, 0\]"),
    "what float32 cannot hold": ({"X": HUGE}, r"X has the value inf at \[1, 1\].*finite numbers of float32"),
    "too few labels": ({"y": Y[:-1]}, r"one entry a sample, 203.*\(202,\)"),
    "no labels": ({"y": None}, r"one entry a sample, 203"),
    "a label too large": ({"y": np.where(np.arange(203) == 9, 3, Y)}, r"label 3 of sample 9 is out of range.*0 to 2"),
    "a label below zero": ({"y": Y - 1}, r"label -1 of sample \d+ is out of range.*0 to 2"),
    "labels as floats": ({"y": Y + 0.5}, r"203 labels \(integers or strings\) or numbers of shape \(203, 3\)"),
    "too many strings": ({"y": [f"{i % 4}" for i in range(203)]}, r"4 different labels; 3 outputs tell 3 apart"),
    "labels that are dates": ({"y": np.zeros(203, "datetime64[s]")}, r"labels \(integers or strings\) or numbers"),
    "labels of several kinds": ({"y": [None] * 203}, r"labels \(integers or strings\) or numbers"),
    "targets of another width": ({"y": np.ones((203, 4)) / 4}, r"shape \(203, 3\).*\(203, 4\)"),
    "targets with nan": ({"y": np.full((203, 3), np.nan)}, r"y has the value nan at \[0, 0\]"),
    "targets that do not add up": (
        {"y": SHARES},
        r"must add up to 1 for softmax_cross_entropy.*sample 0 add up to 0.75",
    ),
    "ragged targets": ({"y": [[1.0]] + [[1.0, 2.0]] * 202}, r"y must be labels \(N,\) or numbers \(N, 3\)"),
    "no batch": ({"batch_size": 0}, r"batch_size must be an integer, 1 or more, not 0"),
    "half a batch": ({"batch_size": 2.5}, r"batch_size must be an integer, 1 or more, not 2.5"),
    "true as a batch": ({"batch_size": True}, r"batch_size must be an integer"),
    "epochs below zero": ({"epochs": -1}, r"epochs must be an integer, 1 or more, not -1"),
    "epochs as a word": ({"epochs": "many"}, r"epochs must be an integer, 1 or more, not 'many'"),
    "an unknown rule": (
        {"rule": "sgd"},
        r"no update rule named 'sgd'.*adam, gradient_descent, momentum, momentum_darknet, nesterov",
    ),
    "a rule that is no name": ({"rule": ["adam"]}, r"no update rule named \['adam'\]"),
    "an unknown setting": ({"nesterov": True}, r"gradient_descent has no setting nesterov; it has learning_rate"),
    "a setting of another rule": ({"rule": "adam", "momentum": 0.9}, r"adam has no setting momentum; it has beta1"),
    "the step as a setting": ({"rule": "adam", "step": 3}, r"adam has no setting step"),
    "a rate that is no number": ({"learning_rate": "fast"}, r"learning_rate must be a finite number, not 'fast'"),
    "an infinite rate": ({"learning_rate": np.inf}, r"learning_rate must be a finite number, not inf"),
    "rates for other steps": (
        {"learning_rate": [0.1] * 32, "batch_size": 20, "epochs": 3},
        r"learning_rate has shape \(32,\); of this call's 33 steps each must have a number",
    ),
    "rates of several axes": (
        {"learning_rate": np.ones((7, 1)), "epochs": 1},
        r"learning_rate has shape \(7, 1\); .* 7 steps",
    ),
    "rates that are no numbers": (
        {"learning_rate": ["fast"] * 7, "epochs": 1},
        r"a sequence of numbers, one for each step",
    ),
    "a rate below zero among others": (
        {"learning_rate": [0.1, -0.1, 0, 0, 0, 0, 0], "epochs": 1},
        r"learning_rate must be finite and not negative; that of step 2 is -0.1",
    ),
    "no parts": ({"subdivisions": 0}, r"subdivisions must be an integer, 1 or more, not 0"),
    "a rate below zero": ({"learning_rate": -0.1}, r"learning_rate must not be negative"),
    "validation without labels": ({"validation_data": X}, r"validation_data must be a pair \(X, y\)"),
    "other validation features": ({"validation_data": (X[:, :3], Y)}, r"validation X.*\(3,\).*takes \(7,\)"),
    "other validation labels": ({"validation_data": (X, Y + 1)}, r"validation y: label 3 of sample"),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_bad_input_to_fit_is_one_clear_error_and_changes_nothing(case):
    arguments, message = BAD_FITS[case]
    arguments = {"X": X, "y": Y, **arguments}
    network, fresh = fitted(), classifier()
    before, history = bits(network), copy.deepcopy(network.history_)
    for method in (network.fit, fresh.fit):
        with pytest.raises(ValueError, match=message) as caught:
            method(arguments["X"], arguments["y"], **{k: v for k, v in arguments.items() if k not in "Xy"})
        assert "\n" not in str(caught.value).replace("\n  ", "")
    assert bits(network) == before and network.history_ == history
    with pytest.raises(ValueError, match="no parameters yet"):
        fresh.predict(X)


BAD_NETWORKS = {
    "an unknown layer": (["sigmoid"], {}, r"no layer named 'sigmoid'; there are .*logistic"),
    "an unknown cost": (["tanh"], {"cost": "mse"}, r"no cost named 'mse'; there are .*quadratic"),
    "a string of layers": ("dense", {}, r"layers must be a list"),
    "no layers": ([], {}, r"layers must be a list"),
    "a number of layers": (3, {}, r"layers must be a list"),
    "a layer that is a number": ([30], {}, r"no layer named 30"),
    "an empty tuple": ([()], {}, r"no layer named \(\)"),
    "no size": (["dense"], {}, r"layer 1: 'dense' takes 1 sizes \(j\), 0 were given"),
    "too many sizes": ([("dense", 3, 4)], {}, r"layer 1: 'dense' takes 1 sizes \(j\), 2 were given"),
    "half a unit": (["tanh", ("dense", 2.5)], {}, r"layer 2: size j of 'dense' must be a positive integer, not 2.5"),
    "no units": ([("dense", 0)], {}, r"layer 1: size j of 'dense' must be a positive integer, not 0"),
    "true as a size": ([("dense", True)], {}, r"size j of 'dense' must be a positive integer, not True"),
    "an unknown setting": ([("leaky", {"slope": 0.3})], {}, r"layer 1: 'leaky' has no setting \['slope'\]"),
    "half precision": (["tanh"], {"dtype": "float16"}, r"dtype must be float32 or float64, not 'float16'"),
    "an unknown dtype": (["tanh"], {"dtype": "real"}, r"dtype must be float32 or float64, not 'real'"),
    "a seed below zero": (["tanh"], {"random_state": -1}, r"random_state must be an integer, 0 or more, not -1"),
    "a seed that is a word": (["tanh"], {"random_state": "x"}, r"random_state must be an integer"),
    "no inputs": (["tanh"], {"inputs": 0}, r"inputs must be an integer, 1 or more, not 0"),
    "inputs without axes": (["tanh"], {"inputs": ()}, r"inputs must have an axis or more"),
    "inputs of half a size": (["tanh"], {"inputs": (2, 2.5)}, r"inputs must be an integer, 1 or more, not 2.5"),
}


@pytest.mark.parametrize("case", BAD_NETWORKS)
def test_bad_network_is_one_clear_error(case):
    layers, options, message = BAD_NETWORKS[case]
    with pytest.raises(ValueError, match=message):
        Network(layers, **options)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "outputs"])
def test_use_before_fit_is_refused(method):
    with pytest.raises(ValueError, match="no parameters yet: fit it, or give the shape of a sample as inputs="):
        getattr(classifier(), method)(X)


@pytest.mark.parametrize("method", ["score", "loss"])
def test_measuring_before_fit_is_refused(method):
    with pytest.raises(ValueError, match="no parameters yet"):
        getattr(classifier(), method)(X, Y)


def test_other_features_than_in_training_are_refused():
    with pytest.raises(ValueError, match=r"X has samples of shape \(4,\), the network takes \(7,\)"):
        fitted().predict(X[:, :4])
    with pytest.raises(ValueError, match=r"X has samples of shape \(7,\), the network takes \(8,\)"):
        classifier(inputs=8).fit(X, Y)


def test_probabilities_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"the last layer, 'linear', gives values outside 0 to 1"):
        Network([("dense", 3), "linear"], random_state=0).fit(X, Y, epochs=1).predict_proba(X)
    with pytest.raises(ValueError, match="needs a network that was trained on labels"):
        Network([("dense", 3), "logistic"], random_state=0).fit(X, np.eye(3)[Y], epochs=1).predict_proba(X)


NEEDS = {
    "dense": (2,), "convolution": (4, 3), "depthwise_convolution": (3,), "grouped_convolution": (4, 3, {"groups": 2}),
    "local": (4, 3), "shortcut": ({"from": -1},),
}  # fmt: skip


def test_names_lists_what_a_network_takes():
    for layer in names()["layers"]:
        for cost in names()["costs"]:
            Network([("convolution", 4, 3), (layer, *NEEDS.get(layer, ()))], cost=cost, inputs=(2, 8, 8))
    assert set(NEEDS) <= set(names()["layers"]) and set(names()["rules"]) == set(RULES)


# What is learned ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_rule_learns(rule, dtype):
    network = classifier(dtype=dtype).fit(X, Y, epochs=20, batch_size=10, rule=rule)
    assert network.history_["loss"][-1] < 0.7 * network.history_["loss"][0]
    assert network.score(X, Y) > 0.85
    assert network.parameters[0]["w"].dtype == dtype and network.outputs(X).dtype == dtype


def test_labels_may_be_strings_bools_or_integers():
    strings = np.array(["ash", "birch", "cedar"])[Y]
    by_name, by_number = classifier().fit(X, strings, epochs=5), classifier().fit(X, Y, epochs=5)
    assert bits(by_name) == bits(by_number)
    assert list(by_name.classes_) == ["ash", "birch", "cedar"]
    np.testing.assert_array_equal(by_name.predict(X), by_name.classes_[by_number.predict(X)])
    assert by_name.score(X, list(strings)) == by_number.score(X, Y.astype(np.uint8))
    assert bits(classifier().fit(X, strings.astype(object), epochs=5)) == bits(by_number)
    with pytest.raises(
        ValueError, match="label 'oak' of sample 0 is out of range: the labels are 'ash', 'birch', 'cedar'"
    ):
        by_name.score(X, ["oak"] * 203)
    with pytest.raises(ValueError, match="label 1 of sample 0 is out of range"):
        by_name.partial_fit(X, np.ones(203, int))
    two = Network([("dense", 1), "logistic"], cost="logistic_cross_entropy", random_state=0)
    assert two.fit(X, Y > 0, epochs=5).score(X, Y > 0) > 0.7


def test_one_output_tells_two_labels_apart():
    network = Network([("dense", 9), "tanh", ("dense", 1), "logistic"], cost="logistic_cross_entropy", random_state=0)
    network.fit(X, np.where(Y == 0, "no", "yes"), epochs=20, momentum=0.9)
    assert network.score(X, np.where(Y == 0, "no", "yes")) > 0.9
    shares = network.predict_proba(X)
    assert shares.shape == (203, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(network.predict(X), np.where(shares[:, 1] > 0.5, "yes", "no"))
    with pytest.raises(ValueError, match="label 2 of sample 0 is out of range.*for numbers, not labels, give floats"):
        network.fit(X, np.full(203, 2))


def test_numbers_as_targets_are_a_regression():
    y = X @ np.arange(7.0) / 10
    network = Network([("dense", 1)], random_state=0).fit(X, y, epochs=50, learning_rate=0.05)
    assert network.classes_ is None and network.predict(X).shape == (203, 1)
    assert network.score(X, y) == network.score(X, y.reshape(-1, 1)) > 0.99
    residual = y - network.predict(X)[:, 0]
    assert network.score(X, y) == pytest.approx(1 - (residual**2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-4)


def test_measuring_does_not_change_what_a_network_predicts():
    network = Network([("dense", 3), "softmax"], cost="softmax_cross_entropy", random_state=0)
    network.fit(X, np.eye(3)[Y], epochs=2)
    outputs = network.predict(X)
    assert 0 < network.score(X, Y) <= 1 and network.loss(X, Y) == network.loss(X, np.eye(3)[Y])
    network.gradients(X, Y)
    np.testing.assert_array_equal(network.predict(X), outputs)


def test_weights_draw_towards_zero_with_weight_decay():
    free, held = fitted(epochs=20), fitted(epochs=20, weight_decay=0.1)
    assert np.square(held.parameters[0]["w"]).sum() < 0.7 * np.square(free.parameters[0]["w"]).sum()


def test_biases_and_scales_of_any_number_of_axes_have_no_weight_decay():
    layers = [
        ("grouped_convolution", 4, 3, {"groups": 2}), "batch_norm", ("local", 2, 2), ("depthwise_convolution", 2), ("dense", 3),
        "softmax",
    ]  # fmt: skip
    planes, labels = np.random.default_rng(0).standard_normal((6, 2, 6, 6)), [0, 1, 2, 0, 1, 2]
    options = {"cost": "softmax_cross_entropy", "dtype": "float64", "random_state": 0}
    plain, decayed = (
        Network(layers, **options).fit(planes, labels, epochs=1, learning_rate=0.1, weight_decay=decay)
        for decay in (0, 0.5)
    )
    first = Network(layers, inputs=(2, 6, 6), **options)
    for number, layer in enumerate(first.parameters):
        for name, before in layer.items():
            expected = -0.1 * 0.5 * before if name == "w" else np.zeros_like(before)
            moved = decayed.parameters[number][name] - plain.parameters[number][name]
            np.testing.assert_allclose(moved, expected, atol=1e-14)


def test_no_momentum_is_gradient_descent():
    assert bits(fitted(momentum=0.0)) == bits(fitted())
    for ours, plain in zip(fitted(rule="momentum", momentum=0.0).parameters, fitted().parameters, strict=True):
        for name in ours:  # the sum over samples begins at nothing in the one, at the weight in the other
            np.testing.assert_allclose(ours[name], plain[name], rtol=1e-5, atol=1e-6)
    assert bits(fitted(momentum=0.9)) == bits(fitted(rule="momentum", momentum=0.9)) != bits(fitted())


def test_rules_keep_their_states_apart():
    plain, mixed = fitted(rule="adam"), fitted(rule="adam")
    mixed.partial_fit(X, Y, rule="momentum", momentum=0.9, learning_rate=0.0)  # moves nothing
    assert bits(plain.partial_fit(X, Y, rule="adam", shuffle=False)) == bits(
        mixed.partial_fit(X, Y, rule="adam", shuffle=False)
    )


def test_settings_of_a_later_call_hold():
    network = fitted()
    before = bits(network)
    assert bits(network.partial_fit(X, Y, batch_size=20, learning_rate=0.0)) == before
    assert bits(network.partial_fit(X, Y, batch_size=20, learning_rate=0.1)) != before


@pytest.mark.parametrize("batch_size", [1, 7, 202, 203, 1000])
def test_every_sample_counts_once_an_epoch(batch_size):
    network = classifier(dtype="float64", inputs=7)
    loss = network.loss(X, Y)
    network.partial_fit(X, Y, batch_size=batch_size, learning_rate=0.0)
    assert network.history_["loss"] == [pytest.approx(loss, rel=1e-12)]


def test_samples_of_several_axes_are_rows_to_a_dense_layer():
    images = X[:, :6].reshape(-1, 2, 3)
    assert bits(classifier().fit(images, Y, epochs=2)) == bits(classifier().fit(X[:, :6], Y, epochs=2))


def test_data_of_any_layout_and_type_gives_the_same():
    network, whole = fitted(), np.round(X * 4)
    expected = network.outputs(whole)
    for same in (
        whole.astype(int),
        whole.tolist(),
        np.asfortranarray(whole),
        whole.astype(np.float32),
        whole.astype(object),
    ):
        np.testing.assert_array_equal(network.outputs(same), expected)
    np.testing.assert_array_equal(network.outputs(np.repeat(whole, 2, axis=0)[::2]), expected)
    np.testing.assert_array_equal(network.outputs(np.tile(whole, (3, 1)))[203:406], expected)


def test_data_is_not_written_to():
    samples, labels = X.astype(np.float32), np.eye(3, dtype=np.float32)[Y]
    samples.flags.writeable = labels.flags.writeable = False
    classifier().fit(samples, labels, epochs=1)


# A rate for each step, a mini-batch in parts -----------------------------------------------------------------------------

RATES = 0.2 * 0.9 ** np.arange(22)  # 203 samples in mini-batches of 20: 11 steps an epoch


@pytest.mark.parametrize(("rule", "subdivisions"), [("momentum", 1), ("adam", 1), ("momentum", 3)])
def test_each_step_has_the_rate_that_it_was_given(rule, subdivisions):
    options = {"batch_size": 20, "rule": rule, "shuffle": False, "subdivisions": subdivisions}
    together = classifier().fit(X, Y, epochs=2, learning_rate=RATES, **options)
    one_by_one = classifier(inputs=7)
    one_by_one.classes_ = np.arange(3)
    for step, rate in enumerate(RATES):
        rows = slice(step % 11 * 20, min(step % 11 * 20 + 20, 203))
        one_by_one.partial_fit(X[rows], Y[rows], learning_rate=rate, **options)
    assert bits(together) == bits(one_by_one)


def test_rates_may_be_any_sequence_and_equal_ones_are_as_one_number():
    for rates in ([0.1] * 33, (np.float32(0.1).item(),) * 33, np.full(33, 0.1), np.full(66, 0.1)[::2]):
        assert bits(fitted(learning_rate=rates)) == bits(fitted(learning_rate=float(rates[0])))


def test_training_with_a_rate_for_each_step_goes_on_from_a_file_to_the_bit(tmp_path):
    options = {"batch_size": 20, "momentum": 0.9}
    whole = classifier().fit(X, Y, epochs=2, learning_rate=RATES, **options)
    half = classifier().fit(X, Y, epochs=1, learning_rate=RATES[:11], **options)
    half.save(tmp_path / "half.npz")
    assert bits(load(tmp_path / "half.npz").partial_fit(X, Y, learning_rate=RATES[11:], **options)) == bits(whole)
    assert whole._cells["momentum"]["learning_rate"][0] == RATES[-1]


PLANES = np.random.default_rng(3).standard_normal((26, 2, 6, 6))
LABELS = np.random.default_rng(4).integers(3, size=26)
CONVOLUTION = ("convolution", 4, 3, {"padding": 1})


def convolutional(*more: str, **options) -> Network:
    layers = [CONVOLUTION, *more, "relu", ("max_pooling", {"size": 2, "stride": 2}), ("dense", 3), "softmax"]
    options = {"random_state": 0, "dtype": "float64", "inputs": (2, 6, 6), **options}
    return Network(layers, cost="softmax_cross_entropy", **options)


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("subdivisions", [2, 3, 99])
def test_a_mini_batch_in_parts_updates_as_a_whole_one(rule, subdivisions):
    options = {"epochs": 2, "batch_size": 10, "learning_rate": 0.05, "rule": rule, "weight_decay": 0.01}
    whole = convolutional().fit(PLANES, LABELS, **options)
    parts = convolutional().fit(PLANES, LABELS, subdivisions=subdivisions, **options)
    for one, other in zip(whole.parameters, parts.parameters, strict=True):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=0, atol=1e-13)
    np.testing.assert_allclose(parts.history_["loss"], whole.history_["loss"], rtol=1e-13)


def test_normalised_parts_see_themselves_alone_and_move_the_running_statistics_each():
    """As in Darknet: the update is against the mean of the parts' gradients, each with the statistics of its own samples."""
    network = convolutional("batch_norm")
    network.classes_ = np.arange(3)
    parts = [slice(0, 5), slice(5, 9)]  # of a mini-batch of 9 in two
    before = [{name: p.copy() for name, p in layer.items()} for layer in network.parameters]
    gradients = [network.gradients(PLANES[rows], LABELS[rows]) for rows in parts]
    planes = [network_of_convolution(network).outputs(PLANES[rows]) for rows in parts]
    network.partial_fit(PLANES[:9], LABELS[:9], batch_size=9, subdivisions=2, learning_rate=0.5, shuffle=False)
    for number, layer in enumerate(network.parameters):
        for name, parameter in layer.items():
            mean = (5 * gradients[0][number][name] + 4 * gradients[1][number][name]) / 9
            np.testing.assert_allclose(parameter, before[number][name] - 0.5 * mean, rtol=1e-12, atol=1e-14)
    mean = np.zeros(4)
    for z in planes:
        mean = 0.9 * mean + 0.1 * z.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(network.states[1]["mean"], mean, rtol=1e-12)


def network_of_convolution(network: Network) -> Network:
    """Its first layer alone, with the same parameters."""
    first = Network([CONVOLUTION], inputs=(2, 6, 6), dtype="float64")
    for name, parameter in first.parameters[0].items():
        parameter[...] = network.parameters[0][name]
    return first


def test_parts_draw_other_units_to_drop_and_training_goes_on_from_a_file_to_the_bit(tmp_path):
    options = {"batch_size": 10, "subdivisions": 2, "momentum": 0.9}
    layers = [("dropout", {"probability": 0.5}), ("dense", 3), "softmax"]
    network = Network(layers, cost="softmax_cross_entropy", random_state=0)
    whole = copy.deepcopy(network).fit(X[:30], Y[:30], epochs=2, **options)
    half = network.fit(X[:30], Y[:30], epochs=1, **options)
    half.save(tmp_path / "half.npz")
    assert bits(load(tmp_path / "half.npz").partial_fit(X[:30], Y[:30], **options)) == bits(whole)
    same = np.repeat(X[:1], 2, axis=0)  # two parts of one and the same sample: alike but for what is dropped
    one = Network(layers, cost="softmax_cross_entropy", random_state=0, inputs=7)
    one.classes_ = np.arange(3)
    two = copy.deepcopy(one).partial_fit(same, [0, 0], batch_size=2, subdivisions=2, learning_rate=1.0)
    one.partial_fit(same[:1], [0], learning_rate=1.0)
    assert not np.allclose(two.parameters[1]["w"], one.parameters[1]["w"])


def test_parts_take_less_memory():
    X, y = PLANES[:24].repeat(10, axis=2).repeat(10, axis=3), LABELS[:24]

    def peak(subdivisions: int) -> int:
        network = convolutional(inputs=(2, 60, 60))
        tracemalloc.start()
        network.fit(X, y, epochs=1, batch_size=24, subdivisions=subdivisions)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1), peak(6)  # compiled
    assert peak(6) < 0.4 * peak(1)


# The same bits --------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_network_again():
    network = fitted()
    assert bits(network) == bits(fitted()) == bits(network.fit(X, Y, epochs=3, batch_size=20))
    assert bits(network) != bits(classifier(random_state=1).fit(X, Y, epochs=3, batch_size=20))
    assert bits(network) != bits(fitted(shuffle=False))
    assert bits(classifier(random_state=None, inputs=7)) != bits(classifier(random_state=None, inputs=7))


def test_training_goes_on_where_it_stopped():
    whole = fitted(epochs=5, rule="adam")
    parts = fitted(epochs=2, rule="adam").partial_fit(X, Y, epochs=3, batch_size=20, rule="adam")
    assert bits(whole) == bits(parts) != bits(fitted(epochs=2, rule="adam"))
    assert whole.history_["loss"] == parts.history_["loss"]


# What goes wrong on the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["gradient_descent", "adam"])
def test_a_loss_that_is_no_number_keeps_the_last_good_parameters(rule):
    network, twin = (Network([("dense", 3)], random_state=0).fit(X, Y, epochs=2, rule=rule) for _ in range(2))
    history = copy.deepcopy(network.history_)
    with pytest.raises(DivergedError, match=r"the loss became (nan|inf) at sample \d+ of epoch 1"):
        network.partial_fit(X, Y, epochs=5, learning_rate=1e30, rule=rule)
    assert bits(network) == bits(twin) and network.history_ == history
    twin.partial_fit(X, Y, rule=rule, shuffle=False)
    assert bits(network.partial_fit(X, Y, rule=rule, shuffle=False)) == bits(twin)


def test_a_loss_that_is_no_number_in_the_first_epoch_keeps_the_first_parameters():
    network = Network([("dense", 3)], random_state=0)
    with pytest.raises(DivergedError, match="A smaller learning_rate may help"):
        network.fit(X, Y, learning_rate=1e10, epochs=20)
    assert np.isfinite(network.outputs(X)).all()
    assert len(network.history_.get("loss", [])) < 20


class Interrupting(module.ProgressLine):
    """Stands for Ctrl-C in the middle of the third epoch."""

    def steps(self, epoch, share, losses):
        if epoch == 2 and share > 0.3:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_the_last_whole_epoch(monkeypatch):
    expected = fitted(epochs=2, rule="adam", validation_data=(X, Y))
    network = classifier()
    with monkeypatch.context() as patched:
        patched.setattr(module, "ProgressLine", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            network.fit(X, Y, epochs=9, batch_size=20, rule="adam", validation_data=(X, Y))
    assert bits(network) == bits(expected)
    assert {name: len(values) for name, values in network.history_.items()} == dict.fromkeys(expected.history_, 2)
    for one in (network, expected):
        one.partial_fit(X, Y, rule="adam", batch_size=20, shuffle=False)
    assert bits(network) == bits(expected)


@pytest.fixture
def interruptible():
    """Ctrl-C does what it does at a terminal, also where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_real_ctrl_c_ends_training_soon(interruptible):
    network = classifier().fit(X, Y, epochs=1)
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        network.partial_fit(X, Y, epochs=10**7)
    timer.join()
    assert np.isfinite(network.outputs(X)).all()
    assert len(network.history_["loss"]) == len(network.history_["seconds"]) < 10**6


def test_a_step_allocates_nothing():
    network, data = fitted(epochs=1), [X.astype(np.float32), np.eye(3, dtype=np.float32)[Y]]
    (_, program), *_ = (p for key, p in network._programs.items() if key[0] == "train" and key[2] == 20)
    order = np.tile(np.arange(200), 100)
    losses = np.zeros(1000)

    def peak(steps: int) -> int:
        tracemalloc.start()
        program.run_steps(data, order, 0, steps, losses)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few = peak(10)
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    assert peak(1000) - few < 1000  # bytes: not one a step
    assert rtsys.get_allocation_stats() == before
    _nrt_python.memsys_disable_stats()


def test_few_programs_are_kept():
    network = fitted()
    for size in range(1, 60):
        network.outputs(X[:size])
    assert len(network._programs) <= module.PROGRAMS


# Histories, lines, copies, files --------------------------------------------------------------------------------------


def test_history_has_a_value_an_epoch():
    network = fitted(epochs=4, validation_data=(X[:50], Y[:50]))
    assert {name: len(values) for name, values in network.history_.items()} == dict.fromkeys(
        ["loss", "seconds", "validation_loss", "validation_score"], 4
    )
    assert network.history_["validation_loss"][-1] == network.loss(X[:50], Y[:50])
    assert network.history_["validation_score"][-1] == network.score(X[:50], Y[:50])
    assert network.partial_fit(X, Y, epochs=2).history_["loss"][:4] == fitted(epochs=4).history_["loss"]
    assert list(network.fit(X, Y, epochs=1).history_) == ["loss", "seconds"]


def test_progress_is_one_line_on_standard_error(capsys):
    fitted(epochs=3, verbose=True, validation_data=(X, Y))
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.endswith("\n")
    last = err.rstrip("\n").split("\r")[-1]
    assert last.startswith("epoch 3/3 [====================] 100%  ") and "samples/s  loss 0." in last
    assert "validation 0." in last and "0 s left" in last
    fitted(verbose=False)
    fitted(verbose=None)  # no terminal here
    assert capsys.readouterr() == ("", "")


def test_the_progress_line_ends_when_training_fails(capsys):
    with pytest.raises(DivergedError):
        fitted(learning_rate=1e38, verbose=True, epochs=50)
    assert capsys.readouterr().err.endswith("\n")


def test_a_copy_trains_apart_from_its_original():
    network = fitted(rule="adam")
    before, copied, pickled = bits(network), copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    for other in (copied, pickled):
        assert bits(other) == before
        other.partial_fit(X, Y, rule="adam")
    assert bits(network) == before
    assert bits(copied) == bits(pickled) == bits(network.partial_fit(X, Y, rule="adam")) != before


def test_parameters_are_as_in_the_definition_and_can_be_set():
    network = classifier(inputs=7, dtype="float64")
    first = network.parameters[0]
    assert first["w"].shape == (11, 7) and first["b"].shape == (11,) and network.parameters[1] == {}
    first["w"][...] = 0
    first["b"][...] = 1
    inside = np.tanh(np.ones(11)) @ network.parameters[2]["w"].T
    np.testing.assert_allclose(network.outputs(X)[0], np.exp(inside) / np.exp(inside).sum(), rtol=1e-12)


def test_a_network_shows_how_to_make_it_again():
    network = Network([("dense", np.int64(4)), "relu", ("dense", 2)], cost="quadratic", random_state=3, inputs=(2, 5))
    assert bits(eval(repr(network))) == bits(network)
    assert repr(eval(repr(network))) == repr(network)


@pytest.mark.parametrize("accuracy", ["exact", "", None, 1, ["fast"]])
def test_an_accuracy_that_there_is_not_is_refused(accuracy):
    message = rf"accuracy must be default, fast or direct, not {re.escape(repr(accuracy))}"
    with pytest.raises(ValueError, match=message):
        classifier(accuracy=accuracy)
    network = classifier(accuracy="fast")
    with pytest.raises(ValueError, match=message):
        network.accuracy = accuracy
    assert network.accuracy == "fast"


def test_accuracy_goes_with_the_network_into_plans_files_and_copies(tmp_path, monkeypatch):
    planned = []

    def recorded(whole):
        return lambda *given, **settings: (planned.append(settings["accuracy"]), whole(*given, **settings))[1]

    for name in ("plan_training", "plan_prediction"):
        monkeypatch.setattr(module, name, recorded(getattr(module, name)))
    network = classifier(accuracy="fast").fit(X, Y, epochs=1)
    network.save(tmp_path / "n.npz")
    assert load(tmp_path / "n.npz").accuracy == copy.deepcopy(network).accuracy == "fast"
    assert eval(repr(network)).accuracy == "fast" and "accuracy" not in repr(classifier())
    network.predict(X)
    assert set(planned) == {"fast"}
    network.accuracy = "direct"  # counts from now on, for programs too that there are already
    network.predict(X)
    assert planned[-1] == "direct"


def test_files_of_before_there_was_a_choice_have_the_default_accuracy(tmp_path):
    classifier(accuracy="fast", inputs=7).save(tmp_path / "n.npz")
    with np.load(tmp_path / "n.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    assert about.pop("accuracy") == "fast"
    np.savez(tmp_path / "n.npz", **{**arrays, "about": np.array(json.dumps(about))})
    assert load(tmp_path / "n.npz").accuracy == "default"


@pytest.mark.parametrize("labels", [Y, np.array(["ash", "birch", "cedar"], dtype=object)[Y], np.eye(3)[Y]])
def test_a_file_gives_the_network_back(tmp_path, labels):
    network = Network(LAYERS, cost="softmax_cross_entropy", random_state=np.int64(4), dtype="float64")
    network.fit(X, labels, epochs=2, validation_data=(X, labels))
    network.save(tmp_path / "digits")
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]
    again = load(tmp_path / "digits")
    assert repr(again)[:-1] == repr(network)[:-1] + ", inputs=(7,)"
    assert bits(again) == bits(network) and again.history_ == network.history_
    np.testing.assert_array_equal(again.predict(X), network.predict(X))
    assert again.score(X, labels) == network.score(X, labels)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_training_goes_on_from_a_file_as_if_never_left(tmp_path, rule):
    options = {"rule": rule, "batch_size": 20, "learning_rate": 0.01, "weight_decay": 1e-3}
    whole = classifier().fit(X, Y, epochs=5, **options)
    classifier().fit(X, Y, epochs=2, **options).save(tmp_path / "n.npz")
    again = load(tmp_path / "n.npz").partial_fit(X, Y, epochs=3, **options)
    assert bits(again) == bits(whole) and again.history_["loss"] == whole.history_["loss"]
    for network, name in ((whole, "whole.npz"), (again, "again.npz")):
        network.save(tmp_path / name)
    one, other = (np.load(tmp_path / name) for name in ("whole.npz", "again.npz"))
    assert sorted(one) == sorted(other)
    assert all(one[key].tobytes() == other[key].tobytes() for key in one if key != "about")  # which has the seconds


def test_ctrl_c_leaves_the_order_of_samples_where_it_was(monkeypatch):
    whole, network = fitted(epochs=4), classifier()
    with monkeypatch.context() as patched:
        patched.setattr(module, "ProgressLine", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            network.fit(X, Y, epochs=9, batch_size=20)
    assert bits(network.partial_fit(X, Y, epochs=2, batch_size=20)) == bits(whole)


def test_files_of_another_network_are_refused(tmp_path):
    path = tmp_path / "network.npz"
    fitted(rule="adam").save(path)
    arrays = dict(np.load(path))
    about = json.loads(str(arrays["about"]))
    for change, message in (
        ({"0.w": np.zeros((2, 2))}, r"w of layer 1 has shape \(2, 2\), not \(11, 7\)"),
        ({"0.w.adam.m": np.zeros(3)}, r"is not a network that Network.save wrote"),
        ({"9.w.adam.m": np.zeros(3)}, r"is not a network that Network.save wrote"),
        ({"more": np.zeros(3)}, r"is not a network that Network.save wrote"),
        ({"about": {**about, "random": {}}}, r"is not a network that Network.save wrote"),
        ({"about": {**about, "random": None}}, r"is not a network that Network.save wrote"),
        ({"about": {**about, "settings": {"adam": {"step": "x"}}}}, r"is not a network that Network.save wrote"),
        ({"about": {**about, "settings": 3}}, r"is not a network that Network.save wrote"),
        ({"about": {**about, "format": 1}}, r"its format is 1, not 2"),
    ):
        changed = {k: np.array(json.dumps(v)) if k == "about" else v for k, v in change.items()}
        np.savez(path, **{**arrays, **changed})
        with pytest.raises(ValueError, match=message):
            load(path)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "network.npz"
    fitted().save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "empty": b"", "text": b"hello\n", "cut": whole[:middle], "an end only": whole[middle:],
        "flipped": whole[:middle] + bytes(255 - b for b in whole[middle : middle + 20]) + whole[middle + 20 :],
    }  # fmt: skip
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    damaged["another's"] = (tmp_path / "other.npz").read_bytes()
    np.savez(tmp_path / "other.npz", about=np.array("[]"))
    damaged["no dictionary"] = (tmp_path / "other.npz").read_bytes()
    for name, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"network.npz is not a network that Network.save wrote"):
            raise AssertionError(f"{name} was read as {load(path)}")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.npz")


def test_a_file_that_names_unknown_layers_says_so(tmp_path):
    network = fitted()
    network.layers[1] = ("sine", (), {})
    network.save(tmp_path / "n.npz")
    with pytest.raises(ValueError, match=r"n.npz: there is no layer named 'sine'"):
        load(tmp_path / "n.npz")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError):
        fitted().save(tmp_path / "no" / "folder.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OSError):
        fitted().save(tmp_path / "folder.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]
    with pytest.raises(ValueError, match="no parameters yet"):
        classifier().save(tmp_path / "n.npz")
