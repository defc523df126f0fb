"""Programs of kernels: what a network does in a step, and the training loop, in one compiled call.

A kernel is a serial function kernel(array, ..., scalar, ..., first, last) that does the part [first, last) of its split
index. A stage is a list of kernels over one split index; it is done in chunks of `grain`, each chunk by all kernels of
the stage, one after the other, while its data is still in the cache. The chunks of a parallel stage are shared out
among Numba's threads, which go through the stages side by side (`team`). What a kernel writes for an index of its split
must not depend on first and last: then the result has the same bits for every grain and every number of threads.

Nothing is allocated while a program runs. A program without parallel stages starts no threads; after a parallel one,
with OpenMP, os.fork() kills the child: start processes by "spawn".
"""

import ctypes
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from . import engine, tiles
from .engine import AWAITED, ask
from .filtered import Filtering
from .lanes import ahead_if, lanes_of, settled, width_for
from .native import LINE, OPTIONS, compile_native, digest_of
from .team import begins, completes, next_share, words


def zeros(shape: int | Sequence[int], dtype: type | np.dtype) -> np.ndarray:
    """An array of zeros that begins with a cache line: vectors of those that do lie in one line each."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = prod(shape) * np.dtype(dtype).itemsize
    block = np.zeros(size + LINE, np.uint8)
    begin = -block.ctypes.data % LINE
    return block[begin : begin + size].view(dtype).reshape(shape)


SHARED_BYTES = 1 << 16  # of a mini-batch, from which on all threads gather it
FIXED = 1 << 16  # elements of an array from which on a kernel is compiled for the numbers that are fixed


@njit(inline="always")
def span(first: int, last: int):
    """``range(first, last)`` of unsigned integers: they never count from an array's end, so loops vectorise."""
    return range(np.uint64(first), np.uint64(last))


# Kernels -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """A function of arrays that a program can run.

    function: a plain Python function, or a Numba dispatcher: of its options, fastmath counts. It may not allocate.
    arguments: its arrays, as "name[index, ...]" in storage order, C-contiguous. They have the network's dtype, or the
        one named, as in "label[n]: int64". "scratch" stands for the working memory of this thread's contractions.
    scalars: the float64 numbers that follow them.
    split: the index that [first, last) is a range of, or several that are counted through together, as "n i"; "" where the
        kernel is one piece (first = 0, last = 1).
    writes: the names of the arrays that it writes.
    local: whether, of the arrays that have its split index, it reads nothing outside [first, last).
    lane: the index that it goes over several at a time, if any: see `lanes`; a vector of its dtype in so many registers.
    fixed: scalars, and indices by their sizes, whose values are compiled into it where its arrays are large.
    box: a function of sizes (``P`` is the size of index ``p``) and scalars, the elements of working memory that it needs
        as its argument "box"; it has engine.BOX at least.
    vectors: of a kernel that calls the routines of `tiles`, the summed index and the lane, which go several at a time.
    filtered: other kernels that do the same.
    across: a kernel that does the same, by ranges of the last index of what it writes.
    """

    function: Callable
    arguments: tuple[str, ...]
    split: str
    writes: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    local: bool = True
    lane: str = ""
    registers: int = 4
    fixed: tuple[str, ...] = ()
    box: Callable[..., int] | None = None
    vectors: tuple[str, ...] = ()
    filtered: "Filtered | None" = field(default=None, compare=False)
    across: "Kernel | None" = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return self.function.__name__

    @functools.cached_property
    def arrays(self) -> dict[str, tuple[tuple[str, ...], str | None]]:
        """The indices and the dtype (None: the network's) of each array but scratch."""
        found = {}
        for text in self.arguments:
            match = re.fullmatch(r"(\w+)\[([\w\s,]*)\](?:\s*:\s*(\w+))?", text)
            if match:
                found[match[1]] = (tuple(re.findall(r"\w+", match[2])), match[3])
            elif text not in ("scratch", "box"):
                raise ValueError(
                    f"kernel {self.name}: argument {text!r} is neither 'name[index, ...]' nor 'scratch' nor 'box'"
                )
        indices = {index for indices, _ in found.values() for index in indices}
        if not set(self.split.split()) <= indices:
            raise ValueError(f"kernel {self.name}: no array has its split index {self.split!r}")
        return found

    @property
    def sizes(self) -> tuple[str, ...]:
        """The indices of its arrays, in the order of their first appearance."""
        return tuple(dict.fromkeys(index for indices, _ in self.arrays.values() for index in indices))


@dataclass(frozen=True)
class Filtered:
    """Kernels that do by minimal filtering what another does, where the ``settings`` have these values.

    places: the index of planes ("" where there is none) and the indices of places in them; taps: the indices of the filter's
    places; inner: the channels that are summed; lane: those along the lanes; groups: an index of groups of channels.
    """

    kernels: tuple[Kernel, ...]
    places: tuple[str, ...]
    taps: tuple[str, ...]
    inner: str
    lane: str
    groups: tuple[str, ...] = ()
    settings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """What a kernel is compiled for, beside its dtype.

    width: how many components its loops over `lanes` take at a time; in_part: rows have more, and it asks for them ahead.
    streamed: what they write goes past the caches. fixed: (name, value) of what is fixed for it. filtering: along rows and
    columns, for the routines of `tiles`, whose loops take so many components of each of `Kernel.vectors` at a time: widths.
    """

    width: int = 1
    in_part: bool = False
    streamed: bool = False
    fixed: tuple[tuple[str, int], ...] = ()
    filtering: tuple[Filtering, Filtering] | None = None
    widths: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """What of it is not in the text of the call."""
        return str((self.width, self.in_part, self.streamed, [(f.m, f.r) for f in self.filtering or ()], self.widths))


@intrinsic
def _array(typingctx, address, shape, dtype):
    """The C-contiguous array of this shape and dtype at this address."""
    kind = types.Array(dtype.dtype, len(shape), "C")

    def codegen(context, builder, sig, args):
        array = context.make_array(kind)(context, builder)
        lengths = cgutils.unpack_tuple(builder, args[1])
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        strides = [ir.Constant(ir.IntType(64), size)]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(args[0], array.data.type)
        itemsize = ir.Constant(ir.IntType(64), size)
        populate_array(array, data, lengths, strides[: len(lengths)], itemsize, meminfo=None)
        return array._getvalue()

    return kind(types.intp, shape, dtype), codegen


def compile_kernel(kernel: Kernel, dtype: type | np.dtype, form: "Form | None" = None):
    """The kernel as a C function void(int64 *values, int64 first, int64 last, int64 scratch), for one dtype and form.

    values: the addresses of its arrays, of its scalars (each in a float64 of its own, so that it can change), and its
    sizes in the order of `Kernel.sizes`. The result has the machine code's `.address`, valid while it is referenced.
    """
    return _compiled(kernel, np.dtype(dtype), form or Form())


@functools.cache
def _compiled(kernel: Kernel, dtype: np.dtype, form: Form):
    own = from_dtype(dtype)
    position = {text: k for k, text in enumerate([*kernel.arrays, *kernel.scalars])}
    position |= {f"[{index}]": len(position) + k for k, index in enumerate(kernel.sizes)}
    known = {name: str(value) for name, value in form.fixed}
    passed, dtypes = [], {"own": own}
    for text in kernel.arguments:
        name = text.split("[")[0]
        if text in ("scratch", "box"):  # the box lies after the engine's own scratch
            place = f"scratch + {engine.SCRATCH * np.dtype(dtype).itemsize}" if text == "box" else "scratch"
            passed.append(f"_array({place}, (1,), own)")
            continue
        indices, other = kernel.arrays[name]
        dtypes[other or "own"] = from_dtype(np.dtype(other)) if other else own
        sizes = (known.get(index) or f"values[{position[f'[{index}]']}]" for index in indices)
        shape = "".join(f"{size}, " for size in sizes)
        passed.append(f"_array(values[{position[name]}], ({shape}), {other or 'own'})")
    passed += [known.get(name) or f"_array(values[{position[name]}], (1,), double)[0]" for name in kernel.scalars]
    text = f"def entry(values, first, last, scratch):\n    function({', '.join(passed)}, first, last)\n"
    text += "    settled()\n" if form.streamed else ""

    python = getattr(kernel.function, "py_func", kernel.function)
    if kernel.lane or form.filtering:
        scope = {
            **python.__globals__,
            "lanes": lanes_of(form.width, form.streamed),
            "ahead_in_part": ahead_if(form.in_part),
        }
        scope |= tiles.routines_for(*form.filtering, *form.widths) if form.filtering else {}
        python = FunctionType(python.__code__, scope, python.__name__, python.__defaults__, python.__closure__)
    wanted = {k: v for k, v in getattr(kernel.function, "targetoptions", {}).items() if k == "fastmath"}
    # What is near by is in registers if LLVM knows how much that is before it sees the loops: so Numba puts the function in.
    by_numba = "near" in python.__code__.co_names and not wanted
    inlined: dict[str, str | bool] = {"inline": "always"} if by_numba else {"forceinline": True}
    function = njit(**inlined, **OPTIONS, **wanted)(python)
    scope = {
        "__name__": __name__,
        "_array": _array,
        "function": function,
        "double": types.float64,
        "settled": settled,
        **dtypes,
    }
    exec(text, scope)  # the one way to write a call of as many arguments as there are arrays
    if "scratch" in kernel.arguments:
        engine.CONTRACTION.load(own)
    if form.filtering:
        tiles.PRODUCTS.load(own)
    signature = types.void(types.CPointer(types.intp), *[types.intp] * 3)
    return compile_native(scope["entry"], signature, _key(python, text, own.name, form.key))


def _key(python: Callable, *more: str) -> tuple | None:
    """What a kernel's code depends on outside this package: the files beside its own. None: more than files."""
    file = Path(python.__code__.co_filename).resolve()
    if not file.is_file() or python.__closure__:
        return None
    ours = file.is_relative_to(Path(__file__).resolve().parent)
    return (python.__module__, python.__qualname__, "" if ours else digest_of(file.parent), *more)


# Stages --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A kernel and what it runs on: its arrays, and its scalars as float64 arrays of one element, by name.

    streamed: whether what its lanes write goes past the caches, where each vector lies as that demands. filtering: along
    rows and columns, of a kernel with routines of `tiles`; room: the elements of working memory that these need, products:
    the multiplications of what is transformed. For people, and of no effect: ``layer`` is what it is a part of, ``way`` how
    it is computed where there is a choice, and ``why`` that was chosen.
    """

    kernel: Kernel
    arrays: Mapping[str, np.ndarray]
    scalars: Mapping[str, np.ndarray] = field(default_factory=dict)
    layer: str = ""
    way: str = ""
    why: str = ""
    filtering: tuple[Filtering, Filtering] | None = None
    room: int = 0
    products: int = 0
    streamed: bool = False

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """The size of each index of its arrays."""
        arrays = self.kernel.arrays.items()
        return {i: size for k, (at, _) in arrays for i, size in zip(at, self.arrays[k].shape, strict=True)}

    @property
    def extent(self) -> int:
        """Of its split."""
        return prod(self.sizes[index] for index in self.kernel.split.split())

    @property
    def work(self) -> int:
        """Multiplications: every combination of its indices for a contraction, some ten for an element otherwise."""
        if self.products:
            return self.products
        return prod(self.sizes.values()) * (1 if "scratch" in self.kernel.arguments else 10)

    @property
    def width(self) -> int:
        """How many components its kernel takes at a time."""
        return width_for(self.sizes[self.kernel.lane], self.kernel.registers) if self.kernel.lane else 1

    @property
    def in_part(self) -> bool:
        """Whether its kernel asks for what comes of the rows that it reads in part."""
        asks = "ahead_in_part" in getattr(self.kernel.function, "py_func", self.kernel.function).__code__.co_names
        return asks and self.width < self.sizes[self.kernel.lane]

    @property
    def form(self) -> Form:
        """What its kernel is compiled for."""
        return Form(
            self.width,
            self.in_part,
            self.goes_past_caches,
            self.fixed,
            self.filtering,
            tuple(width_for(self.sizes[index], 1) for index in self.kernel.vectors),
        )

    @property
    def fixed(self) -> tuple[tuple[str, int], ...]:
        """The values of what is fixed for its kernel; none where its arrays are too small to pay for compiling it anew."""
        if max(a.size for a in self.arrays.values()) < FIXED:
            return ()
        cells = {name: int(cell[0]) for name, cell in self.scalars.items() if name in self.kernel.fixed}
        return tuple((name, cells.get(name, self.sizes.get(name, 0))) for name in self.kernel.fixed)

    @property
    def goes_past_caches(self) -> bool:
        """Whether what it writes does: that was asked for, and each of its vectors is in lines of the cache of its own."""
        written = [self.arrays[name] for name in self.kernel.writes]
        fits = all(w.ctypes.data % LINE == 0 and w.shape[-1] % self.width == 0 for w in written)
        return self.streamed and bool(self.kernel.lane) and fits

    def bind(self, dtype: np.dtype) -> tuple[np.ndarray, int]:
        """The values that the compiled kernel reads, and the extent of its split.

        Raises ValueError for an array that is missing or does not fit: its dtype, rank, layout, or a size.
        """
        name, sizes = f"kernel {self.kernel.name}", dict[str, tuple[int, str]]()
        for key, (indices, other) in self.kernel.arrays.items():
            if key not in self.arrays:
                raise ValueError(f"{name}: array {key!r} is missing")
            array, wanted = self.arrays[key], np.dtype(other or dtype)
            if array.dtype != wanted or array.ndim != len(indices) or not array.flags.c_contiguous:
                layout = "C-contiguous" if array.flags.c_contiguous else "not contiguous"
                raise ValueError(
                    f"{name}: {key}[{', '.join(indices)}] must be C-contiguous, {len(indices)} axes of {wanted}; "
                    f"it is {layout}, {array.ndim} axes of {array.dtype}"
                )
            for index, size in zip(indices, array.shape, strict=True):
                if sizes.setdefault(index, (size, key))[0] != size:
                    known, where = sizes[index]
                    raise ValueError(f"{name}: index {index} has size {known} in {where}, but {size} in {key}")
        for key in self.kernel.scalars:
            cell = self.scalars.get(key)
            if cell is None or cell.dtype != np.float64 or cell.size != 1:
                raise ValueError(f"{name}: scalar {key!r} must be a float64 array of one element")
        addresses = [self.arrays[key].ctypes.data for key in self.kernel.arrays]
        addresses += [self.scalars[key].ctypes.data for key in self.kernel.scalars]
        values = np.array(addresses + [sizes[index][0] for index in self.kernel.sizes], np.int64)
        return values, self.extent

    def box(self) -> int:
        """The elements of working memory that the kernel needs beside the engine's own."""
        if self.kernel.box is None:
            return self.room
        known = {i[:1].upper() + i[1:]: size for i, size in self.sizes.items()}
        known |= {name: int(cell[0]) for name, cell in self.scalars.items()}
        names = inspect.signature(self.kernel.box).parameters
        return max(engine.BOX, self.kernel.box(*(known[name] for name in names))) + engine.LANES


@dataclass(frozen=True)
class Stage:
    """Kernels with one split, done chunk by chunk. grain: the size of a chunk (0: all at once)."""

    calls: Sequence[Call]
    grain: int = 0
    parallel: bool = False


# The loop ------------------------------------------------------------------------------------------------------------


@intrinsic
def _invoke(typingctx, address, values, first, last, scratch):
    """Calls the compiled kernel at this address."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), codegen


@intrinsic
def _copy_bytes(typingctx, target, source, count):
    def codegen(context, builder, sig, args):
        i8p = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(args[0], i8p), builder.inttoptr(args[1], i8p), args[2], 1)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 3), codegen


# The columns of the tables that the loop reads, all int64.
FIRST_CALL, LAST_CALL, EXTENT, GRAIN, PARALLEL = range(5)  # a stage
ADDRESS, VALUES, SCALE = range(3)  # a call
SOURCE, TARGET, ROW_BYTES = range(3)  # a gathered array

_inline = njit(inline="always", **OPTIONS)


@_inline
def _chunk(stage, calls, first, last, scratch):
    for k in range(stage[FIRST_CALL], stage[LAST_CALL]):
        scale = calls[k, SCALE]
        _invoke(calls[k, ADDRESS], calls[k, VALUES], first * scale, last * scale, scratch)


@_inline
def _number(address, size):
    """The float32 or float64 at this address."""
    return _array(address, (1,), types.float32)[0] if size == 4 else _array(address, (1,), types.float64)[0]


@_inline
def _await(scratch, gathered, order, begin, end):
    """Has the engine ask for the rows order[begin:end] of a gathered array; what it was to ask for before is asked for now."""
    awaited = _array(scratch + AWAITED, (6,), types.int64)
    ask(awaited, (awaited[1] - awaited[0]) * (awaited[3] + LINE))
    awaited[0], awaited[1], awaited[2], awaited[3] = begin, end, 0, gathered[ROW_BYTES]
    awaited[4], awaited[5] = gathered[SOURCE], order


@_inline
def _begin(step, share, shares, gathers, n_gathers, order, batch, clock, rates, rate):
    """A share of what a step begins with: its number, its rate, the copies of its mini-batch's rows."""
    if share == 0:
        clock[0] += 1
        if rate:
            _array(rate, (1,), types.float64)[0] = rates[step]
    for g in range(n_gathers):
        size = gathers[g, ROW_BYTES]
        for row in range(batch * share // shares, batch * (share + 1) // shares):
            source = gathers[g, SOURCE] + order[step * batch + row] * size
            _copy_bytes(gathers[g, TARGET] + row * size, source, size)


@_inline
def _share(stage, calls, share, shares, scratch):
    """A share of a stage."""
    extent, grain = stage[EXTENT], stage[GRAIN]
    count = (extent + grain - 1) // grain
    for k in range(count * share // shares, count * (share + 1) // shares):
        _chunk(stage, calls, k * grain, min(k * grain + grain, extent), scratch)


@njit(**OPTIONS)
def _thread(
    thread, threads, team, stages, n_stages, calls, n_calls, gathers, n_gathers, order, batch, first, last, loss,
    loss_bytes, loss_stage, losses, scratch, scratch_bytes, clock, rates, rate, longest
):  # fmt: skip
    """What one of the threads does in steps first to last (exclusive): see `_steps`."""
    rows = order
    stages = _array(stages, (n_stages, 5), types.int64)
    calls = _array(calls, (n_calls, 3), types.int64)
    gathers = _array(gathers, (n_gathers, 3), types.int64)
    order = _array(order, (last * batch,), types.int64)
    losses = _array(losses, (last,), types.float64)
    clock = _array(clock, (1,), types.float64)
    rates = _array(rates, (last,), types.float64)
    gathered = 0
    for g in range(n_gathers):
        gathered += batch * gathers[g, ROW_BYTES]
    phase = until = 0
    for step in range(first, last):
        for s in range(-1, n_stages):  # the mini-batch is gathered first
            shares = threads if (gathered >= SHARED_BYTES if s < 0 else stages[s, PARALLEL]) else 1
            until += shares
            share = thread if thread < shares else next_share(team, threads, phase, shares, until)
            while share >= 0:
                if begins(team, share, phase):
                    own = scratch + share * scratch_bytes
                    if s < 0:
                        _begin(step, share, shares, gathers, n_gathers, order, batch, clock, rates, rate)
                    else:
                        if s == longest and step + 1 < last:
                            for g in range(n_gathers - 1, -1, -1):  # the first one, the samples, stays for the engine
                                begin = (step + 1) * batch + batch * share // shares
                                end = (step + 1) * batch + batch * (share + 1) // shares
                                _await(own, gathers[g], rows, begin, end)
                        _share(stages[s], calls, share, shares, own)
                        if s == longest and n_gathers > 0:
                            _await(own, gathers[0], rows, 0, 0)  # no more
                        if s == loss_stage:
                            losses[step] = _number(loss, loss_bytes)
                    completes(team, threads)
                share = next_share(team, threads, phase, shares, until)
            phase += 1
            if s == loss_stage and s >= 0 and not np.isfinite(losses[step]):
                return


def _steps(
    stages, n_stages, calls, n_calls, gathers, n_gathers, order, batch, first, last, loss, loss_bytes, loss_stage,
    losses, scratch, scratch_bytes, threads, team, clock, rates, rate, longest
):  # fmt: skip
    """Steps first to last (exclusive), up to the first one whose loss is not finite.

    The rows of the next step are asked for during the stage `longest`.
    """
    for thread in prange(threads):
        _thread(
            np.intp(thread), threads, team, stages, n_stages, calls, n_calls, gathers, n_gathers, order, batch, first,
            last, loss, loss_bytes, loss_stage, losses, scratch, scratch_bytes, clock, rates, rate, longest
        )  # fmt: skip


@functools.cache
def _driver(parallel: bool):
    native = compile_native(_steps, types.void(*[types.intp] * 22), parallel=parallel)
    # A call through ctypes lets go of the interpreter's lock.
    return native, ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 22)(native.address)  # type: ignore[arg-type]


class Program:
    """Stages, compiled and bound to their arrays, ready to run.

    stages: done one after the other. Their arrays are kept, and read and written in place.
    gathered: the arrays, (batch, ...), that a step's rows of the data are copied to.
    loss: an array of one element that the stages leave the step's loss in; loss_stage: the number of the stage after
        which it is read (the last one by default). A step whose loss is not finite ends there.

    Raises ValueError for a kernel whose arrays do not fit, or stages whose kernels differ in the extent of their split.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        dtype: type | np.dtype,
        *,
        gathered: Sequence[np.ndarray] = (),
        loss: np.ndarray | None = None,
        loss_stage: int | None = None,
    ):
        self.stages, self.dtype, self.gathered, self.loss = list(stages), np.dtype(dtype), list(gathered), loss
        self.steps_done = np.zeros(1)
        """Steps run so far, in the current one too: a float64 that kernels may take as a scalar."""
        calls: list[tuple[int, int, int]] = []
        table: list[tuple[int, int, int, int, bool]] = []
        self._kept: list = []
        self._loss_stage = len(self.stages) - 1 if loss_stage is None else loss_stage
        for number, stage in enumerate(self.stages):
            values = [call.bind(self.dtype) for call in stage.calls]
            compiled = [compile_kernel(call.kernel, self.dtype, call.form) for call in stage.calls]
            bound = [(native, *pair) for native, pair in zip(compiled, values, strict=True)]
            extents = [extent for _, _, extent in bound]
            if any(extent % max(min(extents), 1) for extent in extents):
                found = ", ".join(
                    f"{call.kernel.name} {extent}" for call, extent in zip(stage.calls, extents, strict=True)
                )
                raise ValueError(f"the splits of a stage's kernels must be multiples of the shortest, not {found}")
            extent = min(extents, default=0)
            parallel = stage.parallel and (loss is None or number != self._loss_stage)  # one thread reads the loss
            table.append((len(calls), len(calls) + len(bound), extent, stage.grain or max(extent, 1), parallel))
            calls += [(native.address, values.ctypes.data, other // max(extent, 1)) for native, values, other in bound]
            self._kept += bound
        self._stages = np.array(table, np.int64).reshape(-1, 5)
        self._calls = np.array(calls, np.int64).reshape(-1, 3)
        work = [sum(call.work for call in stage.calls) for stage in self.stages]
        self._longest = max((k for k, w in enumerate(work) if 4 * w >= sum(work)), default=len(work) - 1)
        """The last stage that is a good part of a step."""
        self._parallel = any(stage.parallel for stage in self.stages)
        box = max((call.box() for stage in self.stages for call in stage.calls), default=0)
        line = LINE // self.dtype.itemsize
        self._scratch = zeros((0, -(-(engine.SCRATCH + box) // line) * line), self.dtype)
        _driver(self._parallel)

    def run(self) -> None:
        """Runs the stages once, on what the arrays hold."""
        self._run([], np.zeros(1, np.int64), 1, 0, 1, np.zeros(1))

    def run_steps(
        self,
        data: Sequence[np.ndarray],
        order: np.ndarray,
        first: int,
        last: int,
        losses: np.ndarray,
        rates: np.ndarray | None = None,
        rate: np.ndarray | None = None,
    ) -> int:
        """Steps first <= step < last: rows order[step * batch : (step + 1) * batch] of the data, the stages, the loss.

        data: an array (samples, ...) for each one gathered; order: int64 row numbers; losses: float64, losses[step] is
        set. rates: float64, rates[step] is put into the array ``rate`` of one element before the step. Returns the
        number of the first step whose loss is not finite, or last. Other Python threads run meanwhile.
        """
        batch = len(self.gathered[0]) if self.gathered else 1
        for source, target in zip(data, self.gathered, strict=True):
            if source.shape[1:] != target.shape[1:] or source.dtype != target.dtype or len(target) != batch:
                raise ValueError(f"data {source.dtype}{source.shape} do not fit {target.dtype}{target.shape}")
            if not source.flags.c_contiguous:
                raise ValueError("data must be C-contiguous")
        if order.dtype != np.int64 or losses.dtype != np.float64 or not 0 <= first <= last:
            raise ValueError("order must be int64, losses float64, and 0 <= first <= last")
        if len(order) < last * batch or len(losses) < last:
            raise ValueError(f"{last} steps of {batch} rows need as many row numbers and losses")
        if rates is not None and (rates.dtype != np.float64 or not rates.flags.c_contiguous or len(rates) < last):
            raise ValueError(f"rates must be C-contiguous float64, one for each of {last} steps")
        rows, samples = order[first * batch : last * batch], min((len(source) for source in data), default=0)
        if data and rows.size and (rows.min() < 0 or rows.max() >= samples):
            raise ValueError(f"row numbers must lie in 0 to {samples - 1}")
        return self._run(data, order, batch, first, last, losses, rates, rate)

    def _run(self, data, order, batch, first, last, losses, rates=None, rate=None) -> int:
        threads = get_num_threads() if self._parallel else 1
        if len(self._scratch) < threads:
            self._scratch = zeros((threads, self._scratch.shape[1]), self.dtype)
        gathers = np.array(
            [(s.ctypes.data, t.ctypes.data, t[:1].nbytes) for s, t in zip(data, self.gathered, strict=False)], np.int64
        ).reshape(-1, 3)
        loss, size = (0, 0) if self.loss is None else (self.loss.ctypes.data, self.loss.itemsize)
        _, steps = _driver(self._parallel)
        team = zeros(words(threads), np.int64)
        steps(
            self._stages.ctypes.data, len(self._stages), self._calls.ctypes.data, len(self._calls),
            gathers.ctypes.data, len(gathers), order.ctypes.data, batch, first, last,
            loss, size, self._loss_stage if self.loss is not None else -1, losses.ctypes.data,
            self._scratch.ctypes.data, self._scratch[:1].nbytes, threads, team.ctypes.data, self.steps_done.ctypes.data,
            *((0, 0) if rates is None or rate is None else (rates.ctypes.data, rate.ctypes.data)), self._longest,
        )  # fmt: skip
        bad = np.flatnonzero(~np.isfinite(losses[first:last]))
        return first + int(bad[0]) if bad.size and self.loss is not None else last
