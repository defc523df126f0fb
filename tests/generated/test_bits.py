"""A seed gives the same bits: parameters and states after 100 steps, whatever the threads and the lanes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

from generated import Network

ROOT = Path(__file__).resolve().parents[2]
STEPS = 100
DENSE = [("dense", 259), "relu", ("dense", 131), "elu", ("dense", 5), "softmax"]
CONVOLUTIONAL = [
    ("convolution", 37, 3, {"padding": 1, "bias": False}), "batch_norm", "leaky", ("max_pooling", {"size": 2}),
    ("convolution", 3, 3, {"padding": 1}), ("convolution", 16, 3, {"padding": 1}), "tanh", ("grouped_convolution", 6, 3, {"groups": 2, "padding": 1, "stride": 2}),
    "batch_norm", "mish", ("depthwise_convolution", 3, {"padding": 1}), ("dropout", {"probability": 0.3}),
    ("dense", 9), "logistic", ("dense", 5), "softmax",
]  # fmt: skip
FILTERED = [
    ("convolution", 24, 3, {"padding": 1}), "leaky", ("convolution", 32, 3, {"padding": 1}), "leaky", ("dense", 5), "softmax",
]  # fmt: skip


def trained(layers: list, shape: tuple[int, ...], batch: int, accuracy: str = "default", **how) -> str:
    """A digest of what 100 steps make of a network, large enough for several threads, and of what it then gives."""
    random = np.random.default_rng(3)
    x, y = random.standard_normal((2 * batch + 7, *shape)), random.integers(5, size=2 * batch + 7)
    network = Network(layers, cost="softmax_cross_entropy", accuracy=accuracy, random_state=7)
    network.fit(x[: 2 * batch], y[: 2 * batch], epochs=STEPS // 2, batch_size=batch, **how)
    kept = [a for layer in (*network.parameters, *network.states) for a in layer.values()]
    assert all(np.isfinite(a).all() for a in kept)
    seen = b"".join(a.tobytes() for a in (*kept, network.outputs(x))) + str(network.loss(x, y)).encode()
    return hashlib.sha256(seen).hexdigest()


def digests() -> set[str]:
    """One line for each number of threads that there may be: the digests of all trainings."""
    found = set()
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        one = [
            trained(DENSE, (301,), 64, learning_rate=0.05, weight_decay=1e-3),
            trained(DENSE, (301,), 64, rule="adam", learning_rate=1e-3, weight_decay=1e-3),
            trained(CONVOLUTIONAL, (3, 14, 12), 32, learning_rate=0.01, momentum=0.9, weight_decay=1e-3),
            *(trained(FILTERED, (16, 14, 13), 32, accuracy, learning_rate=0.01) for accuracy in ("default", "fast")),
        ]
        found.add(" ".join(one))
    return found


def test_the_network_for_filtering_is_filtered_in_all_passes():
    for accuracy in ("default", "fast"):
        network = Network(FILTERED, cost="softmax_cross_entropy", accuracy=accuracy, inputs=(16, 14, 13))
        ways = [call.way for stage in network.plan(batch_size=32).stages for call in stage.calls]
        assert sum(way.startswith("F(") for way in ways) >= 3, ways


def test_a_seed_gives_the_same_bits_after_100_steps_for_every_number_of_threads_and_lanes():
    script = "import tests.generated.test_bits as t; print(*t.digests(), sep=chr(10))"
    found = {}
    for lanes, threads in ((4, 2), (8, 3), (16, 2)):
        environment = {**os.environ, "BACKDERIVE_LANES": str(lanes), "NUMBA_NUM_THREADS": str(threads)}
        run = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        found[lanes] = run.stdout
    assert len(set(found.values())) == 1 and found[4].count("\n") == 1, found
