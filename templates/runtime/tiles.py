"""Contractions through windows by minimal filtering: into tiles, products of tiles, and back (Winograd 1980, Lavin & Gray 2016).

With F(m, r) along the rows of planes and F(m', r') along their columns, m x m' places make a tile,

    y = A^T [(G g G'^T) o (B^T d B')] A'

for every pair of a summed channel and a lane; so the products of all tiles are n n' contractions of the engine's, where
n = m + r - 1. The transforms A, B, G are in `filtering`; the routines here are made for one pair of them by
`routines_for`, when a kernel is compiled. Transformed tiles lie in the thread's working memory, so few at once that they
stay in the second-level cache.

Tiles count from the first place of a plane: every place is computed in one way, wherever a chunk begins.
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing import Signature
from numba.extending import intrinsic, overload

from .engine import (
    BLOCK,
    BOX,
    DEPTH,
    PANEL,
    _fill_rows,
    _moved,
    _pack,
    _panel_form,
    _panel_width,
    _tiles,
    _working,
)
from .engine import (
    _pointer as _elements,
)
from .engine import (
    lanes_of as elements_of,
)
from .filtered import Filtering
from .lanes import Vector, lanes_of
from .native import OPTIONS, Linked

_INLINE: dict[str, Any] = {"forceinline": True, **OPTIONS}
_inline = njit(**_INLINE)


# Blocks of vectors -----------------------------------------------------------------------------------------------------


def _pointer(context, builder, kind, array, place, c):
    """To the vector array[place + lane], as a function of the elements that it lies further on."""
    vector = ir.VectorType(context.get_value_type(kind.dtype), c.width).as_pointer()
    first = builder.gep(context.make_array(kind)(context, builder, array).data, [place])

    def at(further):
        return builder.bitcast(builder.gep(first, [further]), vector)

    return at


def _times(builder, step, k):
    return builder.mul(step, ir.Constant(step.type, k))


def _within(builder, limits, k, j):
    """Whether begin_0 <= k < end_0 and begin_1 <= j < end_1."""
    (begin_0, end_0, begin_1, end_1), inside = limits, None
    for at, begin, end in ((k, begin_0, end_0), (j, begin_1, end_1)):
        at = ir.Constant(begin.type, at)
        for test in (builder.icmp_signed("<=", begin, at), builder.icmp_signed("<", at, end)):
            inside = test if inside is None else builder.and_(inside, test)
    return inside


@functools.cache
def _loader(count_0: int, count_1: int):
    @intrinsic
    def load(typingctx, array, place, step_0, step_1, c, limits):
        """array[place + k step_0 + j step_1 + c] for k < count_0, j < count_1; zero outside of the limits, if there are
        any: (begin_0, end_0, begin_1, end_1)."""
        stack = types.UniTuple(Vector(array.dtype, c.width), count_1)
        result = types.UniTuple(stack, count_0)

        def codegen(context, builder, sig, args):
            data, place, step_0, step_1, lane, limits = args
            at, align = _pointer(context, builder, array, data, builder.add(place, lane), c), array.dtype.bitwidth // 8
            limits = cgutils.unpack_tuple(builder, limits)
            safe = _pointer(context, builder, array, data, lane, c)(ir.Constant(place.type, 0))
            stacks = []
            for k in range(count_0):
                values = []
                for j in range(count_1):
                    pointer = at(builder.add(_times(builder, step_0, k), _times(builder, step_1, j)))
                    if limits:  # a vector that lies outside is read from the array's beginning
                        inside = _within(builder, limits, k, j)
                        value = builder.load(builder.select(inside, pointer, safe), align=align)
                        value = builder.select(inside, value, ir.Constant(value.type, None))
                    else:
                        value = builder.load(pointer, align=align)
                    values.append(value)
                stacks.append(context.make_tuple(builder, stack, values))
            return context.make_tuple(builder, result, stacks)

        n = types.intp
        return result(array, n, n, n, c, limits), codegen

    return load


@functools.cache
def _ring_loader(count: int):
    @intrinsic
    def load(typingctx, array, place, line, first, c):
        """array[place + (first + k) % count * line + c] for k < count."""
        result = types.UniTuple(Vector(array.dtype, c.width), count)

        def codegen(context, builder, sig, args):
            data, place, line, first, lane = args
            at, align = _pointer(context, builder, array, data, builder.add(place, lane), c), array.dtype.bitwidth // 8
            rows = (builder.urem(builder.add(first, first.type(k)), first.type(count)) for k in range(count))
            loaded = [builder.load(at(builder.mul(row, line)), align=align) for row in rows]
            return context.make_tuple(builder, result, loaded)

        n = types.intp
        return result(array, n, n, n, c), codegen

    return load


@intrinsic
def _store(typingctx, array, place, step_0, step_1, c, values, limits):
    """array[place + k step_0 + j step_1 + c] = values[k][j], but for what lies outside of the limits, if there are any."""

    def codegen(context, builder, sig, args):
        data, place, step_0, step_1, lane, values, limits = args
        at, align = _pointer(context, builder, array, data, builder.add(place, lane), c), array.dtype.bitwidth // 8
        limits = cgutils.unpack_tuple(builder, limits)
        for k, stack in enumerate(cgutils.unpack_tuple(builder, values)):
            for j, value in enumerate(cgutils.unpack_tuple(builder, stack)):
                pointer = at(builder.add(_times(builder, step_0, k), _times(builder, step_1, j)))
                if limits:
                    with builder.if_then(_within(builder, limits, k, j)):
                        builder.store(value, pointer, align=align)
                else:
                    builder.store(value, pointer, align=align)
        return context.get_dummy_value()

    n = types.intp
    return types.void(array, n, n, n, c, values, limits), codegen


def _tuple_of(texts: list[str], arguments: str) -> Callable:
    """A function that gives a tuple: Numba makes none whose length is computed."""
    return eval(f"lambda {arguments}: ({''.join(f'{text}, ' for text in texts)})")


def _each(f, stacks):
    """f of each of the stacks."""
    raise TypeError("for compiled code")


@overload(_each, jit_options=_INLINE)
def _each_compiled(f, stacks):
    return _tuple_of([f"f(stacks[{k}])" for k in range(len(stacks))], "f, stacks")


def _turned(stacks):
    """The first of each of the stacks, the second of each, and so on."""
    raise TypeError("for compiled code")


@overload(_turned, jit_options=_INLINE)
def _turned_compiled(stacks):
    stack = [[f"stacks[{k}][{j}]" for k in range(len(stacks))] for j in range(len(stacks[0]))]
    return _tuple_of([f"({', '.join(texts)},)" for texts in stack], "stacks")


def _plus(stacks, x):
    """Every vector plus x."""
    raise TypeError("for compiled code")


@overload(_plus, jit_options=_INLINE)
def _plus_compiled(stacks, x):
    sums = [[f"stacks[{k}][{j}] + x" for j in range(len(stacks[0]))] for k in range(len(stacks))]
    return _tuple_of([f"({', '.join(texts)},)" for texts in sums], "stacks, x")


def _added(stacks, more):
    """Vector by vector."""
    raise TypeError("for compiled code")


@overload(_added, jit_options=_INLINE)
def _added_compiled(stacks, more):
    sums = [[f"stacks[{k}][{j}] + more[{k}][{j}]" for j in range(len(stacks[0]))] for k in range(len(stacks))]
    return _tuple_of([f"({', '.join(texts)},)" for texts in sums], "stacks, more")


# The routines ----------------------------------------------------------------------------------------------------------

ROUTINES = ("filtered_filters", "filtered_places", "filtered_places_bias", "filtered_products", "filtered_gradient")


LANE_BLOCK = 64  # lanes of which the products are held at once
WIDEST = 16  # lanes of the widest vectors
LANES_HELD = LANE_BLOCK + WIDEST  # and at most, with a last block that is shorter than a vector
APART = 16  # elements between parts: without them, parts of round sizes would fall into the same sets of the cache
PIECE = 32  # channels whose products are added up in one chain
TILES = 32  # the same of a gradient
LEAST = 64  # tiles that are done at once, at least: each of them reads all of a transformed filter


def _products_of(lanes: int) -> Callable:
    """The routine behind `_products`, for vectors of so many lanes."""

    def products(
        parts, rows, columns, length, a, a_part, a_row, a_step, b, b_part, b_step, b_lane, c, c_part, c_row, again, depth, scratch
    ):  # fmt: skip
        staged, panel, a_rows, c_rows, a_pieces, b_pieces, staged_rows, no_rows, awaited = _working(lanes, scratch)
        for q in range(DEPTH // depth):
            a_pieces[q] = q * depth * a_step
        most = DEPTH // depth * depth  # steps in a panel
        for first in range(0, rows, BLOCK):
            height = min(BLOCK, rows - first)
            _fill_rows(a_rows, first, first + height, 1, rows, 0, 0, a_row)
            _fill_rows(c_rows, first, first + height, 1, rows, 0, 0, c_row)
            for e in range(parts):
                for t in range(0, length, most):
                    steps = min(most, length - t)
                    v = 0
                    while v < columns:
                        left = columns - v
                        width = _panel_width(left, lanes)
                        (row, second), target = _panel_form(width, lanes), _moved(c, e * c_part + v)
                        origin = _moved(b, e * b_part + t * b_step + v * b_lane)
                        # The panel that comes next is asked for meanwhile: of the next lanes, channels, or part.
                        ahead, next_width = _moved(origin, width * b_lane), min(left - width, PANEL * lanes)
                        if left <= width:
                            next_width = min(columns, PANEL * lanes)
                            ahead = _moved(
                                b, e * b_part + (t + most) * b_step if t + most < length else (e + 1) * b_part
                            )
                        next_b = ahead, steps, b_step, next_width
                        if b_lane != 1:
                            next_b = ahead, next_width, b_lane, steps
                        _pack(panel, lanes, width, row, second, steps, origin, b_step, b_lane, 1)
                        for q in range(DEPTH // depth):
                            b_pieces[q] = q * depth * row
                        if width < lanes <= c_row:  # there is room for what the panel is filled up with
                            width = lanes // 2 if 2 * width <= lanes else lanes
                        done = 0
                        while done < steps:  # the whole chains, then what is left
                            whole, goes_on = (steps - done) // depth, again or t + done > 0
                            start, start_rows = (target, c_rows) if goes_on else (scratch, no_rows)
                            _tiles(lanes, width, second, height, (max(whole, 1), 1), depth if whole else steps - done,
                                   _moved(a, e * a_part + (t + done) * a_step), a_rows, a_pieces, a_step,
                                   _moved(panel, done * row), b_pieces, row, lanes, start, start_rows,
                                   1 if goes_on else 0, target, c_rows, staged, staged_rows,
                                   (a, 0, 0, 0), next_b, False, awaited)  # fmt: skip
                            done += whole * depth if whole else steps - done
                        v += width

    return products


def _defined(dtype: types.Type) -> tuple[Callable, Signature]:
    n, p = types.intp, types.CPointer(dtype)
    return _products_of(elements_of(dtype)), types.void(*[n] * 4, p, n, n, n, p, n, n, n, p, n, n, n, n, p)


PRODUCTS = Linked("products", _defined)


@intrinsic
def _products(
    typingctx, parts, rows, columns, length, a, a_part, a_row, a_step, b, b_part, b_step, b_lane, c, c_part, c_row, again,
    depth, scratch
):  # fmt: skip
    """c[e c_part + i c_row + v] = sum over t of a[e a_part + i a_row + t a_step] b[e b_part + t b_step + v b_lane], for
    e < parts; += with again. In chains of at most `depth` steps. A contraction of the engine's for each part, with one table of
    rows for all of them. What lies between rows of c may be overwritten."""
    PRODUCTS.load(a.dtype)

    def codegen(context, builder, sig, args):
        PRODUCTS.call(builder, a.dtype, args)
        return context.get_dummy_value()

    n = types.intp
    return types.void(n, n, n, n, a, n, n, n, b, n, n, n, c, n, n, n, n, scratch), codegen


def _placeholder(name: str) -> Callable:
    def routine(*arguments):
        raise TypeError(f"{name} is for kernels, which the program compiles")

    return routine


filtered_filters, filtered_places, filtered_places_bias, filtered_products, filtered_gradient = map(
    _placeholder, ROUTINES
)


def lanes_held(columns: int) -> int:
    """Lanes of which the products are held at once."""
    return max(WIDEST, min(columns, LANES_HELD))


def _at_once(n_0: int, n_1: int) -> Callable[[int, int, int], int]:
    """The function that says how many rows of tiles are done at once: as many as the second-level cache holds."""

    def at_once(wide, channels, held):
        room = BOX - n_0 * wide * n_1 * channels
        return max(1, room // (n_0 * n_1 * wide * (channels + held)), LEAST // wide)

    return at_once


def rows_at_once(rows: Filtering, columns: Filtering, wide: int, channels: int, held: int) -> int:
    """How many rows of so many tiles are done at once, with so many transformed channels and lanes held."""
    return _at_once(rows.n, columns.n)(wide, channels, held)


def working_memory(rows: Filtering, columns: Filtering, wide: int, channels: int, held: int) -> int:
    """Elements that the routines need for rows of so many tiles, with so many transformed channels and lanes held."""
    parts = rows.n * columns.n
    lines = rows.n * wide * columns.n * channels
    return lines + max(BOX, parts * max(wide, LEAST) * (channels + held)) + 2 * parts * APART


@functools.cache
def routines_for(rows: Filtering, columns: Filtering, inner_width: int, lane_width: int) -> dict[str, Callable]:
    """The routines for one pair of filterings; the summed channels and the lanes go so many at a time.

    They stand in a kernel's text under the names above, and take these arguments beside arrays: where in each of them
    the first element lies, and how many elements apart its neighbours along each axis are.
    """
    m_0, m_1, n_0, n_1 = rows.m, columns.m, rows.n, columns.n
    parts = n_0 * n_1
    inner_lanes, lanes = lanes_of(inner_width), lanes_of(lane_width)
    data_0, data_1, filters_0, filters_1, outputs_0, outputs_1 = map(
        _inline, (rows.data, columns.data, rows.filters, columns.filters, rows.outputs, columns.outputs)
    )
    sensitivities_0, sensitivities_1, gradients_0, gradients_1 = map(
        _inline, (rows.sensitivities, columns.sensitivities, rows.gradients, columns.gradients)
    )
    at_once, held_of = _inline(_at_once(n_0, n_1)), _inline(lanes_held)
    taps, window, ring = _loader(rows.r, columns.r), _loader(1, n_1), _ring_loader(n_0)
    tile, transformed, one = _loader(m_0, m_1), _loader(n_0, n_1), _loader(1, 1)

    def filtered_filters(first, last, channels, columns, w, w_at, w_taps, w_channel, u, u_at):
        """u[u_at + (e, f, k, v)] = sum over taps s, t of G[e, s] G'[f, t] w[w_at + s w_taps[0] + t w_taps[1] + k w_channel + v],
        for first <= k < last: with negative steps of the taps, of the turned filter."""
        part = channels * columns
        for k in range(first, last):
            for v in lanes(columns):
                g = taps(w, w_at + k * w_channel, w_taps[0], w_taps[1], v, ())
                _store(u, u_at + k * columns, part, n_1 * part, v, _each(filters_0, _turned(_each(filters_1, g))), ())

    @_inline
    def data_row(a, at, planes, pitch, channels, i, corner, known, tiles, box, to, part):
        """One row of tiles, the first of whose windows begins at the corner of a plane: B^T d B' of each to the box.

        The box begins with n rows of the plane, transformed along the columns; the first `known` are there from the row
        of tiles above. i: the first row of places, to know them by.
        """
        rows_a, columns_a = planes
        line = tiles * n_1 * channels
        for k in range(known, n_0):
            p, place = corner[0] + k, (i + k) % n_0 * line
            if p < 0 or p >= rows_a:
                for c in range(line):
                    box[place + c] = 0
                continue
            for t in range(tiles):
                q = t * m_1 + corner[1]
                origin, target = at + (p * columns_a + q) * pitch, place + t * n_1 * channels
                inside = q >= 0 and q + n_1 <= columns_a
                for c in inner_lanes(channels):
                    if inside:
                        d = window(a, origin, 0, pitch, c, ())
                    else:
                        d = window(a, origin, 0, pitch, c, (0, 1, -q, columns_a - q))
                    _store(box, target, 0, channels, c, _each(data_1, d), ())
        for t in range(tiles):
            for f in range(n_1):
                for c in inner_lanes(channels):
                    d = ring(box, (t * n_1 + f) * channels, line, i, c)
                    _store(box, to + f * part + t * channels, 0, n_1 * part, c, (data_0(d),), ())

    @_inline
    def strip(whole, wide, channels, held):
        """How many of so many rows of tiles are done at once."""
        most = at_once(wide, channels, held)
        pieces = (whole - 1) // most + 1
        return (whole - 1) // pieces + 1

    @_inline
    def places(
        first, last, target, columns, a, a_at, a_plane, a_rows, pitch, channels, offset, u, u_at, u_part, u_steps,
        z, z_at, z_plane, z_pitch, box, scratch, bias, bias_at, with_bias
    ):  # fmt: skip
        rows_z, columns_z = target
        tall, wide = (rows_z - 1) // m_0 + 1, (columns_z - 1) // m_1 + 1
        row = first // rows_z * tall + first % rows_z // m_0
        stop = (last - 1) // rows_z * tall + (last - 1) % rows_z // m_0 + 1
        most = strip(stop - row, wide, channels, held_of(columns))
        ahead = n_0 * wide * n_1 * channels
        while row < stop:
            count = min(most, stop - row)
            total = count * wide
            part = total * channels + APART
            after = ahead + parts * part
            for k in range(count):
                plane, i = (row + k) // tall, (row + k) % tall * m_0
                known = n_0 - m_0 if k > 0 and i > 0 else 0
                corner = i + offset[0], offset[1]
                data_row(a, a_at + plane * a_plane, a_rows, pitch, channels, i, corner, known, wide, box,
                         ahead + k * wide * channels, part)  # fmt: skip
            v_0 = 0
            while v_0 < columns:  # a last block of lanes is no shorter than a vector
                these = LANE_BLOCK if columns - v_0 >= LANES_HELD else columns - v_0
                held_pitch = max(these, WIDEST)  # of products
                product = total * held_pitch + APART
                _products(parts, total, these, channels, _moved(_elements(box), ahead), part, channels, 1,
                          _moved(_elements(u), u_at + v_0 * u_steps[1]), u_part, u_steps[0], u_steps[1],
                          _moved(_elements(box), after), product, held_pitch, 0, PIECE, _elements(scratch))  # fmt: skip
                for k in range(count):
                    plane, i = (row + k) // tall, (row + k) % tall * m_0
                    begin = max(0, first - plane * rows_z - i)
                    end = min(m_0, rows_z - i, last - plane * rows_z - i)
                    for t in range(wide):
                        origin = z_at + plane * z_plane + (i * columns_z + t * m_1) * z_pitch + v_0
                        left, at = columns_z - t * m_1, after + (k * wide + t) * held_pitch
                        for v in lanes(these):
                            x = transformed(box, at, n_1 * product, product, v, ())
                            y = _each(outputs_0, _turned(_each(outputs_1, x)))
                            if with_bias:
                                y = _plus(y, one(bias, bias_at + v_0, 0, 0, v, ())[0][0])
                            if begin == 0 and end == m_0 and left >= m_1:
                                _store(z, origin, z_pitch, columns_z * z_pitch, v, y, ())
                            else:
                                _store(z, origin, z_pitch, columns_z * z_pitch, v, y, (0, left, begin, end))
                v_0 += these
            row += count

    def filtered_places(
        first, last, target, columns, a, a_at, a_plane, a_rows, pitch, channels, offset, u, u_at, u_part, u_steps,
        z, z_at, z_plane, z_pitch, box, scratch
    ):  # fmt: skip
        """z[z_at + n z_plane + (i J + j) z_pitch + v] = sum over taps s, t and channels k of the filter whose transform u is,
        times a[a_at + n a_plane + ((i + s + offset[0]) Q + j + t + offset[1]) pitch + k], zero outside of its planes.

        target: (I, J); a_rows: (P, Q); first <= n I + i < last; u_part: between the parts (e, f) of u, u_steps: between
        its channels and between its lanes.
        """
        places(first, last, target, columns, a, a_at, a_plane, a_rows, pitch, channels, offset, u, u_at, u_part,
               u_steps, z, z_at, z_plane, z_pitch, box, scratch, box, 0, False)  # fmt: skip

    def filtered_places_bias(
        first, last, target, columns, a, a_at, a_plane, a_rows, pitch, channels, offset, u, u_at, u_part, u_steps,
        z, z_at, z_plane, z_pitch, box, scratch, bias, bias_at
    ):  # fmt: skip
        """As `filtered_places`, plus bias[bias_at + v]."""
        places(first, last, target, columns, a, a_at, a_plane, a_rows, pitch, channels, offset, u, u_at, u_part,
               u_steps, z, z_at, z_plane, z_pitch, box, scratch, bias, bias_at, True)  # fmt: skip

    def filtered_products(
        first, last, shares, planes, delta_rows, columns, a, a_at, a_plane, a_rows, pitch, channels, offset,
        delta, delta_at, delta_plane, delta_pitch, part, part_at, part_share, box, scratch
    ):  # fmt: skip
        """part[part_at + s part_share + (e, f, k, v)] = sum of (A delta A')[e, f, v] (B^T d B')[e, f, k] over the tiles of
        the share s of all rows of tiles, for first <= s n + e < last: the filter's gradient, transformed.

        delta is read as `filtered_places` writes z.
        """
        rows_d, columns_d = delta_rows
        tall, wide = (rows_d - 1) // m_0 + 1, (columns_d - 1) // m_1 + 1
        ahead, size = n_0 * wide * n_1 * channels, channels * columns
        for s in range(first // n_0, (last - 1) // n_0 + 1):
            e_0, e_1 = max(0, first - s * n_0) * n_1, min(n_0, last - s * n_0) * n_1
            begin = row = planes * tall * s // shares
            stop = planes * tall * (s + 1) // shares
            most = strip(stop - row, wide, channels, columns)
            while row < stop:
                count = min(most, stop - row)
                total = count * wide
                data, sensitivity = total * channels + APART, total * columns + APART
                after = ahead + parts * data
                for k in range(count):
                    plane, i = (row + k) // tall, (row + k) % tall * m_0
                    known = n_0 - m_0 if k > 0 and i > 0 else 0
                    corner = i + offset[0], offset[1]
                    data_row(a, a_at + plane * a_plane, a_rows, pitch, channels, i, corner, known, wide, box,
                             ahead + k * wide * channels, data)  # fmt: skip
                    for t in range(wide):
                        origin = delta_at + plane * delta_plane + (i * columns_d + t * m_1) * delta_pitch
                        to, high, left = after + (k * wide + t) * columns, rows_d - i, columns_d - t * m_1
                        for v in lanes(columns):
                            if high >= m_0 and left >= m_1:
                                y = tile(delta, origin, columns_d * delta_pitch, delta_pitch, v, ())
                            else:
                                y = tile(delta, origin, columns_d * delta_pitch, delta_pitch, v, (0, high, 0, left))
                            x = _each(sensitivities_0, _turned(_each(sensitivities_1, y)))
                            _store(box, to, sensitivity, n_1 * sensitivity, v, x, ())
                _products(e_1 - e_0, channels, columns, total, _moved(_elements(box), ahead + e_0 * data), data, 1, channels,
                          _moved(_elements(box), after + e_0 * sensitivity), sensitivity, columns, 1,
                          _moved(_elements(part), part_at + s * part_share + e_0 * size), size, columns, 1 if row > begin else 0,
                          TILES, _elements(scratch))  # fmt: skip
                row += count

    def filtered_gradient(
        first, last, shares, channels, columns, part, part_at, part_share, w, w_at, w_taps, w_channel
    ):  # fmt: skip
        """w[w_at + s w_taps[0] + t w_taps[1] + k w_channel + v] = sum over e, f of G[e, s] G'[f, t] times the sum of
        all shares' part[part_at + s part_share + (e, f, k, v)], for first <= k < last."""
        size = channels * columns
        for k in range(first, last):
            for v in lanes(columns):
                at = part_at + k * columns
                x = transformed(part, at, n_1 * size, size, v, ())
                for share in range(1, shares):
                    x = _added(x, transformed(part, at + share * part_share, n_1 * size, size, v, ()))
                y = _each(gradients_0, _turned(_each(gradients_1, x)))
                _store(w, w_at + k * w_channel, w_taps[1], w_taps[0], v, y, ())

    made = (filtered_filters, filtered_places, filtered_places_bias, filtered_products, filtered_gradient)
    return {routine.__name__: _inline(routine) for routine in made}
