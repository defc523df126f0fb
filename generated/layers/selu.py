"""Scaled exponential linear unit (Klambauer et al. 2017) with Darknet's constants; its slope at 0 is that on the
right.

The paper's have more digits: a scale of 1.0507009873554805 and an alpha of 1.6732632423543772.

Forward equations:

    a[n, j] = {scale*z[n, j] if z[n, j] >= 0; alpha*scale*(exp(z[n, j]) - 1) otherwise}

Derived from them:

    delta_z[n, j] = {scale if z[n, j] >= 0; alpha*scale + a[n, j] otherwise}*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import expm1
from ..program import Kernel, span


def selu_forward(z, a, alpha, scale, first, last):
    r"""a[n, j] = {scale*z[n, j] if z[n, j] >= 0; alpha*scale*expm1(z[n, j]) otherwise}

    Stable form of a[n, j] = {scale*z[n, j] if z[n, j] >= 0; alpha*scale*(exp(z[n, j]) - 1) otherwise}.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = expm1(z[i])
        a[i] = T(scale) * z[i] if z[i] >= T(0) else e * T(alpha) * T(scale)


def selu_input_sensitivity(a, delta_a, z, delta_z, alpha, scale, first, last):
    r"""delta_z[n, j] = {scale if z[n, j] >= 0; alpha*scale + a[n, j] otherwise}*delta_a[n, j]

    From a[n, j] = {scale*z[n, j] if z[n, j] >= 0; alpha*scale*(exp(z[n, j]) - 1) otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: a (N, J), delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = (T(scale) if z[i] >= T(0) else T(alpha) * T(scale) + a[i]) * delta_a[i]


SELU = Layer(
    name="selu",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    settings={"scale": 1.0507, "alpha": 1.6732},
    forward=(
        Kernel(
            selu_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
            scalars=("alpha", "scale"),
        ),
    ),
    backward=(
        Kernel(
            selu_input_sensitivity,
            arguments=("a[i]", "delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
            scalars=("alpha", "scale"),
        ),
    ),
)
