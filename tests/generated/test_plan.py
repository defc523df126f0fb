"""How a pass is cut: which kernels go through the same chunks, and how large those are."""

import numpy as np
import pytest

from generated import Network
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
    plan = plan_training(network._built(), network.cost, 8, SINGLE, 3, [])
    alone = [s for s in plan.stages if len(s.calls) == 1 and s.calls[0].extent >= 100]
    assert {name for s in alone for name in names(s)} >= {"convolution_forward", "convolution_w_gradient"}
    assert all(chunks(s) == (3 if s.parallel else 1) for s in alone)


def test_few_samples_are_shared_out_where_the_tile_counts_other_rows():
    layers = [("convolution", 128, 3, {"padding": 1}), ("convolution", 64, 1), "flatten"]
    network = Network(layers, inputs=(64, 16, 16))
    plan = plan_training(network._built(), network.cost, 4, SINGLE, 2, [])
    joined = [s for s in plan.stages if len(s.calls) > 1 and any("w_gradient" in name for name in names(s))]
    assert joined
    assert all(s.parallel and chunks(s) == 2 for s in joined)


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
