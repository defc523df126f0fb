"""Threads that go through the phases of a program side by side.

A phase is work in shares, and begins when the one before is complete. A thread does the share of its own number; then, as
long as the phase is not complete, it takes over what no thread has begun: a thread that the machine has halted, or never
started, keeps nobody waiting. One that comes late finds its shares done, and catches up. Waiting threads look again and again
for a short time, and then sleep: on a busy machine, the thread that is waited for needs the processor.

What they know of each other lies in an int64 array, each number in a cache line of its own: for every share, the next
phase in which nobody has begun it; the shares completed, of all phases.
"""

import platform
import sys

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .native import LINE, OPTIONS

LATE = 100  # looks after which a share that nobody has begun is taken over: some microseconds
SPINS = 1500  # looks after which a waiting thread sleeps: tens of microseconds
NAP = 20  # microseconds

I64 = ir.IntType(64)
_inline = njit(inline="always", **OPTIONS)


def words(threads: int) -> int:
    """The elements of the array of so many threads: zeros before the first phase."""
    return (threads + 1) * LINE // 8


# Atomic operations ----------------------------------------------------------------------------------------------------


@intrinsic
def _exchanged(typingctx, address, old, new):
    """Whether the int64 at this address was `old`, and now is `new`."""

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        return builder.extract_value(builder.cmpxchg(pointer, args[1], args[2], "acq_rel", "acquire"), 1)

    return types.boolean(*[types.intp] * 3), codegen


@intrinsic
def _add(typingctx, address, more):
    def codegen(context, builder, sig, args):
        builder.atomic_rmw("add", builder.inttoptr(args[0], I64.as_pointer()), args[1], "acq_rel")
        return context.get_dummy_value()

    return types.void(*[types.intp] * 2), codegen


@intrinsic
def _read(typingctx, address):
    def codegen(context, builder, sig, args):
        return builder.load_atomic(builder.inttoptr(args[0], I64.as_pointer()), "acquire", 8)

    return types.intp(types.intp), codegen


@intrinsic
def _pause(typingctx):
    """Tells the processor that this thread only waits."""

    def codegen(context, builder, sig, args):
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _nap(typingctx):
    """Sleeps for NAP microseconds, or for as little as the system can."""

    def codegen(context, builder, sig, args):
        name, time = ("Sleep", 0) if sys.platform == "win32" else ("usleep", NAP)
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [ir.IntType(32)(time)])
        return context.get_dummy_value()

    return types.void(), codegen


# Shares ---------------------------------------------------------------------------------------------------------------


@_inline
def begins(team: int, share: int, phase: int):
    """Whether the caller is the one to do this share of this phase."""
    known = _read(team + share * LINE)
    return known <= phase and _exchanged(team + share * LINE, known, phase + 1)


@_inline
def completes(team: int, threads: int):
    """Says that a share is done."""
    _add(team + threads * LINE, 1)


@_inline
def next_share(team: int, threads: int, phase: int, shares: int, until: int):
    """Waits until `until` shares are done, of this phase and all before: -1; or gives a share that nobody has begun."""
    looks = 0
    while _read(team + threads * LINE) < until:
        looks += 1
        if looks == LATE:  # what another has begun by then stays begun: there is nothing to find later on
            for share in range(shares):
                if _read(team + share * LINE) <= phase:
                    return share
        if looks < SPINS:
            _pause()
        else:
            _nap()
    return -1
