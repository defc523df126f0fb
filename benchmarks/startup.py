"""A fresh process to its first training step, the compiled kernels on disk."""

import subprocess
import sys
import time

STEP = """
import numpy as np
from generated import Network
X, y = np.random.default_rng(0).random((128, 784), dtype=np.float32), np.arange(128) % 10
layers = [("dense", 512), "relu", ("dense", 512), "relu", ("dense", 10), "softmax"]
Network(layers, cost="softmax_cross_entropy", random_state=0).fit(X, y, epochs=1, batch_size=128, learning_rate=0.1)
"""


def first_step() -> float:
    """Seconds from starting Python to the end of one step of 784-512-512-10, imports included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", STEP], check=True)
    return time.perf_counter() - began
