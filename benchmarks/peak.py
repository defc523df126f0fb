"""The processor's peak of fused multiply-adds, and how much of it the contractions of a training step reach inside `fit`."""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from generated import Network
from generated.native import LANES

CHAINS = (
    12  # independent sums: they hide a latency of six in one unit, of five in two, and leave four of sixteen registers
)
STEPS = 1 << 22  # of all chains, in a timed run
BATCH, WIDTH, DEEP = 128, 512, 4  # dense layers
IMAGES, CHANNELS, SIDE, FILTERS = 16, 64, 28, 3  # convolutions, FILTERS of them after another


# The peak -------------------------------------------------------------------------------------------------------------


@functools.cache
def _chains(lanes: int) -> Callable[[int, int, np.float32], float]:
    """A compiled function (threads, steps, x): every thread does CHAINS sums of so many lanes, s = s x + x in each step."""

    @intrinsic
    def run(typingctx, steps, x):
        kind, i32, i64 = ir.VectorType(ir.FloatType(), lanes), ir.IntType(32), ir.IntType(64)
        zeros = ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)

        def codegen(context, builder, sig, args):
            steps, x = args
            first = builder.insert_element(ir.Constant(kind, ir.Undefined), x, i32(0))
            x = builder.shuffle_vector(first, first, zeros)
            begin = [builder.fadd(x, ir.Constant(kind, [float(k)] * lanes)) for k in range(CHAINS)]
            signature = ir.FunctionType(kind, [kind] * 3)
            fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{lanes}f32")
            entry, loop, done = builder.basic_block, *map(builder.append_basic_block, ("chains", "done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            at, sums = builder.phi(i64), [builder.phi(kind) for _ in begin]
            new, later = [builder.call(fma, [s, x, x]) for s in sums], builder.add(at, i64(1))
            for phi, value, following in [(at, i64(0), later), *zip(sums, begin, new, strict=True)]:
                phi.add_incoming(value, entry)
                phi.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", later, steps), loop, done)
            builder.position_at_end(done)
            return builder.extract_element(functools.reduce(builder.fadd, new), i32(0))

        return types.float32(types.intp, types.float32), codegen

    @njit(parallel=True)
    def on_all(threads, steps, x):
        total = np.float32(0)
        for _ in prange(threads):
            total += run(steps, x)
        return total

    return on_all


def seconds_of_operations(threads: int) -> dict[str, Callable[[], float]]:
    """Measurements of the seconds that an operation takes at the peak of so many threads, one for each width of vectors.

    The widths are the engine's and half of it: some processors do two narrow ones in the time of a wide one.
    """

    def measure(lanes: int) -> float:
        numba.set_num_threads(threads)
        began = time.perf_counter()
        _chains(lanes)(threads, STEPS, np.float32(0.5))
        return (time.perf_counter() - began) / (2 * CHAINS * lanes * STEPS * threads)

    for lanes in (LANES, LANES // 2):
        _chains(lanes)(threads, 1, np.float32(0.5))
    return {f"peak, {lanes} lanes": functools.partial(measure, lanes) for lanes in (LANES, LANES // 2)}


# Networks that are little else than one kind of contraction -------------------------------------------------------------


def _directly() -> dict[str, Any]:
    """The option of Network that has every contraction lowered directly, if there are other ways."""
    return {"accuracy": "direct"} if "accuracy" in inspect.signature(Network).parameters else {}


def _timed(network: Network, X: np.ndarray, Y: np.ndarray, batch: int, threads: int, operations: float) -> Callable:
    """A measurement of the seconds that an operation of the contractions takes inside fit."""

    def measure() -> float:
        numba.set_num_threads(threads)
        began = time.perf_counter()
        network.partial_fit(X, Y, batch_size=batch, learning_rate=1e-3)
        return (time.perf_counter() - began) / (operations * len(X) / batch)

    return measure


def dense(threads: int) -> Callable[[], float]:
    """Dense layers of 512 units on 512 inputs, mini-batches of 128."""
    layers: list[Any] = [("dense", WIDTH)] * DEEP + [("dense", 10)]
    X = np.random.default_rng(0).standard_normal((16 * BATCH, WIDTH), dtype=np.float32)
    network = Network(layers, cost="squared_error", random_state=0)
    # Forward and weights of every wide layer, backward to the inputs of all but the first.
    operations = (3 * DEEP - 1) * 2 * BATCH * WIDTH * WIDTH
    return _timed(network, X, np.zeros((len(X), 10), np.float32), BATCH, threads, operations)


def convolution(threads: int) -> Callable[[], float]:
    """Convolutions 3x3 of 64 channels into 64, planes of 28 x 28, lowered directly."""
    layers: list[Any] = [("convolution", CHANNELS, 3, {"padding": 1})] * FILTERS
    layers += ["global_average_pooling", ("dense", 10)]
    random = np.random.default_rng(0)
    X = random.standard_normal((8 * IMAGES, CHANNELS, SIDE, SIDE), dtype=np.float32)
    network = Network(layers, cost="squared_error", random_state=0, **_directly())
    multiplications = IMAGES * SIDE * SIDE * CHANNELS * 9 * CHANNELS  # those with a border's zeros among them
    Y = np.zeros((len(X), 10), np.float32)
    return _timed(network, X, Y, IMAGES, threads, (3 * FILTERS - 1) * 2 * multiplications)
