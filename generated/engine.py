"""The contraction engine: c[i, v] = start[i, v] + sum over s, t of a[i, s, t] b[s, t, v], at the processor's speed.

One routine, compiled once for each dtype, serves every contraction whose operands are read through strides: forward,
backward-data and backward-weights differ only in which indices are the rows i, which the lane v, which are contracted
(s, t). A tile finds its rows and runs by tables of offsets, so rows may be the pixels of planes, the taps of filters.
Sizes, offsets and strides are run-time values; a vector is as wide as the host's (`native.LANES`).

Every output is a sum of chains of at most DEPTH fused multiply-adds in the order of (s, t), whatever the lanes and the
threads: the same input gives the same bits everywhere, and long sums lose less than one chain would.
"""

import functools
from collections.abc import Callable

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing import Signature
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .native import CACHE, LANES, LINE, OPTIONS, REGISTERS, Linked

LOW = 5  # rows of a tile of 2 vectors: 10 chains of fused multiply-adds hide each other's latency
ROWS = 10 if REGISTERS == 32 else LOW  # the same, where there are registers for more chains: less is read for each
NARROW = 10  # rows of a tile of one vector
PANEL = 4 if ROWS > LOW and CACHE >= 48 << 10 else 2  # vectors of a panel of b: the first-level cache holds it
DEPTH = 128  # contracted steps of a block, and of one chain: a panel of b has as many rows, at most
PLACES = 64  # the same where places are summed over: there are many
BLOCK = 200  # rows of a block: their part of a stays in the second-level cache
PACK_FROM = 20  # rows from which copying a panel of b together pays
FEW = 4  # columns: with so many or fewer, rows go along the lanes, where they lie side by side in a
MANY = 1 << 16  # elements of a or c that no cache near by holds
AHEAD = 1 << 10  # elements of planes that are asked for before they are copied
CHAINS = 9  # of a tile of few columns, at most
BOX = 1 << 18  # elements of the box for strips of planes; what a block reads of it stays in the second-level cache
BEYOND = 2 * NARROW  # rows after the last one that tables hold
TABLES = 2 * (BLOCK + BEYOND) + 2 * DEPTH + 2 * BEYOND  # int64: the offsets of a block's rows and runs
AWAITED = 4 * LANES * (PANEL * (DEPTH + 1) + NARROW) + 8 * TABLES  # bytes of scratch before what is awaited
SCRATCH = -(-(AWAITED + 6 * 8) // LINE) * LINE // 4
"""Elements of the `scratch` array that `contract` works in; one for each thread, zero at first.

While tiles are computed, rows of data that are needed later are asked for. Six int64 at the byte AWAITED say which: the next
one's place in a list, the place of the last one (exclusive), the byte in the row, the bytes of a row, the addresses of the
first row and of the list of their numbers.
"""

I64 = ir.IntType(64)
_inline = njit(inline="always", **OPTIONS)


# Vectors and pointers ------------------------------------------------------------------------------------------------


def lanes_of(dtype: types.Type) -> int:
    """Elements in a vector: LANES float32 or half as many float64."""
    return LANES * 32 // dtype.bitwidth


def _vector(pointer: ir.Type, parts: int = 1) -> ir.VectorType:
    element = pointer.pointee
    return ir.VectorType(element, (LANES if isinstance(element, ir.FloatType) else LANES // 2) // parts)


def _load(builder, pointer, parts=1):
    kind = _vector(pointer.type, parts)
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
def _integers(typingctx, pointer):
    """The same place, as int64 values."""
    kind = types.CPointer(types.int64)
    return kind(pointer), lambda context, builder, sig, args: builder.bitcast(args[0], I64.as_pointer())


@intrinsic
def _ask_for(typingctx, pointer):
    """Asks for the cache line at this place; changes nothing else."""

    def codegen(context, builder, sig, args):
        _prefetch(builder, args[0])
        return context.get_dummy_value()

    return types.void(pointer), codegen


@intrinsic
def prefetch(typingctx, address):
    """Asks for the cache line at this address; changes nothing else."""

    def codegen(context, builder, sig, args):
        _prefetch(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@intrinsic
def _integers_at(typingctx, address):
    """The int64 values at this address."""
    kind = types.CPointer(types.int64)
    return kind(types.intp), lambda context, builder, sig, args: builder.inttoptr(args[0], I64.as_pointer())


@intrinsic
def _copy_vector(typingctx, target, source, scale):
    """target[v] = scale source[v] for v < lanes."""

    def codegen(context, builder, sig, args):
        target, source, scale = args
        value = _load(builder, source)
        _store(builder, builder.fmul(value, _broadcast(builder, scale, value.type)), target)
        return context.get_dummy_value()

    return types.void(target, source, source.dtype), codegen


def _mask(builder, width, lanes):
    """Which lanes are below width."""
    i32 = ir.IntType(32)
    places = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", places, _broadcast(builder, builder.trunc(width, i32), places.type))


def _masked(builder, what, kind, pointer, *more):
    """Calls llvm.masked.load or .store of vectors of this kind."""
    element = "f32" if isinstance(kind.element, ir.FloatType) else "f64"
    pointer = builder.bitcast(pointer, kind.as_pointer())
    passed = [pointer, ir.IntType(32)(4), *more] if what == "load" else [more[0], pointer, ir.IntType(32)(4), more[1]]
    result = kind if what == "load" else ir.VoidType()
    signature = ir.FunctionType(result, [value.type for value in passed])
    name = f"llvm.masked.{what}.v{kind.count}{element}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), passed)


@intrinsic
def _copy_in(typingctx, target, source, width, scale):
    """target[v] = scale source[v] for v < width, zero up to lanes."""

    def codegen(context, builder, sig, args):
        target, source, width, scale = args
        kind = _vector(source.type)
        none = ir.Constant(kind, [0.0] * kind.count)
        value = _masked(builder, "load", kind, source, _mask(builder, width, kind.count), none)
        _store(builder, builder.fmul(value, _broadcast(builder, scale, kind)), target)
        return context.get_dummy_value()

    return types.void(target, source, types.intp, source.dtype), codegen


@intrinsic
def _copy_out(typingctx, target, source, width):
    """target[v] = source[v] for v < width."""

    def codegen(context, builder, sig, args):
        target, source, width = args
        kind = _vector(source.type)
        _masked(builder, "store", kind, target, _load(builder, source), _mask(builder, width, kind.count))
        return context.get_dummy_value()

    return types.void(target, source, types.intp), codegen


@intrinsic
def _copy_transposed(typingctx, target, target_row, source, source_row, scale):
    """target[t * target_row + v] = scale source[v * source_row + t] for v, t < lanes."""

    def codegen(context, builder, sig, args):
        target, target_row, source, source_row, scale = args
        lanes = _vector(source.type).count
        rows = [_load(builder, builder.gep(source, [builder.mul(source_row, I64(v))])) for v in range(lanes)]
        scales = _broadcast(builder, scale, rows[0].type)
        rows = [builder.fmul(row, scales) for row in rows]
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
    return types.void(target, n, source, n, source.dtype), codegen


# The tile ------------------------------------------------------------------------------------------------------------


def _tile_of(rows, vectors, parts=1):
    """The tile of so many rows and vectors; or of a part of one."""

    @intrinsic
    def tile(
        typingctx, sums, length, a, a_rows, a_segments, a_step, b, b_segments, b_step, b_second, start, start_rows,
        c, c_rows, second
    ):  # fmt: skip
        """c[c_rows[i] + v] = start[start_rows[i] + v] + sum over s < segments, t < length of
        a[a_rows[i] + a_segments[s] + t a_step] b[b_segments[s] + t b_step + v], for i < rows and the vectors of v.

        sums: (chains, segments); the segments of a further chain follow in the tables, and its sum is added to c.

        Every further vector begins `second` lanes after the one before in c and start, `b_second` after it in b: they may
        overlap.
        Rows may repeat: everything is read before anything is written, so what is computed twice is written twice with
        the same value.
        """
        n = types.intp
        two = types.UniTuple(n, 2)
        signature = types.void(two, n, a, a_rows, a_segments, n, b, b_segments, n, n, start, start_rows, c, c_rows, n)
        return signature, functools.partial(_generate_tile, rows, vectors, parts)

    return tile


def _generate_tile(rows, vectors, parts, context, builder, sig, args):
    sums, length, a, a_rows, a_segments, a_step, b, b_segments, b_step, b_second = args[:10]
    start, start_rows, c, c_rows, second = args[10:]
    chains, segments = cgutils.unpack_tuple(builder, sums)
    kind = _vector(a.type, parts)
    pairs = [(i, v) for i in range(rows) for v in range(vectors)]
    places, b_places = ([builder.mul(step, I64(v)) for v in range(vectors)] for step in (second, b_second))

    def row(base, table, i):
        return builder.gep(base, [builder.load(builder.gep(table, [i]))])

    a_row, start_row, c_row = (
        [row(base, table, I64(i)) for i in range(rows)]
        for base, table in ((a, a_rows), (start, start_rows), (c, c_rows))
    )
    entry = builder.basic_block
    names = ("chain", "segment", "step", "next", "total", "done")
    chain, outer, inner, after, end, done = (builder.append_basic_block(f"tile.{n}") for n in names)
    builder.branch(chain)

    builder.position_at_end(chain)
    q, first = builder.phi(I64), builder.phi(I64)
    from_row = [builder.phi(pointer.type) for pointer in start_row]
    last = builder.add(first, segments)
    builder.branch(outer)

    builder.position_at_end(outer)
    s = builder.phi(I64)
    held = {p: builder.phi(kind) for p in pairs}
    a_base, b_base = builder.load(builder.gep(a_segments, [s])), row(b, b_segments, s)
    builder.branch(inner)

    builder.position_at_end(inner)
    t, a_at, b_at = builder.phi(I64), builder.phi(I64), builder.phi(b.type)
    sums = {p: builder.phi(kind) for p in pairs}
    bs = [_load(builder, builder.gep(b_at, [place]), parts) for place in b_places]
    new = {}
    for i in range(rows):
        scalar = _broadcast(builder, builder.load(builder.gep(a_row[i], [a_at])), kind)
        for v in range(vectors):
            new[i, v] = _fma(builder, scalar, bs[v], sums[i, v])
    t_next, a_next, b_next = builder.add(t, I64(1)), builder.add(a_at, a_step), builder.gep(b_at, [b_step])
    _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", t_next, length), inner, after))

    builder.position_at_end(after)
    s_next = builder.add(s, I64(1))
    builder.cbranch(builder.icmp_signed("<", s_next, last), outer, end)

    builder.position_at_end(end)
    total = {}
    for i, v in pairs:  # all that is read before anything is written: rows may repeat
        total[i, v] = builder.fadd(_load(builder, builder.gep(from_row[i], [places[v]]), parts), new[i, v])
    for i, v in pairs:
        _store(builder, total[i, v], builder.gep(c_row[i], [places[v]]))
    q_next = builder.add(q, I64(1))
    builder.cbranch(builder.icmp_signed("<", q_next, chains), chain, done)

    def varies(before, after, values):
        for phi, value, later in values:
            phi.add_incoming(value, before)
            phi.add_incoming(later, after)

    rows_from = zip(from_row, start_row, c_row, strict=True)
    varies(entry, end, [(q, I64(0), q_next), (first, I64(0), last), *rows_from])
    varies(chain, after, [(s, first, s_next), *((held[p], ir.Constant(kind, None), new[p]) for p in pairs)])
    steps = [(t, I64(0), t_next), (a_at, a_base, a_next), (b_at, b_base, b_next)]
    varies(outer, inner, steps + [(sums[p], held[p], new[p]) for p in pairs])

    builder.position_at_end(done)
    return context.get_dummy_value()


_tall_tile, _short_tile = _tile_of(ROWS, 2), _tile_of(ROWS - 1, 2)
_low_tile, _lowest_tile = _tile_of(LOW, 2), _tile_of(LOW - 1, 2)
_wide_tile, _short_wide_tile = _tile_of(LOW, PANEL), _tile_of(LOW - 1, PANEL)
_narrow_tile, _short_narrow_tile = _tile_of(NARROW, 1), _tile_of(NARROW - 1, 1)
_half_tile = _tile_of(NARROW, 1, parts=2)  # wide vectors take some processors twice the time of narrow ones


@intrinsic
def _along_tile(
    typingctx, rows, wide, segments, length, a, a_rows, a_segments, a_step, b, b_segments, b_step, lanes, c, c_rows
):  # fmt: skip
    """Adds a tile of so many rows, at most FEW, to c: of CHAINS // rows vectors side by side if it is wide, else of one."""
    n = types.intp

    def codegen(context, builder, sig, args):
        rows, wide, segments, *operands, lanes, c, c_rows = args
        sums = cgutils.pack_array(builder, [I64(1), segments])
        tile = [sums, *operands, lanes, c, c_rows, c, c_rows, lanes]
        for k in range(1, FEW + 1):
            for vectors, whether in ((CHAINS // k, "!="), (1, "==")):
                is_it = builder.and_(
                    builder.icmp_signed("==", rows, I64(k)), builder.icmp_signed(whether, wide, I64(0))
                )
                with builder.if_then(is_it):
                    _generate_tile(k, vectors, 1, context, builder, sig, tile)
        return context.get_dummy_value()

    return types.void(n, n, n, n, a, a_rows, a_segments, n, b, b_segments, n, n, c, c_rows), codegen


@_inline
def _heights(rows, tall):
    """(tall, short): of so many rows, those before `tall` are for tall tiles, those before `short` for tiles of one row
    less, so that both come out even; or else, those after the last whole tall tile are for tiles of few rows."""
    even = rows - -rows % tall * (tall - 1)
    whole = rows - rows % tall
    return (even, rows) if even >= 0 else (whole, whole)


@_inline
def ask(awaited, lines):
    """Asks for the next cache lines of what is awaited: see SCRATCH."""
    at, byte = awaited[0], awaited[2]
    numbers = _integers_at(awaited[5])
    while at < awaited[1] and lines > 0:
        prefetch(awaited[4] + numbers[at] * awaited[3] + byte)
        byte += LINE
        lines -= 1
        if byte >= awaited[3]:
            byte = 0
            at += 1
    awaited[0], awaited[2] = at, byte


# Blocks, panels, tiles -----------------------------------------------------------------------------------------------


@_inline
def _pack(target, lanes, width, row, second, length, b, b_step, b_lane, scale):
    """target[t row + v] = scale b[t b_step + v b_lane]: rows of a panel, its vectors side by side.

    The second of two holds the lanes from `second` on. A panel narrower than a vector is filled up with zeros.
    """
    if width < lanes and b_lane == 1:
        for t in range(length):
            _copy_in(_moved(target, t * row), _moved(b, t * b_step), width, scale)
    elif width < lanes:
        for t in range(length):
            for v in range(lanes):
                target[t * row + v] = b[t * b_step + v * b_lane] * scale if v < width else 0
    elif b_lane == 1:
        for t in range(length):
            for part in range(row // lanes):
                _copy_vector(_moved(target, t * row + part * lanes), _moved(b, t * b_step + part * second), scale)
    else:
        whole = length - length % lanes if b_step == 1 else 0
        for part in range(row // lanes):
            column = _moved(target, part * lanes)
            origin = _moved(b, part * second * b_lane)
            for t in range(0, whole, lanes):
                _copy_transposed(_moved(column, t * row), row, _moved(origin, t), b_lane, scale)
            for t in range(whole, length):
                for v in range(lanes):
                    column[t * row + v] = origin[t * b_step + v * b_lane] * scale


@_inline
def _ask_for_pieces(lanes, coming, first, last):
    """Asks for the pieces [first, last) of what is coming, as far as there are so many."""
    where, pieces, step, length = coming
    for piece in range(first, min(last, pieces)):
        for line in range(0, length, LINE // 4 * lanes // LANES):
            _ask_for(_moved(where, piece * step + line))


@_inline
def _tiles(
    lanes, width, second, rows, sums, length, a, a_rows, a_segments, a_step, b, b_segments, b_step, b_second,
    start, start_rows, start_moves, c, c_rows, staged, staged_rows, next_a, next_b, far_c, awaited
):  # fmt: skip
    """The tiles of one panel of `width` lanes, row by row; one narrower than a vector, but for half of it, passes through
    `staged`.

    What comes next of a and of b, (where, pieces, elements from one to the next, elements of each), of c, if it is far, and
    what is awaited are asked for meanwhile, if the panel is wider than a vector.
    """
    if width > lanes:
        tall = LOW if width > 2 * lanes else ROWS
        until_tall, until_short = _heights(rows, tall)
        share_a = (next_a[1] * tall + rows - 1) // rows  # pieces asked for during a tile
        share_b = (next_b[1] * tall + rows - 1) // rows
        lines = 4 + sums[0] * sums[1] * length // 64  # more during a longer tile
        asked_a = asked_b = i = 0
        while i < rows:
            _ask_for_pieces(lanes, next_a, asked_a, asked_a + share_a)
            _ask_for_pieces(lanes, next_b, asked_b, asked_b + share_b)
            asked_a += share_a
            asked_b += share_b
            ask(awaited, lines)
            if far_c:
                for r in range(i + tall, i + 2 * tall):
                    _ask_for_pieces(lanes, (_moved(c, c_rows[r]), 1, 0, width), 0, 1)
            height = tall if i < until_tall else tall - 1 if i < until_short else LOW if rows - i == LOW else LOW - 1
            operands = (sums, length, a, _moved(a_rows, i), a_segments, a_step, b, b_segments, b_step, b_second,
                        start, _moved(start_rows, i * start_moves), c, _moved(c_rows, i), second)  # fmt: skip
            if PANEL > 2 and width > 2 * lanes:
                if height == LOW:
                    _wide_tile(*operands)
                else:
                    _short_wide_tile(*operands)
            elif ROWS > LOW and height == ROWS:
                _tall_tile(*operands)
            elif ROWS > LOW and height == ROWS - 1:
                _short_tile(*operands)
            elif height == LOW:
                _low_tile(*operands)
            else:
                _lowest_tile(*operands)
            i += height
        return
    if width == lanes:
        until_tall, until_short = _heights(rows, NARROW)
        i = 0
        while i < rows:
            operands = (sums, length, a, _moved(a_rows, i), a_segments, a_step, b, b_segments, b_step, b_second,
                        start, _moved(start_rows, i * start_moves), c, _moved(c_rows, i), second)  # fmt: skip
            if until_tall <= i < until_short:
                _short_narrow_tile(*operands)
                i += NARROW - 1
            else:
                _narrow_tile(*operands)
                i += NARROW
        return
    if 2 * width == lanes:
        for i in range(0, rows, NARROW):
            _half_tile(sums, length, a, _moved(a_rows, i), a_segments, a_step, b, b_segments, b_step, b_second,
                       start, _moved(start_rows, i * start_moves), c, _moved(c_rows, i), second)  # fmt: skip
        return
    for i in range(0, rows, NARROW):
        origins, places = _moved(start_rows, i * start_moves), _moved(c_rows, i)
        for r in range(NARROW):
            _copy_in(_moved(staged, r * lanes), _moved(start, origins[r]), width, 1)
        if 2 * width <= lanes:
            _half_tile(sums, length, a, _moved(a_rows, i), a_segments, a_step, b, b_segments, b_step, b_second,
                       staged, staged_rows, staged, staged_rows, second)  # fmt: skip
        else:
            _narrow_tile(sums, length, a, _moved(a_rows, i), a_segments, a_step, b, b_segments, b_step, b_second,
                         staged, staged_rows, staged, staged_rows, second)  # fmt: skip
        for r in range(NARROW):
            _copy_out(_moved(c, places[r]), _moved(staged, r * lanes), width)


@_inline
def _fill_rows(table, first, last, rows_1, rows_2, step_0, step_1, step_2):
    """table[r - first] = r_0 step_0 + r_1 step_1 + r_2 step_2, for the row r = (r_0 rows_1 + r_1) rows_2 + r_2; the last
    one is repeated to the end of the tile and for a tile more."""
    r = first
    while r < last:  # all the rows that differ in r_2 alone
        outer, r_2 = r // rows_2, r % rows_2
        origin = outer // rows_1 * step_0 + outer % rows_1 * step_1 + r_2 * step_2
        count = min(rows_2 - r_2, last - r)
        for k in range(count):
            table[r - first + k] = origin + k * step_2
        r += count
    for r in range(last - first, last - first + BEYOND):
        table[r] = table[last - first - 1]


@_inline
def _working(lanes, scratch):
    """What lies in scratch, after a row of zeros: (staged, panel, a_rows, c_rows, a_segments, b_segments,
    staged_rows, no_rows, awaited)."""
    for v in range(PANEL * lanes):
        scratch[v] = 0
    tables = _integers(_moved(scratch, lanes * (PANEL * (DEPTH + 1) + NARROW)))
    a_segments = _moved(tables, 2 * (BLOCK + BEYOND))
    b_segments, staged_rows = _moved(a_segments, DEPTH), _moved(a_segments, 2 * DEPTH)
    no_rows = _moved(staged_rows, BEYOND)
    for i in range(BEYOND):
        staged_rows[i], no_rows[i] = i * lanes, 0
    return (
        _moved(scratch, PANEL * lanes), _moved(scratch, lanes * (PANEL + NARROW)), tables, _moved(tables, BLOCK + BEYOND),
        a_segments, b_segments, staged_rows, no_rows, _moved(tables, TABLES),
    )  # fmt: skip


@_inline
def _panel_width(left, lanes):
    """A panel is PANEL vectors wide, or two, or the last lanes: more than one vector's, so that none is left alone."""
    if PANEL > 2 and (left == PANEL * lanes or left > (PANEL + 1) * lanes):
        return PANEL * lanes
    return left if left <= 2 * lanes else lanes if left < 3 * lanes else 2 * lanes


@_inline
def _panel_form(width, lanes):
    """(elements of a row of a panel of this width, where its second vector begins)."""
    return (width, lanes) if width > 2 * lanes else (2 * lanes, max(0, width - lanes))


@_inline
def _along_rows(
    lanes, first, last, rows, columns, runs, a, a_rows, a_sums, b, b_sums, b_lane, start, start_lane, start_moves,
    c, c_rows, staged, tables, depth
):  # fmt: skip
    """The contraction for few columns and rows that lie side by side in a: a tile's lanes are rows, its rows are columns.

    Its chains are those of `contract`: so are the bits.
    """
    (rows_1, rows_2), (runs, run, middles), (a_0, a_1), (c_0, c_1, c_2) = rows, runs, a_rows, c_rows
    (a_sum_0, a_sum_1, a_step), (b_sum_0, b_sum_1, b_step) = a_sums, b_sums
    b_rows, staged_rows, a_segments, b_segments = tables
    count = max(1, min(runs, depth // run))  # of runs in a chain
    vectors = CHAINS // columns
    for v in range(2 * columns):
        b_rows[v], staged_rows[v] = v % columns * b_lane, v % columns * vectors * lanes
    for s in range(0, runs, DEPTH // count * count):  # as many chains of whole runs as the tables hold
        these = min(runs - s, DEPTH // count * count)
        for q in range(these):
            outer, middle = (s + q) // middles, (s + q) % middles
            a_segments[q] = outer * a_sum_0 + middle * a_sum_1
            b_segments[q] = outer * b_sum_0 + middle * b_sum_1
        row = first
        while row < last:  # what is left of a line of rows, or so much of it as a tile has lanes
            outer, r_2 = row // rows_2, row % rows_2
            left, whole = min(rows_2 - r_2, last - row), vectors * lanes
            wide = left > (vectors - 1) * lanes
            width = min(left, whole if wide else lanes)
            origin = _moved(a, outer // rows_1 * a_0 + outer % rows_1 * a_1 + r_2)
            place = outer // rows_1 * c_0 + outer % rows_1 * c_1 + r_2 * c_2
            for v in range(columns):
                for r in range(width):
                    staged[v * whole + r] = start[(place + r * c_2) * start_moves + v * start_lane]
            for q in range(0, these, count):
                for t in range(0, run, depth):
                    _along_tile(columns, wide, min(count, these - q), min(depth, run - t),
                                _moved(b, t * b_step), b_rows, _moved(b_segments, q), b_step,
                                _moved(origin, t * a_step), _moved(a_segments, q), a_step, lanes, staged, staged_rows)  # fmt: skip
            for v in range(columns):
                for r in range(width):
                    c[place + r * c_2 + v] = staged[v * whole + r]
            row += width
        start, start_lane, start_moves = c, 1, 1


def _contract_of(lanes: int):
    """The contraction for vectors of so many elements."""

    def contract(
        first, last, rows_1, rows_2, columns, sums_0, sums_1, length, a, a_0, a_1, a_2, a_sum_0, a_sum_1, a_step,
        b, b_sum_0, b_sum_1, b_step, b_lane, start, start_lane, start_moves, c, c_0, c_1, c_2, scratch, scale, depth,
        boxed
    ):  # fmt: skip
        """`contract_nest` on pointers, b times `scale`, in chains of at most `depth` steps. start_moves = 1: start is
        indexed as c; 0: it is one row for all rows, and with start_lane = 0 that is a row of zeros, the first of scratch.
        boxed = 1: beyond its end, a may be read a vector further; scale is 1."""
        staged, panel, a_rows, c_rows, a_segments, b_segments, staged_rows, no_rows, awaited = _working(lanes, scratch)

        if sums_0 > 1 and a_sum_0 == sums_1 * a_sum_1 and b_sum_0 == sums_1 * b_sum_1:  # both indices are as one
            sums_0, sums_1 = 1, sums_0 * sums_1
        # Where a goes on from one middle index to the next as it does along the innermost, both are one run.
        joined = sums_1 > 1 and a_sum_1 == length * a_step
        runs, run, middles = (sums_0, sums_1 * length, 1) if joined else (sums_0 * sums_1, length, sums_1)
        if runs <= 0 or run <= 0:
            for i in range(first, last):
                _fill_rows(c_rows, i, i + 1, rows_1, rows_2, c_0, c_1, c_2)
                for v in range(columns):
                    c[c_rows[0] + v] = start[c_rows[0] * start_moves + v * start_lane]
            return
        one_run = not joined or b_sum_1 == length * b_step  # what is one in a is one in b
        if boxed and one_run and columns <= FEW and a_2 == 1 and rows_2 * 2 > lanes:
            _along_rows(lanes, first, last, (rows_1, rows_2), columns, (runs, run, middles), a, (a_0, a_1),
                        (a_sum_0, a_sum_1, a_step), b, (b_sum_0, b_sum_1, b_step), b_lane, start, start_lane, start_moves,
                        c, (c_0, c_1, c_2), staged, (a_rows, c_rows, a_segments, b_segments), depth)  # fmt: skip
            return
        b_run = b_sum_0 if joined or sums_1 == 1 else b_sum_1
        regular = one_run and (joined or sums_0 == 1 or sums_1 == 1 or b_sum_0 == sums_1 * b_sum_1)
        far, far_c = max(a_2 * (last - first), a_step * runs * run) > MANY, (last - first) * columns > MANY
        once = a_2 >= runs * run >= depth if a_step == 1 else a_2 == 1 and a_step >= last - first >= depth
        wide = last - first >= PACK_FROM and b_step > 2 * lanes  # what is no wider than a panel needs no copy
        pack = b_lane != 1 or columns < lanes or wide or not one_run or scale != 1
        s, t, begun = 0, 0, False
        while s < runs:
            # A block of the contracted indices: whole runs, or a part of one. The next block goes on from c.
            count = max(1, min(runs - s, depth // run))
            steps = min(depth, run - t)
            for q in range(count):
                outer, middle = (s + q) // middles, (s + q) % middles
                a_segments[q] = outer * a_sum_0 + middle * a_sum_1 + t * a_step
                b_segments[q] = outer * b_sum_0 + middle * b_sum_1 + t * b_step
            for i in range(first, last, BLOCK):
                height = min(BLOCK, last - i)
                if not begun or last - first > BLOCK:  # else they are those of the block before
                    _fill_rows(a_rows, i, i + height, rows_1, rows_2, a_0, a_1, a_2)
                    _fill_rows(c_rows, i, i + height, rows_1, rows_2, c_0, c_1, c_2)
                start_rows = c_rows if start_moves else no_rows
                v = 0
                while v < columns:
                    left = columns - v
                    width = _panel_width(left, lanes)
                    row, second = _panel_form(width, lanes)
                    here, here_step, here_second = panel, row, lanes
                    # What comes next of b: the panel of the next lanes, or after the last rows the next block's first one.
                    next_b = b, 0, 0, 0
                    if (count == 1 or regular) and (left > width or i + BLOCK >= last):
                        at, next_width = t * b_step + (v + width) * b_lane, min(left - width, PANEL * lanes)
                        if left <= width:
                            at, next_width = (t + steps) * b_step, min(columns, PANEL * lanes)
                            at = count * b_run if t + steps == run else at
                        if b_lane == 1:
                            next_b = _moved(b, s * b_run + at), count * steps, b_step, next_width
                        elif b_step == 1:
                            next_b = _moved(b, s * b_run + at), next_width, b_lane, count * steps
                    # And of a, where each element is read once and rows are long: those of the next tile, or the next steps.
                    next_a = a, 0, 0, 0
                    if far and once and v == 0 and count == 1 and a_rows[height - 1] - a_rows[0] == (height - 1) * a_2:
                        at = a_rows[0] + a_segments[0]
                        if a_step == 1:
                            next_a = _moved(a, at + ROWS * a_2), height, a_2, steps
                        else:
                            next_a = _moved(a, at + steps * a_step), steps, a_step, height
                    if pack:
                        for q in range(count):
                            outer, middle = (s + q) // middles, (s + q) % middles
                            b_segments[q] = q * steps * row
                            done = 0
                            while done < steps:  # piece by piece of the innermost index
                                at = t + done
                                middle = at // length if joined else middle
                                at -= middle * length if joined else 0
                                piece = steps - done if one_run else min(length - at, steps - done)
                                origin = outer * b_sum_0 + middle * b_sum_1 + at * b_step + v * b_lane
                                target = _moved(panel, (q * steps + done) * row)
                                _pack(
                                    target, lanes, width, row, second, piece, _moved(b, origin), b_step, b_lane, scale
                                )
                                done += piece
                    else:
                        here, here_step, here_second = _moved(b, v), b_step, second
                    _tiles(lanes, width, second, height, (1, count), steps, a, a_rows, a_segments, a_step,
                           here, b_segments, here_step, here_second, _moved(start, v * start_lane), start_rows,
                           start_moves, _moved(c, v), c_rows, staged, staged_rows,
                           next_a, next_b, far_c, awaited)  # fmt: skip
                    v += width
            start, start_lane, start_moves, begun = c, 1, 1, True
            t += steps
            if t == run:
                t = 0
                s += count

    return contract


# Called by symbol: compiled once, not into every kernel --------------------------------------------------------------


def _defined(dtype: types.Type) -> tuple[Callable, Signature]:
    n, p = types.intp, types.CPointer(dtype)
    signature = types.void(*[n] * 8, p, *[n] * 6, p, *[n] * 4, p, n, n, p, n, n, n, p, dtype, n, n)
    return _contract_of(lanes_of(dtype)), signature


CONTRACTION = Linked("contract", _defined)


def _at(context, builder, kind, array, offset):
    """A pointer to an element of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def _call(context, builder, sig, args, bias: bool, add: bool):
    """Calls the routine; sig and args are those of `contract` or `contract_bias`."""

    def pointer(k):
        return _at(context, builder, sig.args[k], args[k], args[k + 1] if k != 17 else I64(0))

    rows, columns, segments, length = args[:4]
    a, b, c, scratch = pointer(4), pointer(9), pointer(14), pointer(17)
    start = (c, I64(1), I64(1)) if add else (pointer(18), I64(1), I64(0)) if bias else (scratch, I64(0), I64(0))
    scale = args[18] if add else ir.Constant(a.type.pointee, 1)
    a_row, a_segment, a_step, b_segment, b_step, b_lane, c_row = (args[k] for k in (6, 7, 8, 11, 12, 13, 16))
    none, one = I64(0), I64(1)
    CONTRACTION.call(builder, sig.args[4].dtype, [
        none, rows, one, rows, columns, one, segments, length, a, none, none, a_row, none, a_segment, a_step,
        b, none, b_segment, b_step, b_lane, *start, c, none, none, c_row, scratch, scale, I64(DEPTH), none,
    ])  # fmt: skip
    return context.get_dummy_value()


def _call_nest(context, builder, sig, args, bias: bool, add: bool):
    """Calls the routine; sig and args are those of `contract_nest` or `contract_nest_bias`."""

    def pointer(k, offset=None):
        return _at(context, builder, sig.args[k], args[k], offset or I64(0))

    first, last, rows, columns, sums, a, a0, a_rows, a_sums, b, b0, b_sums, b_lane, c, c0, c_rows, scratch = args[:17]
    rows, sums, a_rows, a_sums, b_sums, c_rows = (
        cgutils.unpack_tuple(builder, t) for t in (rows, sums, a_rows, a_sums, b_sums, c_rows)
    )
    a, b, c, scratch = pointer(5, a0), pointer(9, b0), pointer(13, c0), pointer(16)
    start = (pointer(17, args[18]), I64(1), I64(0)) if bias else (scratch, I64(0), I64(0))
    if add:
        again = builder.icmp_signed("!=", args[17], I64(0))
        start = (builder.select(again, c, scratch), *[builder.zext(again, I64)] * 2)
    CONTRACTION.call(builder, sig.args[5].dtype, [
        first, last, *rows[1:], columns, *sums, a, *a_rows, *a_sums, b, *b_sums, b_lane, *start, c, *c_rows, scratch,
        ir.Constant(a.type.pointee, 1), I64(PLACES if add else DEPTH), I64(0 if add else 1),
    ])  # fmt: skip
    return context.get_dummy_value()


def _signature(a, b, c, scratch, *more):
    CONTRACTION.load(a.dtype)
    n = types.intp
    return types.void(n, n, n, n, a, n, n, n, n, b, n, n, n, n, c, n, n, scratch, *more)


def _signature_nest(a, b, c, scratch, *more):
    CONTRACTION.load(a.dtype)
    n, three = types.intp, types.UniTuple(types.intp, 3)
    return types.void(n, n, three, n, three, a, n, three, three, b, n, three, n, c, n, three, scratch, *more)


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
    c, c0, c_row, scratch, scale
):  # fmt: skip
    """As `contract`, but c[...] += the sum, b times `scale` in it: the sum starts from what c holds."""
    return _signature(a, b, c, scratch, a.dtype), functools.partial(_call, bias=False, add=True)


@intrinsic
def contract_bias(
    typingctx, rows, columns, segments, length, a, a0, a_row, a_segment, a_step, b, b0, b_segment, b_step, b_lane,
    c, c0, c_row, scratch, bias, bias0
):  # fmt: skip
    """As `contract`, but the sum starts from bias[bias0 + v]."""
    return _signature(a, b, c, scratch, bias, types.intp), functools.partial(_call, bias=True, add=False)


@intrinsic
def contract_nest(
    typingctx, first, last, rows, columns, sums, a, a0, a_rows, a_sums, b, b0, b_sums, b_lane, c, c0, c_rows, scratch
):  # fmt: skip
    """As `contract`, for rows of three nested indices, rows = (R_0, R_1, R_2), and sums of three, sums = (S_0, S_1, S_2):

    c[c0 + i c_rows + v] = sum over s of a[a0 + i a_rows + s a_sums] b[b0 + s b_sums + v b_lane], i a_rows being
    i_0 a_rows[0] + i_1 a_rows[1] + i_2 a_rows[2]; of all rows i, counted from one end of the nest to the other, those with
    first <= i < last. Strides may be negative or zero. Where rows lie side by side in a, a_rows[2] = 1, so many elements as
    a vector has are readable after its last one; they may be anything.
    """
    return _signature_nest(a, b, c, scratch), functools.partial(_call_nest, bias=False, add=False)


@intrinsic
def contract_nest_add(
    typingctx, first, last, rows, columns, sums, a, a0, a_rows, a_sums, b, b0, b_sums, b_lane, c, c0, c_rows, scratch,
    again
):  # fmt: skip
    """As `contract_nest`, but where this is done again, c[...] += the sum: the sum starts from what c holds. Nothing is read
    after the last element of a."""
    return _signature_nest(a, b, c, scratch, types.intp), functools.partial(_call_nest, bias=False, add=True)


@intrinsic
def contract_nest_bias(
    typingctx, first, last, rows, columns, sums, a, a0, a_rows, a_sums, b, b0, b_sums, b_lane, c, c0, c_rows, scratch,
    bias, bias0
):  # fmt: skip
    """As `contract_nest`, but the sum starts from bias[bias0 + v]."""
    more = bias, types.intp
    return _signature_nest(a, b, c, scratch, *more), functools.partial(_call_nest, bias=True, add=False)


# Planes --------------------------------------------------------------------------------------------------------------


@intrinsic
def _pointer(typingctx, array):
    """Where an array's elements lie."""

    def codegen(context, builder, sig, args):
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def _from(typingctx, array, place):
    """The elements of an array from that one on, as an array of one axis; its size says nothing."""
    kind = types.Array(array.dtype, 1, "C")

    def codegen(context, builder, sig, args):
        size = I64(array.dtype.bitwidth // 8)
        part = context.make_array(kind)(context, builder)
        populate_array(part, _at(context, builder, array, *args), [I64(1)], [size], size, meminfo=None)
        return part._getvalue()

    return kind(array, types.intp), codegen


@_inline
def _turned(lanes, target, source, wide, channels, first, last):
    """target[k wide + q] = source[q channels + k] for first <= q < last and all channels k, zero for other q < wide."""
    whole = first + (last - first) // lanes * lanes
    for k in range(0, channels - channels % lanes, lanes):
        for q in range(first, whole, lanes):
            for v in range(lanes):
                _ask_for(_moved(source, (q + v) * channels + k + AHEAD))
            _copy_transposed(_moved(target, k * wide + q), wide, _moved(source, q * channels + k), channels, 1)
    for k in range(channels):
        line = _moved(target, k * wide)
        for q in range(first):
            line[q] = 0
        for q in range(first if k >= channels - channels % lanes else whole, last):
            line[q] = source[q * channels + k]
        for q in range(last, wide):
            line[q] = 0


@_inline
def border(box, a, planes, place, rows, columns, channels, low, high, left, wide, apart):
    """box[((m high + r) wide + q) channels + k] = a[place + ((m rows + low + r) columns + left + q) channels + k], zero
    beyond rows and columns, for m < planes, r < high, q < wide: parts of planes with a border of zeros around them,
    channels last. Where they are to lie apart = wide elements apart, not 1, each channel's places lie side by side:
    box[((m high + r) channels + k) wide + q].

    Gives the array that holds this: the box, or what lies in a itself where that is the same.
    """
    if apart == 1 and left == 0 and wide == columns and 0 <= low <= rows - high and (planes == 1 or high == rows):
        return _from(a, place + low * columns * channels)
    target, source, lanes = _pointer(box), _moved(_pointer(a), place), LANES * 4 // box.itemsize
    begin = min(max(0, -left), wide)
    end = max(begin, min(wide, columns - left))
    for line in range(planes * high):
        m, r = line // high, low + line % high
        to = _moved(target, line * wide * channels)
        first, last = (begin, end) if 0 <= r < rows else (0, 0)
        origin = _moved(source, ((m * rows + r) * columns + left) * channels)
        if apart != 1:
            _turned(lanes, to, origin, wide, channels, first, last)
            continue
        first *= channels
        last *= channels
        for k in range(first):
            to[k] = 0
        for k in range(first, last):
            to[k] = origin[k]
        for k in range(last, wide * channels):
            to[k] = 0
    return _from(box, 0)


@_inline
def first_tap(at, step, divisor, taps):
    """The first of so many taps with at - step tap a multiple of divisor; their number if there is none."""
    for tap in range(min(divisor, taps)):
        if (at - step * tap) % divisor == 0:
            return tap
    return taps


@intrinsic
def fma(typingctx, a, b, c):
    """a b + c with one rounding, of float32 or of float64."""
    return a(a, a, a), lambda context, builder, sig, args: _fma(builder, *args)
