"""How a pass is cut: which kernels go through the same chunks, and how large those are."""

import numpy as np
import pytest

from generated import Network
from generated.graph import parts_of
from generated.plan import plan_prediction, plan_training
from generated.program import Stage

SINGLE = np.dtype(np.float32)


def forward(layers: list, inputs: tuple[int, int, int], threads: int) -> list[Stage]:
    """The stages of a prediction for one sample."""
    return plan_prediction(Network(layers, inputs=inputs)._built(), 1, SINGLE, threads).stages


def names(stage: Stage) -> list[str]:
    return [call.kernel.name for call in stage.calls]


def chunks(stage: Stage) -> int:
    return -(-min(call.extent for call in stage.calls) // stage.grain)


@pytest.mark.parametrize("threads", (1, 2, 3))
def test_weights_that_are_many_for_few_places_are_read_once_by_each_thread(threads):
    layers = [("convolution", 1024, 3, {"padding": 1, "bias": False}), "leaky", "flatten"]
    (stage,) = (s for s in forward(layers, (512, 13, 13), threads) if "leaky_forward" in names(s))
    assert chunks(stage) == threads


def test_a_stage_of_one_kernel_has_a_chunk_for_each_thread():
    network = Network(
        [("convolution", 64, 3, {"padding": 1, "bias": False}), "batch_norm", "flatten"], inputs=(32, 32, 32)
    )
    plan = plan_training(network._built(), network.cost, 8, SINGLE, 3, [], accuracy="direct")
    alone = [s for s in plan.stages if len(s.calls) == 1 and s.calls[0].extent >= 100]
    assert {name for s in alone for name in names(s)} >= {"convolution_forward", "convolution_w_gradient"}
    assert all(chunks(s) == (3 if s.parallel else 1) for s in alone)


def test_calls_know_the_layers_that_they_are_a_part_of():
    head = {"anchors": [(5, 6)], "mask": [0]}
    layers = [
        ("convolution", 7, 3, {"padding": 1}), "batch_norm", "leaky", "dropout", ("shortcut", {"from": 1}),
        ("yolo", 2, head), ("route", {"layers": [0]}), ("yolo", 2, head),
    ]  # fmt: skip
    network = Network(layers, inputs=(3, 16, 16))
    known = [f"{number} {parts_of(entry)[0]}" for number, entry in enumerate(layers, 1)]
    for plan in (network.plan(2), network.plan(2, training=False)):
        layers_of = [call.layer.partition(":")[0] for stage in plan.stages for call in stage.calls]
        assert {part for layer in layers_of for part in layer.split(", ")} - {"cost"} == {*known}
    updated = [call.layer for stage in network.plan(2).stages for call in stage.calls if ":" in call.layer]
    assert sorted(updated) == ["1 convolution: b", "1 convolution: w", "2 batch_norm: beta", "2 batch_norm: gamma"]
    rows = Network([("dense", 4), "softmax"], cost="softmax_cross_entropy", inputs=(2, 3, 3)).plan(2)
    assert "2 softmax, cost softmax_cross_entropy" in {call.layer for stage in rows.stages for call in stage.calls}


def test_few_samples_are_shared_out_where_the_tile_counts_other_rows():
    layers = [("convolution", 128, 3, {"padding": 1}), ("convolution", 64, 1), "flatten"]
    network = Network(layers, inputs=(64, 16, 16))
    plan = plan_training(network._built(), network.cost, 4, SINGLE, 2, [])
    joined = [s for s in plan.stages if len(s.calls) > 1 and any("w_gradient" in name for name in names(s))]
    assert joined
    assert all(s.parallel and chunks(s) == 2 for s in joined)


def trained_names(layers: list, rule: str) -> list[str]:
    """The kernels of a step of a network of two features, in their order."""
    network = Network(layers, random_state=0).fit(np.ones((4, 2)), np.ones((4, 1)), epochs=1, batch_size=4, rule=rule)
    (program,) = (p for key, (_, p) in network._programs.items() if key[0] == "train")
    return [name for stage in program.stages for name in names(stage)]


def test_a_linear_rule_moves_weights_without_an_array_of_their_gradient():
    layers = [("dense", 3), "tanh", ("dense", 1)]
    moved = trained_names(layers, "gradient_descent")
    assert moved.count("dense_w_descent") == moved.count("gradient_descent_factors") == 2
    assert "dense_w_gradient" not in moved and moved.count("gradient_descent_update") == 2  # of the biases
    kept = trained_names(layers, "momentum")
    assert "dense_w_descent" not in kept and kept.count("dense_w_gradient") == 2


@pytest.mark.parametrize(("batch", "streams"), [(1, False), (32, True)])
def test_what_no_cache_can_hold_is_written_past_it_where_its_own_stage_does_not_read_it(batch, streams):
    layers = [("convolution", 64, 3, {"padding": 1}), "batch_norm", "leaky", ("max_pooling", {}), "flatten"]
    network = Network(layers, inputs=(3, 56, 56))
    stages = plan_training(network._built(), network.cost, batch, SINGLE, 2, []).stages
    for stage in stages:
        for call in stage.calls:
            written = [call.arrays[name].ctypes.data for name in call.kernel.writes]
            beside = [a.ctypes.data for c in stage.calls if c is not call for a in c.arrays.values()]
            assert not (call.streamed and set(written) & set(beside)), call.kernel.name
    found = {call.kernel.name for stage in stages for call in stage.calls if call.streamed}
    back = {"max_pooling_input_sensitivity", "batch_norm_leaky_input_sensitivity"}
    assert found >= back if streams else not found


@pytest.mark.parametrize(("batch", "grain"), [(128, 64), (41, 21), (30, 15), (20, 10), (16, 8)])
def test_chunks_are_whole_tiles_where_the_threads_shares_stay_even(batch, grain):
    network = Network([("dense", 120), "relu", ("dense", 120)], inputs=3000)
    plan = plan_training(network._built(), network.cost, batch, SINGLE, 2, [])
    (stage,) = (s for s in plan.stages if {"dense_forward", "relu_forward"} <= {*names(s)})
    assert stage.parallel and stage.grain == grain


@pytest.mark.parametrize(("batch", "threads", "across"), [(128, 1, False), (128, 2, True), (600, 2, False)])
def test_a_dense_layer_of_more_units_than_samples_is_shared_out_by_its_units(batch, threads, across):
    network = Network([("dense", 512), "relu", ("dense", 512)], inputs=500)
    plan = plan_training(network._built(), network.cost, batch, SINGLE, threads, [])
    found = {name for stage in plan.stages for name in names(stage)}
    assert {name for name in found if name.endswith("_across")} == (
        {"dense_forward_across", "dense_input_sensitivity_across"} if across else set()
    )
    assert all(s.parallel and s.grain == 256 for s in plan.stages if names(s)[0].endswith("_across"))


def test_what_is_little_work_starts_no_threads():
    network = Network([("dense", 30), "logistic", ("dense", 10), "logistic"], inputs=784)
    for batch, parallel in ((10, False), (300, True)):
        plan = plan_training(network._built(), network.cost, batch, SINGLE, 2, [])
        assert any(stage.parallel for stage in plan.stages) is parallel
