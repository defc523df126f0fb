"""Functions of float32 and float64 numbers that LLVM can vectorise: straight lines of arithmetic.

For use in functions that Numba compiles. Each reduces its argument to a short interval and takes a polynomial there.
The polynomials are derived (by derive/lowering/approximation.py); the error each causes stands beside it. Every
rounding is written out (`fma` is one), so a value has the same bits in every loop. Infinities, NaN, and arguments
outside the domain give what IEEE 754 asks for; denormal numbers are numbers.
"""

from collections.abc import Callable

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

from .engine import fma
from .native import OPTIONS

_inline = njit(forceinline=True, **OPTIONS)


_PARTNER = {types.float32: types.uint32, types.float64: types.uint64}
_PARTNER |= {word: real for real, word in _PARTNER.items()}


@intrinsic
def _bits(typingctx, x):
    """The bits of a floating-point number as an unsigned integer of its size, or the number that has these bits."""
    result = _PARTNER[x]
    return result(x), lambda context, builder, sig, args: builder.bitcast(args[0], context.get_value_type(result))


@_inline
def _polynomial(coefficients, x):
    """By Horner's rule, the highest power first."""
    value = coefficients[0]
    for c in coefficients[1:]:
        value = fma(value, x, c)
    return value


def _functions(
    real,
    word,
    *,
    bits,
    bias,
    low,
    high,
    log2_e,
    ln2_high,
    ln2_low,
    root_half,
    tanh_far,
    erf_far,
    erfc_high,
    expm1_q,
    log_q,
    tanh_q,
    erf_q,
    erfc_q,
) -> dict[str, Callable]:
    """All functions for one format: `real` its numbers, `word` the unsigned integers of their size.

    bits: of the fraction; bias: of the exponent; below low e^x rounds to 0, above high to infinity; log 2 is ln2_high +
    ln2_low, and any exponent times ln2_high is exact; root_half: the bits of sqrt(1/2); tanh_far: where tanh takes its
    other formula; erf_far: where erf does; above erfc_high erfc(x) rounds to 0; q: the polynomials.
    """
    zero, half, one, two, inf, nan = (real(value) for value in (0, 0.5, 1, 2, np.inf, np.nan))
    magic = real(1.5 * 2.0**bits)  # adding it rounds to an integer, which then stands in the last bits
    low, high, log2_e, ln2_high, ln2_low = (real(value) for value in (low, high, log2_e, ln2_high, ln2_low))
    expm1_q, log_q, tanh_q, erf_q, erfc_q = (tuple(real(c) for c in q) for q in (expm1_q, log_q, tanh_q, erf_q, erfc_q))
    erfc_even, erfc_odd = erfc_q[::-1][::2][::-1], erfc_q[::-1][1::2][::-1]  # of even powers, of odd ones
    expm1_low = real(-(bits + 2))  # below it e^x - 1 rounds to -1
    tanh_far, erf_far, erfc_high = real(tanh_far), real(erf_far), real(erfc_high)
    three, steepness, middle = (real(value) for value in (3, 7 / 4, 9 / 8))  # of erfc's polynomial
    smallest, unit, steps = real(2.0 ** (1 - bias)), real(2.0**bits), real(bits)
    exponent_unit, exponent_zero = word((bias + bits) << bits), real(2.0**bits + bias)
    offset, fraction = word((bias << bits) - root_half), word((1 << bits) - 1)
    shift, word_bias, word_root_half = word(bits), word(bias), word(root_half)

    @_inline
    def reduced(x):
        """x = k log 2 + r with an integer k and |r| <= log(2) / 2: k and r."""
        k = fma(x, log2_e, magic) - magic
        return k, fma(k, -ln2_low, fma(k, -ln2_high, x))

    @_inline
    def power(k):
        """2^k: the integer in the last bits of the sum moves into the exponent, all else falls out."""
        return _bits(word(word(_bits(k + magic) + word_bias) << shift))

    @_inline
    def exp(x):
        x = low if x < low else x
        x = high if x > high else x
        k, r = reduced(x)
        # 2^k in two factors, each a normal number: k goes beyond the exponents of normal numbers.
        part = fma(k, half, magic) - magic
        return (fma(_polynomial(expm1_q, r), r * r, r) + one) * power(part) * power(k - part)

    @_inline
    def expm1(x):
        x = expm1_low if x < expm1_low else x
        x = high if x > high else x
        k, r = reduced(x)
        # 2^k (e^r - 1) + 2^k - 1, the factor 2^part of 2^k taken out.
        part = fma(k, half, magic) - magic
        rest = power(k - part)
        return fma(rest, fma(_polynomial(expm1_q, r), r * r, r), rest - power(-part)) * power(part)

    @_inline
    def log_sum(x, more, exponent):
        """log(x) + more + exponent log 2, for a positive normal x and a small `more`."""
        # x = 2^e m, m from sqrt(1/2) to sqrt(2). The bits of e become a number without a conversion.
        moved = word(_bits(x) + offset)
        e = _bits(word(word(moved >> shift) | exponent_unit)) - exponent_zero + exponent
        f = _bits(word(word(moved & fraction) + word_root_half)) - one
        s = f / (two + f)
        z = s * s
        # log(1 + f) = f - (h - s (h + z q)) with h = f^2 / 2: its leading part f is exact.
        h = half * f * f
        small = fma(s, fma(z, _polynomial(log_q, z), h), fma(e, ln2_low, more))
        return fma(e, ln2_high, f - (h - small))

    @_inline
    def log(x):
        tiny = x < smallest
        value = log_sum(x * unit if tiny else x, zero, -steps if tiny else zero)
        value = -inf if x == zero else value
        value = nan if x < zero else value
        return value if x < inf else x

    @_inline
    def log1p(x):
        # 1 + x = u + lost, exactly.
        u = one + x
        v = u - one
        lost = (one - (u - v)) + (x - v)
        value = log_sum(u, lost / u, zero)
        value = -inf if x == -one else value
        value = nan if x < -one else value
        return value if x < inf else x

    @_inline
    def tanh(x):
        size = abs(x)
        z = x * x
        near = fma(x * z, _polynomial(tanh_q, z), x)
        far = one - two / (exp(two * size) + one)
        far = -far if x < zero else far
        return near if size < tanh_far else far

    @_inline
    def erfc_of_size(x):
        """erfc(x) for x >= 0."""
        x = erfc_high if x > erfc_high else x
        # x^2 = square + lost, exactly: in e^(-x^2) an error of the square would be one of the value.
        square = x * x
        lost = fma(x, x, -square)
        power = exp(-square)
        t = (x - three) / (x + three)
        rest = fma(t, _polynomial(erfc_odd, t * t), _polynomial(erfc_even, t * t))  # LLVM unrolls no longer loop
        return fma(-lost, power, power) * ((middle + rest) / fma(steepness, x, one))

    @_inline
    def erfc(x):
        value = erfc_of_size(abs(x))
        return two - value if x < zero else value

    @_inline
    def erf(x):
        size = abs(x)
        near = fma(x, _polynomial(erf_q, x * x), x)
        far = one - erfc_of_size(size)
        far = -far if x < zero else far
        return near if size < erf_far else far

    return {"erf": erf, "erfc": erfc, "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "tanh": tanh}


_FLOAT32 = _functions(
    np.float32,
    np.uint32,
    bits=23,
    bias=127,
    low=-104,
    high=89,
    log2_e=1.4426950216293335,
    ln2_high=0.693359375,
    ln2_low=-0.00021219444170128554,
    root_half=0x3F3504F3,
    tanh_far=0.5625,
    erf_far=0.5,
    erfc_high=11,
    # e^r = 1 + r + r^2 q(r): relative error 1.7e-09
    expm1_q=(
        0.00019890980911441147,
        0.0013933641603216529,
        0.00833331048488617,
        0.04166646674275398,
        0.1666666716337204,
        0.5,
    ),
    # log((1 + s) / (1 - s)) = 2 s + s z q(z), z = s^2: relative error 2.5e-09
    log_q=(
        0.29579949378967285,
        0.3998878002166748,
        0.6666668653488159,
    ),
    # tanh(x) = x + x z q(z), z = x^2: relative error 5.2e-09
    tanh_q=(
        -0.0065255723893642426,
        0.021263353526592255,
        -0.053901754319667816,
        0.13333073258399963,
        -0.3333333134651184,
    ),
    # erf(x) = x + x q(z), z = x^2: relative error 4.1e-09
    erf_q=(
        0.004719082731753588,
        -0.026757732033729553,
        0.1128283143043518,
        -0.37612608075141907,
        0.12837916612625122,
    ),
    # erfc(x) = e^(-x^2) (9/8 + q(t)) / (1 + 7/4 x), t = (x - 3) / (x + 3): relative error 6.4e-09
    erfc_q=(
        6.412809307221323e-05,
        -7.888821710366756e-05,
        -0.0006273057078942657,
        0.0015743618132546544,
        0.0022743523586541414,
        -0.020264044404029846,
        0.056727830320596695,
        -0.09540659189224243,
        0.09467417001724243,
        -0.010916496627032757,
        -0.15944764018058777,
        -0.006242805626243353,
    ),
)

_FLOAT64 = _functions(
    np.float64,
    np.uint64,
    bits=52,
    bias=1023,
    low=-746,
    high=710,
    log2_e=1.4426950408889634,
    ln2_high=0.6931471824645996,
    ln2_low=-1.904654299957768e-09,
    root_half=0x3FE6A09E667F3BCD,
    tanh_far=0.5625,
    erf_far=0.5,
    erfc_high=28,
    # e^r = 1 + r + r^2 q(r): relative error 8.5e-19
    expm1_q=(
        2.0914679376583935e-09,
        2.510520637395701e-08,
        2.7557273661348637e-07,
        2.7557255425746435e-06,
        2.4801587325533363e-05,
        0.00019841269874800493,
        0.0013888888888883752,
        0.008333333333326141,
        0.04166666666666667,
        0.1666666666666667,
        0.5,
    ),
    # log((1 + s) / (1 - s)) = 2 s + s z q(z), z = s^2: relative error 4.6e-18
    log_q=(
        0.14616449685043406,
        0.15331721600556042,
        0.18182889125261723,
        0.2222221113479508,
        0.28571428625975487,
        0.39999999999899505,
        0.666666666666667,
    ),
    # tanh(x) = x + x z q(z), z = x^2: relative error 7.2e-18
    tanh_q=(
        -2.0026740085317684e-05,
        8.426522203958066e-05,
        -0.00023410556936672797,
        0.0005887537111834804,
        -0.0014556239774192678,
        0.003592105532132769,
        -0.008863234021529514,
        0.021869488476962563,
        -0.0539682539670594,
        0.13333333333332392,
        -0.3333333333333333,
    ),
    # erf(x) = x + x q(z), z = x^2: relative error 1.1e-17
    erf_q=(
        1.3214378238338438e-08,
        -1.6273138761686977e-07,
        1.6459034327218912e-06,
        -1.4925586560096415e-05,
        0.00012055332131175981,
        -0.0008548327016159163,
        0.005223977625403192,
        -0.026866170645130034,
        0.11283791670955123,
        -0.37612638903183754,
        0.1283791670955126,
    ),
    # erfc(x) = e^(-x^2) (9/8 + q(t)) / (1 + 7/4 x), t = (x - 3) / (x + 3): relative error 3.6e-18
    erfc_q=(
        5.093833527812101e-10,
        3.4967469576847666e-10,
        -6.587891137508669e-09,
        -9.751706791728139e-09,
        3.4916189160872465e-08,
        8.58494655488944e-08,
        -1.1818532706235899e-07,
        -5.327722339559202e-07,
        2.8348602614063965e-07,
        2.999708350665589e-06,
        -4.839746570847951e-07,
        -1.7322264779795655e-05,
        3.333725297352598e-06,
        0.00010785418991321985,
        -8.400780127059332e-05,
        -0.000676696297299674,
        0.0015779713268976986,
        0.002301686141235295,
        -0.020265558512641016,
        0.056720461511284896,
        -0.09540622583863465,
        0.09467502180231524,
        -0.01091653234522817,
        -0.15944766286438816,
        -0.006242805116312811,
    ),
)


def _public(name: str, meaning: str) -> Callable:
    """The function of this name, which has its meaning in compiled code: by the format of its argument."""

    def function(x):
        raise TypeError(f"{name} is for functions that Numba compiles")

    @overload(function, jit_options={"forceinline": True, **OPTIONS})
    def of_format(x):
        compiled = {types.float32: _FLOAT32, types.float64: _FLOAT64}.get(x, {}).get(name)
        return compiled and (lambda x: compiled(x))

    function.__name__, function.__doc__ = name, meaning
    return function


erf = _public("erf", "The error function of x.")
erfc = _public("erfc", "1 - erf(x), without cancellation.")
exp = _public("exp", "e^x.")
expm1 = _public("expm1", "e^x - 1, precise near 0.")
log = _public("log", "The natural logarithm of x: -inf at 0, NaN below.")
log1p = _public("log1p", "log(1 + x), precise near 0: -inf at -1, NaN below.")
tanh = _public("tanh", "The hyperbolic tangent of x.")
