"""Mish (Misra 2019): a smooth rectifier, the input weighed by the hyperbolic tangent of its softplus.

Forward equations:

    a[n, j] = tanh(log(1 + exp(z[n, j])))*z[n, j]

Derived from them:

    delta_z[n, j] = ((1 - tanh(log(1 + exp(z[n, j])))**2)*exp(z[n, j])*z[n, j]/(1 + exp(z[n, j])) + tanh(log(1 +
        exp(z[n, j]))))*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp
from ..program import Kernel, span


def mish_forward(z, a, first, last):
    r"""a[n, j] = {(1 + 2*exp(-|z[n, j]|))/(1 + 2*exp(-|z[n, j]|) + 2*exp(-2*|z[n, j]|)) if z[n, j] >= 0; (2 +
        exp(-|z[n, j]|))*exp(-|z[n, j]|)/(2 + 2*exp(-|z[n, j]|) + exp(-2*|z[n, j]|)) otherwise}*z[n, j]

    Stable form of a[n, j] = tanh(log(1 + exp(z[n, j])))*z[n, j].
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = exp(-abs(z[i]))
        p = T(2) * e
        r = e * e
        q = p + T(1)
        a[i] = (q / (q + T(2) * r) if z[i] >= T(0) else e * (e + T(2)) / (p + r + T(2))) * z[i]


def mish_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = ({4*(1 + exp(-|z[n, j]|))*exp(-2*|z[n, j]|)/(1 + 2*exp(-|z[n, j]|) + 2*exp(-2*|z[n, j]|))**2
        if z[n, j] >= 0; 4*(1 + exp(-|z[n, j]|))*exp(-|z[n, j]|)/(2 + 2*exp(-|z[n, j]|) + exp(-2*|z[n, j]|))**2
        otherwise}*z[n, j] + {(1 + 2*exp(-|z[n, j]|))/(1 + 2*exp(-|z[n, j]|) + 2*exp(-2*|z[n, j]|)) if z[n, j] >=
        0; (2 + exp(-|z[n, j]|))*exp(-|z[n, j]|)/(2 + 2*exp(-|z[n, j]|) + exp(-2*|z[n, j]|))
        otherwise})*delta_a[n, j]

    From a[n, j] = tanh(log(1 + exp(z[n, j])))*z[n, j].
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        e = exp(-abs(z[i]))
        p = T(2) * e
        r = e * e
        v = T(4) * e + T(4)
        q = p + T(1)
        u = p + r + T(2)
        t = q + T(2) * r
        delta_z[i] = (
            (r * v / (t * t) if z[i] >= T(0) else e * v / (u * u)) * z[i]
            + (q / t if z[i] >= T(0) else e * (e + T(2)) / u)
        ) * delta_a[i]


MISH = Layer(
    name="mish",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            mish_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            mish_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
