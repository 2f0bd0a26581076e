"""Some float32 numbers at a time, where numba's vectoriser does not see that they go together.

`four(array, i)`, `eight` and `sixteen` take what stands at i and after it in a flat array as one
value; such values are added, subtracted and multiplied lane by lane, with each other or with a
float32. Products and sums may fuse. They live within a compiled function: it cannot take or return
them from and to Python.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

FLAGS = ("contract", "nsz")


class Lanes(types.Type):
    """The type of so many numbers at a time."""

    def __init__(self, count: int):
        self.count = count
        super().__init__(name=f"Lanes({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, _vector(lanes.count))


def _vector(count: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), count)


def _spread(builder, value, count):
    """A number in every lane."""
    one = builder.insert_element(ir.Constant(_vector(count), ir.Undefined), value, _index(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(one, one, mask)


def _index(i: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), i)


def _shuffled(builder, a, b, *order):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(a, b, mask)


def _place(context, builder, array_type, array, i, count):
    """Pointer to the lanes at i of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [i]), _vector(count).as_pointer())


def _loader(count: int) -> Callable:
    @intrinsic
    def load(typing_context, array, i):
        lanes = Lanes(count)

        def generate(context, builder, signature, values):
            place = _place(context, builder, signature.args[0], values[0], values[1], count)
            return builder.load(place, align=4)

        return lanes(array, types.uintp), generate

    return load


four, eight, sixteen = _loader(4), _loader(8), _loader(16)


@intrinsic
def spread(typing_context, number):
    """Sixteen times a number."""

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        return _spread(builder, number, 16)

    return Lanes(16)(number), generate


@intrinsic
def put(typing_context, array, i, lanes):
    """Write lanes to a flat array at i and after it."""

    def generate(context, builder, signature, values):
        array, i, lanes = values
        count = signature.args[2].count
        builder.store(lanes, _place(context, builder, signature.args[0], array, i, count), align=4)
        return context.get_dummy_value()

    return types.void(array, types.uintp, lanes), generate


@intrinsic
def numbers(typing_context, values):
    """Lanes of a tuple of numbers."""
    lanes = Lanes(values.count)

    def generate(context, builder, signature, arguments):
        out = ir.Constant(_vector(values.count), ir.Undefined)
        for i in range(values.count):
            number = builder.extract_value(arguments[0], i)
            number = context.cast(builder, number, values.dtype, types.float32)
            out = builder.insert_element(out, number, _index(i))
        return out

    return lanes(values), generate


@intrinsic
def each(typing_context, lanes):
    """The numbers of all lanes, a tuple."""
    result = types.UniTuple(types.float32, lanes.count)

    def generate(context, builder, signature, arguments):
        parts = [builder.extract_element(arguments[0], _index(i)) for i in range(lanes.count)]
        return context.make_tuple(builder, signature.return_type, parts)

    return result(lanes), generate


@intrinsic
def four_sums(typing_context, a, b, c, d):
    """The sums over the lanes of four times eight lanes, in four lanes."""

    def generate(context, builder, signature, arguments):
        def pairs(a, b):
            low = _shuffled(builder, a, b, 0, 8, 1, 9, 4, 12, 5, 13)
            high = _shuffled(builder, a, b, 2, 10, 3, 11, 6, 14, 7, 15)
            return builder.fadd(low, high)

        ab, cd = pairs(*arguments[:2]), pairs(*arguments[2:])
        low = _shuffled(builder, ab, cd, 0, 1, 8, 9, 4, 5, 12, 13)
        high = _shuffled(builder, ab, cd, 2, 3, 10, 11, 6, 7, 14, 15)
        both = builder.fadd(low, high)
        return builder.fadd(
            _shuffled(builder, both, both, 0, 1, 2, 3), _shuffled(builder, both, both, 4, 5, 6, 7)
        )

    return Lanes(4)(a, b, c, d), generate


@intrinsic
def prefetch(typing_context, array, i):
    """Ask for the line of cache of what stands at i of a flat array."""

    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [values[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [place, *(ir.Constant(number, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.uintp), generate


def _define(function: Callable, instruction: str) -> None:
    """Let an operator do `instruction` on lanes, or on lanes and a number."""

    @intrinsic
    def apply(typing_context, a, b):
        lanes = a if isinstance(a, Lanes) else b
        kinds = [kind if isinstance(kind, Lanes) else types.float32 for kind in (a, b)]

        def generate(context, builder, signature, arguments):
            both = [
                value if isinstance(kind, Lanes) else _spread(builder, value, lanes.count)
                for kind, value in zip(signature.args, arguments, strict=True)
            ]
            return getattr(builder, instruction)(*both, flags=FLAGS)

        return lanes(*kinds), generate

    @overload(function, inline="always")
    def operate(a, b):
        if isinstance(a, Lanes) or isinstance(b, Lanes):
            return lambda a, b: apply(a, b)
        return None


_define(operator.add, "fadd")
_define(operator.iadd, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")


def _llvm(builder, name: str, count: int):
    """A function of LLVM from so many lanes to as many."""
    kind = ir.FunctionType(_vector(count), [_vector(count)])
    return cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{count}f32")


def _function(name: str, count: int, flags: tuple[str, ...] = FLAGS) -> Callable:
    """A function of LLVM of one value of so many lanes."""

    @intrinsic
    def apply(typing_context, lanes):
        def generate(context, builder, signature, arguments):
            return builder.call(_llvm(builder, name, count), arguments, fastmath=flags)

        return lanes(lanes), generate

    return apply


absolute, nearest = _function("llvm.fabs", 16), _function("llvm.rint", 16)
"""Sixteen absolute values; the nearest whole numbers."""


@intrinsic
def inverse_root(typing_context, lanes):
    """1 / sqrt of positive numbers, to float32 round-off: an estimate and a step of Newton's where
    the processor has them."""

    def generate(context, builder, signature, arguments):
        vector = _vector(lanes.count)
        root = _llvm(builder, "llvm.sqrt", lanes.count)
        one = ir.Constant(vector, [1.0] * lanes.count)
        flags = ("fast",)
        return builder.fdiv(one, builder.call(root, arguments, fastmath=flags), flags=flags)

    return lanes(lanes), generate


def _compare(order: str) -> Callable:
    @intrinsic
    def choose(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            a, b = arguments
            b = _spread(builder, context.cast(builder, b, signature.args[1], types.float32), 16)
            return builder.select(builder.fcmp_ordered(order, a, b), a, b)

        return a(a, b), generate

    return choose


least, not_below = _compare("<"), _compare(">")
"""The smaller, or the larger, of each of sixteen numbers and one other, which is taken beside
NaN."""


@intrinsic
def where_below(typing_context, key, bound, lanes):
    """Sixteen numbers, or zero where those of `key` are not below the bound."""

    def generate(context, builder, signature, arguments):
        key, bound, lanes = arguments
        nothing = ir.Constant(_vector(16), [0.0] * 16)
        return builder.select(_below(context, builder, key, bound), lanes, nothing)

    return lanes(key, types.float32, lanes), generate


def _below(context, builder, key, bound):
    return builder.fcmp_ordered("<", key, _spread(builder, bound, 16))


@intrinsic
def pack(typing_context, array, i, lanes, key, bound):
    """Write those of sixteen numbers for which `key` is below the bound to a flat array, one after
    the other from i on."""

    def generate(context, builder, signature, arguments):
        array, i, lanes, key, bound = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.gep(data, [i])
        mask = ir.VectorType(ir.IntType(1), 16)
        kind = ir.FunctionType(ir.VoidType(), [_vector(16), place.type, mask])
        name = "llvm.masked.compressstore.v16f32"
        store = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(store, [lanes, place, _below(context, builder, key, bound)])
        return context.get_dummy_value()

    return types.void(array, types.uintp, lanes, key, types.float32), generate


@intrinsic
def count_below(typing_context, key, bound):
    """How many of sixteen numbers are below the bound."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(_below(context, builder, *arguments), ir.IntType(16))
        kind = ir.FunctionType(ir.IntType(16), [ir.IntType(16)])
        count = builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(16)], kind)
        return builder.zext(builder.call(count, [bits]), ir.IntType(64))

    return types.uintp(key, types.float32), generate


@intrinsic
def sum_of(typing_context, lanes):
    """The sum of sixteen numbers, by halves."""

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        for half in (8, 4, 2, 1):
            low = _shuffled(builder, value, value, *range(half))
            high = _shuffled(builder, value, value, *range(half, 2 * half))
            value = builder.fadd(low, high)
        return builder.extract_element(value, _index(0))

    return types.float32(lanes), generate
