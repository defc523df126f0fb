"""Vectors in the text of a kernel: a loop `for c in lanes(C)` over an array's last index goes several components at a time.

    for c in lanes(C):
        largest = a[0, c]
        for i in range(1, I):
            largest = where(a[i, c] > largest, a[i, c], largest)
        z[c] = largest

reads as a loop over single components, and means the same. But `c` stands for the places of some neighbours, `a[i, c]` is
a vector of their values, `+ - * /`, comparisons, `& |`, `where`, `abs`, `floor` and `sqrt` treat them side by side, and so what is
summed up stays in registers over all loops inside. The number of neighbours is that of the kernel's compilation: see
`width_for`. Where it does not divide C, the last vector moves back and does some components a second time: so the body of
the loop must read nothing that it writes, but what it wrote for the same vector.
"""

import functools
import operator
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import RefType, iternext_impl, lower_builtin
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_cast, models, overload, register_model

from .engine import _prefetch
from .native import LANES, LINE, OPTIONS


def width_for(size: int, registers: int = 4) -> int:
    """How many of `size` components a vector of so many registers at most takes: as little as can be is done twice."""
    widths = [1 << k for k in range((registers * LANES).bit_length()) if 1 << k <= size]
    return min(widths, key=lambda width: (-(-size // width) * max(width, LANES), -width))


# Types ---------------------------------------------------------------------------------------------------------------


class Lane(types.Type):
    """The place of the first of `width` neighbours along an array's last index; if `streamed`, they go past the caches."""

    def __init__(self, width: int, streamed: bool = False):
        self.width, self.streamed = width, streamed
        super().__init__(f"Lane({width}, {streamed})")


class Vector(types.Type):
    """`width` numbers, or truth values, side by side. A number is cast to it as that many equal ones."""

    def __init__(self, dtype: types.Type, width: int):
        self.dtype, self.width = dtype, width
        super().__init__(f"Vector({dtype}, {width})")

    def unify(self, context, other):
        """Numba's: the type of a variable that is of this type or of the other."""
        dtype = context.unify_types(self.dtype, getattr(other, "dtype", other))
        fits = getattr(other, "width", self.width) == self.width and isinstance(dtype, types.Number | types.Boolean)
        return Vector(dtype, self.width) if fits else None

    def can_convert_from(self, context, other):
        """Numba's: numbers, and vectors of as many."""
        same = isinstance(other, Vector) and other.width == self.width
        return Conversion.promote if same or isinstance(other, types.Number | types.Boolean) else None


class _Lanes(types.SimpleIterableType):
    """What `lanes` gives: from first to last, `width` at a time."""

    def __init__(self, width: int, streamed: bool):
        super().__init__(f"Lanes({width}, {streamed})", _LanesIterator(width, streamed))


class _LanesIterator(types.SimpleIteratorType):
    def __init__(self, width: int, streamed: bool):
        self.width = width
        super().__init__(f"LanesIterator({width}, {streamed})", Lane(width, streamed))


@register_model(Lane)
class _LaneModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.IntType(64))


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        element = ir.IntType(1) if kind.dtype == types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.width))


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.IntType(64))


@register_model(_LanesIterator)
class _LanesIteratorModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("place", types.EphemeralPointer(types.intp)), ("size", types.intp)])


# The loop ------------------------------------------------------------------------------------------------------------


def lanes(size: int):
    """`range(size)`, several at a time; for the last index of arrays. A kernel's compilation says how many."""
    raise TypeError("lanes is for kernels, which the program compiles")


def lanes_of(width: int, streamed: bool = False) -> Callable:
    """`lanes` with this many at a time: what stands in its place when a kernel is compiled.

    streamed: vectors of whole lines of the cache are written past it; they must begin where a line does.
    """

    @intrinsic
    def lanes(typingctx, size):
        return _Lanes(width, streamed)(types.intp), lambda context, builder, sig, args: args[0]

    return lanes


@lower_builtin("getiter", _Lanes)
def _begin(context, builder, sig, args):
    iterator = context.make_helper(builder, sig.return_type)
    iterator.place = cgutils.alloca_once_value(builder, ir.Constant(args[0].type, 0))
    iterator.size = args[0]
    return iterator._getvalue()


@lower_builtin("iternext", _LanesIterator)
@iternext_impl(RefType.UNTRACKED)
def _next(context, builder, sig, args, result):
    iterator = context.make_helper(builder, sig.args[0], value=args[0])
    place = builder.load(iterator.place)
    width = ir.Constant(place.type, sig.args[0].width)
    inside = builder.icmp_signed("<", place, iterator.size)
    result.set_valid(inside)
    with builder.if_then(inside):
        latest = builder.sub(iterator.size, width)
        result.yield_(builder.select(builder.icmp_signed("<", latest, place), latest, place))
        builder.store(builder.add(place, width), iterator.place)


# Elements of arrays --------------------------------------------------------------------------------------------------


def _kinds(index: types.Type) -> list[types.Type]:
    return list(index) if isinstance(index, types.BaseTuple) else [index]


def _vector(array, index):
    """What stands at this index of an array, if that is a vector."""
    last = _kinds(index)[-1:]
    if not isinstance(array, types.Array) or not last or not isinstance(last[0], Lane):
        return None
    return Vector(array.dtype, last[0].width)


def _pointer(context, builder, array_type, array, index_type, index):
    """To the first of the neighbours, as a pointer to a vector."""
    kinds = _kinds(index_type)
    values = cgutils.unpack_tuple(builder, index) if isinstance(index_type, types.BaseTuple) else [index]
    array = context.make_array(array_type)(context, builder, array)
    at = ir.Constant(ir.IntType(64), 0)
    for value, kind, size in zip(values, kinds, cgutils.unpack_tuple(builder, array.shape), strict=True):
        place = value if isinstance(kind, Lane) else context.cast(builder, value, kind, types.intp)
        at = builder.add(builder.mul(at, size), place)
    vector = context.get_value_type(_vector(array_type, index_type))
    return builder.bitcast(builder.gep(array.data, [at]), vector.as_pointer())


@intrinsic
def _load(typingctx, array, index):
    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return _vector(array, index)(array, index), codegen


@intrinsic
def _store(typingctx, array, index, value):
    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        vector = _cast(context, builder, args[2], value, _vector(array, index))
        lane, size = _kinds(index)[-1], array.dtype.bitwidth // 8
        if lane.streamed and size * lane.width % LINE == 0:
            past = builder.store(vector, pointer, align=LINE)
            past.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        else:
            builder.store(vector, pointer, align=size)
        return context.get_dummy_value()

    return types.none(array, index, value), codegen


@intrinsic
def ahead(typingctx, array, index):
    """Asks for the lines of the cache with the neighbours at this index, which may lie outside; changes nothing."""

    def codegen(context, builder, sig, args):
        i8p = ir.IntType(8).as_pointer()
        first = builder.bitcast(_pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1]), i8p)
        for place in range(0, _vector(array, index).width * array.dtype.bitwidth // 8, LINE):
            _prefetch(builder, builder.gep(first, [ir.Constant(ir.IntType(64), place)]))
        return context.get_dummy_value()

    return types.none(array, index), codegen


def ahead_in_part(array, index) -> None:
    """`ahead`, if rows are longer than a vector. Of rows that lie side by side as a whole, the processor sees what comes."""
    raise TypeError("ahead_in_part is for kernels, which the program compiles")


@intrinsic
def _nothing(typingctx, array, index):
    return types.none(array, index), lambda context, builder, sig, args: context.get_dummy_value()


def ahead_if(in_part: bool) -> Callable:
    """What stands in the place of `ahead_in_part` when a kernel is compiled."""
    return ahead if in_part else _nothing


_INLINE = {"forceinline": True, **OPTIONS}


@overload(operator.getitem, jit_options=_INLINE)
def _getitem(array, index):
    return _vector(array, index) and (lambda array, index: _load(array, index))


@overload(operator.setitem, jit_options=_INLINE)
def _setitem(array, index, value):
    return _vector(array, index) and (lambda array, index, value: _store(array, index, value))


# Vectors near by -------------------------------------------------------------------------------------------------------


NEAR = 32  # vectors, at most


class Near(types.Type):
    """Vectors of neighbours, one for each place along the `rank` other axes of an array."""

    def __init__(self, dtype: types.Type, width: int, rank: int):
        self.vector, self.rank = Vector(dtype, width), rank
        super().__init__(f"Near({dtype}, {width}, {rank})")


@register_model(Near)
class _NearModel(models.StructModel):
    def __init__(self, manager, kind):
        counts = types.UniTuple(types.intp, kind.rank)
        super().__init__(manager, kind, [("first", types.voidptr), ("step", types.intp), ("counts", counts)])


@intrinsic
def near(typingctx, array, lane):
    """The vectors at this place of an array's last index, for all others: `near(w, c)[u, v]` is what `w[u, v, c]` is now.

    They are copied: where they are few, and the loops over them of known lengths, into registers.
    """
    kind = Near(array.dtype, lane.width, array.ndim - 1)

    def codegen(context, builder, sig, args):
        i8p, of = ir.IntType(8).as_pointer(), context.get_value_type(kind.vector)
        made = context.make_array(sig.args[0])(context, builder, args[0])
        *counts, size = cgutils.unpack_tuple(builder, made.shape)
        count = functools.reduce(builder.mul, counts)
        itemsize = array.dtype.bitwidth // 8
        room = cgutils.alloca_once(builder, ir.ArrayType(of, NEAR))
        few = builder.icmp_signed("<=", count, ir.Constant(count.type, NEAR))
        with builder.if_then(few), cgutils.for_range(builder, count) as loop:
            place = builder.gep(made.data, [builder.add(builder.mul(loop.index, size), args[1])])
            value = builder.load(builder.bitcast(place, of.as_pointer()), align=itemsize)
            builder.store(value, builder.gep(room, [ir.Constant(count.type, 0), loop.index]))
        result = cgutils.create_struct_proxy(kind)(context, builder)
        there = builder.bitcast(builder.gep(made.data, [args[1]]), i8p)
        result.first = builder.select(few, builder.bitcast(room, i8p), there)
        bytes_of = ir.Constant(count.type, itemsize)
        result.step = builder.mul(builder.select(few, ir.Constant(count.type, lane.width), size), bytes_of)
        result.counts = cgutils.pack_array(builder, counts)
        return result._getvalue()

    return kind(array, lane), codegen


@intrinsic
def _load_near(typingctx, vectors, index):
    def codegen(context, builder, sig, args):
        held = cgutils.create_struct_proxy(vectors)(context, builder, value=args[0])
        counts, at = cgutils.unpack_tuple(builder, held.counts), ir.Constant(ir.IntType(64), 0)
        values = cgutils.unpack_tuple(builder, args[1]) if isinstance(index, types.BaseTuple) else [args[1]]
        for value, kind, count in zip(values, _kinds(index), counts, strict=True):
            at = builder.add(builder.mul(at, count), context.cast(builder, value, kind, types.intp))
        place = builder.gep(held.first, [builder.mul(at, held.step)])
        pointer = builder.bitcast(place, context.get_value_type(sig.return_type).as_pointer())
        return builder.load(pointer, align=vectors.vector.dtype.bitwidth // 8)

    return vectors.vector(vectors, index), codegen


@overload(operator.getitem, jit_options=_INLINE)
def _getitem_near(vectors, index):
    return (lambda vectors, index: _load_near(vectors, index)) if isinstance(vectors, Near) else None


# Arithmetic ----------------------------------------------------------------------------------------------------------


def _cast(context, builder, value, kind, wanted: Vector):
    """A number or a vector as a vector of another kind of number."""
    if not isinstance(kind, Vector):
        number = context.cast(builder, value, kind, wanted.dtype)
        if wanted.dtype == types.boolean:
            number = cgutils.as_bool_bit(builder, number)
        undefined = ir.Constant(ir.VectorType(number.type, wanted.width), ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), wanted.width), [0] * wanted.width)
        return builder.shuffle_vector(first, undefined, zeros)
    source, target = kind.dtype, wanted.dtype
    if source == target:
        return value
    wider = target.bitwidth > source.bitwidth
    if isinstance(source, types.Integer) and isinstance(target, types.Integer):
        convert = (builder.sext if source.signed else builder.zext) if wider else builder.trunc
    elif isinstance(target, types.Integer):
        convert = builder.fptosi
    elif isinstance(source, types.Integer):
        convert = builder.sitofp
    else:
        convert = builder.fpext if wider else builder.fptrunc
    return convert(value, context.get_value_type(wanted))


@lower_cast(types.Number, Vector)
@lower_cast(types.Boolean, Vector)
@lower_cast(Vector, Vector)
def _convert(context, builder, kind, wanted, value):
    return _cast(context, builder, value, kind, wanted)


def _common(context, kinds) -> Vector | None:
    """The vector that all of these become, if one of them is one."""
    vectors = [kind for kind in kinds if isinstance(kind, Vector)]
    dtypes = [getattr(kind, "dtype", kind) for kind in kinds]
    if not vectors or not all(isinstance(dtype, types.Number | types.Boolean) for dtype in dtypes):
        return None
    return Vector(context.unify_types(*dtypes), vectors[0].width)


def _operator(function, build, *, result: types.Type | None = None, of=types.Number, operands: int = 2) -> None:
    """Gives an operator its meaning for vectors. build(builder, float?, *values); result: the dtype, if another."""

    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            common = _common(self.context, args) if len(args) == operands else None
            if common is None or not isinstance(common.dtype, of):
                return None
            return signature(Vector(result or common.dtype, common.width), *args)

    def lower(context, builder, sig, args):
        common = _common(context.typing_context, sig.args) or sig.return_type
        values = (_cast(context, builder, *pair, common) for pair in zip(args, sig.args, strict=True))
        return build(builder, isinstance(common.dtype, types.Float), *values)

    number = types.Boolean if of is types.Boolean else types.Number
    for kinds in [(Vector,)] if operands == 1 else [(Vector, Vector), (Vector, number), (number, Vector)]:
        lower_builtin(function, *kinds)(lower)


def _intrinsic(builder, name: str, values: list):
    """LLVM's function of that name on numbers or vectors of one type."""
    kind = values[0].type
    count, element = (f"v{kind.count}", kind.element) if isinstance(kind, ir.VectorType) else ("", kind)
    call = ir.FunctionType(kind, [kind] * len(values))
    full = f"llvm.{name}.{count}f{32 if element == ir.FloatType() else 64}"
    return builder.call(cgutils.get_or_insert_function(builder.module, call, full), values)


def _define_operators() -> None:
    for name, ours in {"add": "fadd", "sub": "fsub", "mul": "fmul", "truediv": "fdiv"}.items():
        for function in (getattr(operator, name), getattr(operator, f"i{name}")):
            _operator(function, lambda b, _, x, y, ours=ours: getattr(b, ours)(x, y), of=types.Float)
    for name, sign in {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}.items():
        floats = "fcmp_unordered" if sign == "!=" else "fcmp_ordered"

        def compare(b, real, x, y, sign=sign, floats=floats):
            return getattr(b, floats if real else "icmp_signed")(sign, x, y)

        _operator(getattr(operator, name), compare, result=types.boolean)
    for name in ("and_", "or_"):
        _operator(getattr(operator, name), lambda b, _, x, y, name=name: getattr(b, name)(x, y), of=types.Boolean)
    _operator(operator.neg, lambda b, _, x: b.fneg(x), of=types.Float, operands=1)
    _operator(operator.invert, lambda b, _, x: b.not_(x), of=types.Boolean, operands=1)
    for function, name in ((abs, "fabs"), (np.sqrt, "sqrt"), (np.floor, "floor")):

        def value(b, _, x, name=name):
            return _intrinsic(b, name, [x])

        _operator(function, value, of=types.Float, operands=1)


_define_operators()


@intrinsic
def where(typingctx, condition, x, y):
    """`x if condition else y`, for vectors each component by itself; both are computed."""
    kinds = (condition, x, y)
    dtypes = [getattr(kind, "dtype", kind) for kind in kinds]
    if dtypes[0] != types.boolean or not all(isinstance(dtype, types.Number | types.Boolean) for dtype in dtypes):
        return None
    result = typingctx.unify_types(*dtypes[1:])
    widths = [kind.width for kind in kinds if isinstance(kind, Vector)]
    if widths:
        result = Vector(result, widths[0])

    def codegen(context, builder, sig, args):
        mask, *chosen = args
        if not isinstance(condition, Vector):
            mask = cgutils.as_bool_bit(builder, mask)
        cast = functools.partial(_cast, context) if widths else context.cast
        return builder.select(mask, *(cast(builder, *pair, result) for pair in zip(chosen, kinds[1:], strict=True)))

    return result(*kinds), codegen


@intrinsic
def fma(typingctx, x, y, z):
    """`x * y + z`, rounded once; for vectors each component by itself."""
    kinds = (x, y, z)
    dtype = typingctx.unify_types(*(getattr(kind, "dtype", kind) for kind in kinds))
    if not isinstance(dtype, types.Float):
        return None
    widths = [kind.width for kind in kinds if isinstance(kind, Vector)]
    result = Vector(dtype, widths[0]) if widths else dtype

    def codegen(context, builder, sig, args):
        cast = functools.partial(_cast, context) if widths else context.cast
        values = [cast(builder, *pair, result) for pair in zip(args, kinds, strict=True)]
        return _intrinsic(builder, "fma", values)

    return result(*kinds), codegen


@intrinsic
def double(typingctx, x):
    """A number or a vector in double precision."""
    if isinstance(x, Vector):
        result = Vector(types.float64, x.width)
        return result(x), lambda context, builder, sig, args: _cast(context, builder, args[0], x, result)
    return types.float64(x), lambda context, builder, sig, args: context.cast(builder, args[0], x, types.float64)


@intrinsic
def settled(typingctx):
    """What has been written past the caches is there for all threads."""

    def codegen(context, builder, sig, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
