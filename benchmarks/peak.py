"""The processor's peak of fused multiply-adds, and the share of it that contractions reach inside a training step."""

import functools
import time
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from generated import Network
from generated.native import LANES
from generated.program import Call

CHAINS = (
    12  # independent sums: enough for two units of latency five, and they fit in sixteen registers with what they read
)
STEPS = 1 << 16  # of a timed run of the chains


@functools.cache
def _chains(lanes: int) -> Callable[[int, float], float]:
    """A compiled function (steps, x): CHAINS sums of so many lanes, each fused with x once a step; it returns one of them."""

    @intrinsic
    def run(typingctx, steps, x):
        kind = ir.VectorType(ir.FloatType(), lanes)

        def codegen(context, builder, sig, args):
            steps, x = args
            i32, i64 = ir.IntType(32), ir.IntType(64)
            first = builder.insert_element(ir.Constant(kind, ir.Undefined), x, i32(0))
            zeros = ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)
            factor = builder.shuffle_vector(first, first, zeros)
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{lanes}f32"
            )
            begin = [
                builder.fadd(factor, ir.Constant(kind, [float(k + 1)] * lanes)) for k in range(CHAINS)
            ]  # each its own
            entry, loop, done = builder.basic_block, *map(builder.append_basic_block, ("chains", "done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            at, sums = builder.phi(i64), [builder.phi(kind) for _ in range(CHAINS)]
            new = [builder.call(fma, [s, factor, factor]) for s in sums]
            later = builder.add(at, i64(1))
            for phi, value, next_value in [(at, i64(0), later), *zip(sums, begin, new, strict=True)]:
                phi.add_incoming(value, entry)
                phi.add_incoming(next_value, loop)
            builder.cbranch(builder.icmp_signed("<", later, steps), loop, done)
            builder.position_at_end(done)
            total = functools.reduce(builder.fadd, new)
            return builder.extract_element(total, i32(0))

        return types.float32(types.intp, types.float32), codegen

    return njit(lambda steps, x: run(steps, x))


def peak() -> float:
    """Floating-point operations a second of one core, at the width of the engine's vectors or half of it: the faster."""
    found = []
    for lanes in (LANES, LANES // 2):
        run = _chains(lanes)
        run(1, np.float32(0.5))
        began = time.perf_counter()
        run(STEPS, np.float32(0.5))
        found.append(2 * CHAINS * lanes * STEPS / (time.perf_counter() - began))
    return max(found)
