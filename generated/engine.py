"""The contraction engine: c[i, v] = start[i, v] + sum over s, t of a[i, s, t] b[s, t, v], at the processor's speed.

One routine, compiled once for each dtype, serves every contraction whose operands are read through strides: forward,
backward-data and backward-weights differ only in which index is the row i, which the lane v, which are contracted
(s, t). Sizes, offsets and strides are run-time values; a vector is as wide as the host's (`native.LANES`).

Every output is one chain of fused multiply-adds in the order of (s, t), whatever the lanes, the blocking, the threads:
the same input gives the same bits everywhere.
"""

import functools

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .native import LANES, OPTIONS, PACKAGE, compile_native

ROWS = 5  # of a tile: with 2 vectors, 10 chains of fused multiply-adds; two tiles make a mini-batch of 10
DEPTH = 256  # contracted steps of a block: a panel of b (DEPTH x 2 vectors) stays in the first-level cache
BLOCK = 40 * ROWS  # rows of a block: their part of a stays in the second-level cache
PACK_FROM = 4 * ROWS  # rows from which copying a panel of b together pays
SCRATCH = 2 * LANES * (DEPTH + ROWS + 1)
"""Elements of the `scratch` array that `contract` works in; one for each thread."""

I64 = ir.IntType(64)
_inline = njit(inline="always", **OPTIONS)


# Vectors and pointers ------------------------------------------------------------------------------------------------


def lanes_of(dtype: types.Type) -> int:
    """Elements in a vector: LANES float32 or half as many float64."""
    return LANES * 32 // dtype.bitwidth


def _vector(pointer: ir.Type) -> ir.VectorType:
    element = pointer.pointee
    return ir.VectorType(element, LANES if isinstance(element, ir.FloatType) else LANES // 2)


def _load(builder, pointer):
    kind = _vector(pointer.type)
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 4
    return value


def _store(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = 4


def _broadcast(builder, scalar, kind):
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None))


def _fma(builder, a, b, c):
    """a b + c with one rounding, of vectors or scalars."""
    vector = isinstance(a.type, ir.VectorType)
    element = a.type.element if vector else a.type
    suffix = "f32" if isinstance(element, ir.FloatType) else "f64"
    name = f"llvm.fma.v{a.type.count}{suffix}" if vector else f"llvm.fma.{suffix}"
    declared = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(declared, [a, b, c])


def _prefetch(builder, pointer):
    i32, i8p = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [i8p, i32, i32, i32])
    declared = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(declared, [builder.bitcast(pointer, i8p), i32(0), i32(2), i32(1)])  # to read, into the second level


def _keep_rolled(builder, branch):
    """LLVM would unroll the loop of this branch four times, and spill the pointers that takes."""
    disable = builder.module.add_metadata(["llvm.loop.unroll.disable"])
    loop = builder.module.add_metadata([disable])
    loop.operands = (loop, disable)  # a loop is named by a node that names itself
    branch.set_metadata("llvm.loop", loop)


@intrinsic
def _moved(typingctx, pointer, elements):
    """The pointer, `elements` further on."""
    return pointer(pointer, types.intp), lambda context, builder, sig, args: builder.gep(args[0], [args[1]])


@intrinsic
def _copy_vector(typingctx, target, source):
    """target[v] = source[v] for v < lanes."""

    def codegen(context, builder, sig, args):
        _store(builder, _load(builder, args[1]), args[0])
        return context.get_dummy_value()

    return types.void(target, source), codegen


@intrinsic
def _copy_transposed(typingctx, target, target_row, source, source_row):
    """target[t * target_row + v] = source[v * source_row + t] for v, t < lanes."""

    def codegen(context, builder, sig, args):
        target, target_row, source, source_row = args
        lanes = _vector(source.type).count
        rows = [_load(builder, builder.gep(source, [builder.mul(source_row, I64(v))])) for v in range(lanes)]
        step = 1
        while step < lanes:  # exchange the off-diagonal blocks of step x step within blocks of twice that
            low = [t if not t & step else lanes + t - step for t in range(lanes)]
            high = [t + step if not t & step else lanes + t for t in range(lanes)]
            for v in (v for v in range(lanes) if not v & step):
                pair = rows[v], rows[v + step]
                for row, mask in ((v, low), (v + step, high)):
                    rows[row] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), lanes), mask))
            step *= 2
        for t in range(lanes):
            _store(builder, rows[t], builder.gep(target, [builder.mul(target_row, I64(t))]))
        return context.get_dummy_value()

    n = types.intp
    return types.void(target, n, source, n), codegen


# The tile ------------------------------------------------------------------------------------------------------------


@intrinsic
def _tile(
    typingctx, rows, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_second, start, start_row,
    c, c_row, second
):  # fmt: skip
    """c[i c_row + v] = start[i start_row + v] + sum over s < segments, t < length of
    a[i a_row + s a_segment + t a_step] b[s b_segment + t b_step + v], for 0 <= i < rows <= ROWS and two vectors of v.

    The second vector begins `second` lanes after the first in c and start, `b_second` after it in b: they may overlap.
    Rows beyond `rows` repeat the last one. Everything is read before anything is written, so what is computed twice is
    written twice with the same value.
    """
    n = types.intp
    signature = types.void(n, n, n, a, n, n, n, b, n, n, n, start, n, c, n, n)

    def codegen(context, builder, sig, args):
        rows, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_second = args[:11]
        start, start_row, c, c_row, second = args[11:]
        kind = _vector(a.type)
        pairs = [(i, v) for i in range(ROWS) for v in range(2)]
        at = [I64(0)]
        for i in range(1, ROWS):
            at.append(builder.select(builder.icmp_signed("<", I64(i), rows), I64(i), at[-1]))
        a_rows = [builder.gep(a, [builder.mul(a_row, i)]) for i in at]
        place = {(i, v): builder.add(builder.mul(c_row, at[i]), (I64(0), second)[v]) for i, v in pairs}
        origin = {(i, v): builder.add(builder.mul(start_row, at[i]), (I64(0), second)[v]) for i, v in pairs}
        initial = {p: _load(builder, builder.gep(start, [origin[p]])) for p in pairs}
        for i in range(ROWS):  # what the next tile adds to is far away, in a large array
            _prefetch(builder, builder.gep(c, [builder.add(place[i, 0], builder.mul(c_row, I64(ROWS)))]))
        entry = builder.basic_block
        outer, inner, after, done = (
            builder.append_basic_block(f"tile.{n}") for n in ("segment", "step", "next", "done")
        )
        builder.branch(outer)

        builder.position_at_end(outer)
        s, a_base, b_base = builder.phi(I64), builder.phi(I64), builder.phi(b.type)
        held = {p: builder.phi(kind) for p in pairs}
        builder.branch(inner)

        builder.position_at_end(inner)
        t, a_at, b_at = builder.phi(I64), builder.phi(I64), builder.phi(b.type)
        sums = {p: builder.phi(kind) for p in pairs}
        bs = [_load(builder, b_at), _load(builder, builder.gep(b_at, [b_second]))]
        new = {}
        for i in range(ROWS):
            scalar = _broadcast(builder, builder.load(builder.gep(a_rows[i], [a_at])), kind)
            for v in range(2):
                new[i, v] = _fma(builder, scalar, bs[v], sums[i, v])
        t_next, a_next, b_next = builder.add(t, I64(1)), builder.add(a_at, a_step), builder.gep(b_at, [b_step])
        _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", t_next, length), inner, after))

        builder.position_at_end(after)
        s_next, a_beyond = builder.add(s, I64(1)), builder.add(a_base, a_segment)
        b_beyond = builder.gep(b_base, [b_segment])
        builder.cbranch(builder.icmp_signed("<", s_next, segments), outer, done)

        incoming = [(s, I64(0), s_next), (a_base, I64(0), a_beyond), (b_base, b, b_beyond)]
        for phi, first, later in incoming + [(held[p], initial[p], new[p]) for p in pairs]:
            phi.add_incoming(first, entry)
            phi.add_incoming(later, after)
        incoming = [(t, I64(0), t_next), (a_at, a_base, a_next), (b_at, b_base, b_next)]
        for phi, first, later in incoming + [(sums[p], held[p], new[p]) for p in pairs]:
            phi.add_incoming(first, outer)
            phi.add_incoming(later, inner)

        builder.position_at_end(done)
        for p in pairs:
            _store(builder, new[p], builder.gep(c, [place[p]]))
        return context.get_dummy_value()

    return signature, codegen


# Blocks, panels, tiles -----------------------------------------------------------------------------------------------


@_inline
def _pack(target, lanes, width, second, segments, length, b, b_segment, b_step, b_lane):
    """target[(s length + t) 2 lanes + v] = b[s b_segment + t b_step + v b_lane]: a panel, its two vectors side by side.

    The second vector holds the lanes from `second` on. A panel narrower than a vector is filled up with zeros, twice.
    """
    for s in range(segments):
        panel = _moved(target, s * length * 2 * lanes)
        here = _moved(b, s * b_segment)
        if width < lanes:
            for t in range(length):
                for v in range(lanes):
                    value = here[t * b_step + v * b_lane] if v < width else 0
                    panel[t * 2 * lanes + v] = panel[t * 2 * lanes + lanes + v] = value
        elif b_lane == 1:
            for t in range(length):
                _copy_vector(_moved(panel, t * 2 * lanes), _moved(here, t * b_step))
                _copy_vector(_moved(panel, t * 2 * lanes + lanes), _moved(here, t * b_step + second))
        else:
            whole = length - length % lanes if b_step == 1 else 0
            for half in range(2):
                column = _moved(panel, half * lanes)
                origin = _moved(here, half * second * b_lane)
                for t in range(0, whole, lanes):
                    _copy_transposed(_moved(column, t * 2 * lanes), 2 * lanes, _moved(origin, t), b_lane)
                for t in range(whole, length):
                    for v in range(lanes):
                        column[t * 2 * lanes + v] = origin[t * b_step + v * b_lane]


@_inline
def _tiles(
    lanes, width, second, packed, rows, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_second,
    start, start_row, c, c_row, staged
):  # fmt: skip
    """The tiles of one panel of `width` lanes, row by row; a panel narrower than a vector passes through `staged`."""
    for i in range(0, rows, ROWS):
        count = min(ROWS, rows - i)
        origin, origin_row = _moved(start, i * start_row), start_row
        place, place_row = _moved(c, i * c_row), c_row
        if width < lanes:
            for r in range(count):
                for v in range(width):
                    staged[r * 2 * lanes + v] = origin[r * start_row + v]
            origin, origin_row, place, place_row = staged, 2 * lanes, staged, 2 * lanes
        _tile(count, segments, length, _moved(a, i * a_row), a_row, a_segment, a_step,
              b, b_segment, b_step, b_second, origin, origin_row, place, place_row, second)  # fmt: skip
        if width < lanes:
            for r in range(count):
                for v in range(width):
                    c[(i + r) * c_row + v] = staged[r * 2 * lanes + v]


@_inline
def _contract(
    lanes, rows, columns, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_lane,
    start, start_row, start_lane, c, c_row, scratch
):  # fmt: skip
    """`contract` on pointers. With start_lane = 0 start is a row of zeros, the first of scratch, for all the lanes."""
    for v in range(2 * lanes):
        scratch[v] = 0
    if segments <= 0 or length <= 0:
        for i in range(rows):
            for v in range(columns):
                c[i * c_row + v] = start[i * start_row + v * start_lane]
        return
    staged = _moved(scratch, 2 * lanes)
    panel = _moved(scratch, 2 * lanes * (ROWS + 1))
    pack = b_lane != 1 or columns < lanes or rows >= PACK_FROM
    s = t = 0
    while s < segments:
        # A block of the contracted indices: whole segments, or a part of one. The next block goes on from c.
        count = max(1, min(segments - s, DEPTH // length))
        steps = min(DEPTH, length - t)
        for i in range(0, rows, BLOCK):
            height = min(BLOCK, rows - i)
            v = 0
            while v < columns:
                # A panel is two vectors wide, or the last lanes: more than one vector's, so that none is left alone.
                left = columns - v
                width = left if left <= 2 * lanes else lanes if left < 3 * lanes else 2 * lanes
                second = max(0, width - lanes)
                here = _moved(b, s * b_segment + t * b_step + v * b_lane)
                here_segment, here_step, here_second = b_segment, b_step, second
                if pack:
                    _pack(panel, lanes, width, second, count, steps, here, b_segment, b_step, b_lane)
                    here, here_segment, here_step, here_second = panel, steps * 2 * lanes, 2 * lanes, lanes
                _tiles(lanes, width, second, pack, height, count, steps,
                       _moved(a, i * a_row + s * a_segment + t * a_step), a_row, a_segment, a_step,
                       here, here_segment, here_step, here_second,
                       _moved(start, i * start_row + v * start_lane), start_row,
                       _moved(c, i * c_row + v), c_row, staged)  # fmt: skip
                v += width
        start, start_row, start_lane = c, c_row, 1
        t += steps
        if t == length:
            t = 0
            s += count


# Called by symbol: compiled once, not into every kernel --------------------------------------------------------------


@functools.cache
def _routine(dtype: types.Type):
    """Compiles the contraction of float32 or float64 arrays and gives its machine code a name that kernels link to."""
    lanes = lanes_of(dtype)

    def contract(
        rows, columns, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_lane,
        start, start_row, start_lane, c, c_row, scratch
    ):  # fmt: skip
        _contract(lanes, rows, columns, segments, length, a, a_row, a_segment, a_step, b, b_segment, b_step, b_lane,
                  start, start_row, start_lane, c, c_row, scratch)  # fmt: skip

    n, p = types.intp, types.CPointer(dtype)
    native = compile_native(contract, types.void(n, n, n, n, p, n, n, n, p, n, n, n, p, n, n, p, n, p), (dtype.name,))
    llvm.add_symbol(_symbol(dtype), native.address)
    return native


def _symbol(dtype: types.Type) -> str:
    return f"backderive_contract_{dtype.name}_{LANES}_{PACKAGE[:16]}"


def load(dtype: types.Type) -> None:
    """Makes the contraction of this dtype known to kernels that come from the disk."""
    _routine(dtype)


def _call(context, builder, sig, args, bias: bool, add: bool):
    """Calls the routine; sig and args are those of `contract` or `contract_bias`."""

    def pointer(k):
        index = args[k + 1] if k + 1 < len(args) and k != 17 else I64(0)
        return builder.gep(context.make_array(sig.args[k])(context, builder, args[k]).data, [index])

    rows, columns, segments, length = args[:4]
    a, b, c, c_row, scratch = pointer(4), pointer(9), pointer(14), args[16], pointer(17)
    start = (c, c_row, I64(1)) if add else (pointer(18), I64(0), I64(1)) if bias else (scratch, I64(0), I64(0))
    passed = [rows, columns, segments, length, a, *args[6:9], b, *args[11:14], *start, c, c_row, scratch]
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, _symbol(sig.args[4].dtype)), passed)
    return context.get_dummy_value()


def _signature(a, b, c, scratch, *more):
    _routine(a.dtype)
    n = types.intp
    return types.void(n, n, n, n, a, n, n, n, n, b, n, n, n, n, c, n, n, scratch, *more)


@intrinsic
def contract(
    typingctx, rows, columns, segments, length, a, a0, a_row, a_segment, a_step, b, b0, b_segment, b_step, b_lane,
    c, c0, c_row, scratch
):  # fmt: skip
    """c[c0 + i c_row + v] = sum over s < segments, t < length of
    a[a0 + i a_row + s a_segment + t a_step] b[b0 + s b_segment + t b_step + v b_lane], for i < rows, v < columns.

    a, b, c: float32 or float64 arrays of any rank, C-contiguous, all of one dtype; offsets and strides count elements.
    c overlaps neither a nor b. scratch: SCRATCH elements that no other thread uses.
    """
    return _signature(a, b, c, scratch), functools.partial(_call, bias=False, add=False)


@intrinsic
def contract_add(
    typingctx, rows, columns, segments, length, a, a0, a_row, a_segment, a_step, b, b0, b_segment, b_step, b_lane,
    c, c0, c_row, scratch
):  # fmt: skip
    """As `contract`, but c[...] += the sum: the sum starts from what c holds."""
    return _signature(a, b, c, scratch), functools.partial(_call, bias=False, add=True)


@intrinsic
def contract_bias(
    typingctx, rows, columns, segments, length, a, a0, a_row, a_segment, a_step, b, b0, b_segment, b_step, b_lane,
    c, c0, c_row, scratch, bias, bias0
):  # fmt: skip
    """As `contract`, but the sum starts from bias[bias0 + v]."""
    return _signature(a, b, c, scratch, bias, types.intp), functools.partial(_call, bias=True, add=False)


@intrinsic
def fma(typingctx, a, b, c):
    """a b + c with one rounding, of float32 or of float64."""
    return a(a, a, a), lambda context, builder, sig, args: _fma(builder, *args)


@intrinsic
def prefetch(typingctx, address):
    """Asks for the cache line at this address; changes nothing else."""

    def codegen(context, builder, sig, args):
        _prefetch(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp), codegen
