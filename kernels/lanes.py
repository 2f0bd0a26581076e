"""Some float32 numbers at a time, where numba's vectoriser does not see that they go together.

`four(array, i)`, `eight` and `sixteen` take what stands at i and after it in a flat array as one
value; such values are added, subtracted and multiplied lane by lane, with each other or with a
float32. Products and sums may fuse. They live within a compiled function: it cannot take or return
them from and to Python. `python -m benchmarks lanes` shows what they gain over plain numba.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
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
