"""Swish (Ramachandran et al. 2017): the input weighed by its logistic function; with beta = 1 the SiLU.

Forward equations:

    a[n, j] = z[n, j]/(1 + exp(-beta*z[n, j]))

Derived from them:

    delta_z[n, j] = (1 + beta*z[n, j] + exp(beta*z[n, j]))*exp(beta*z[n, j])*delta_a[n, j]/(1 + exp(beta*z[n,
        j]))**2

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp
from ..program import Kernel, span


def swish_forward(z, a, beta, first, last):
    r"""a[n, j] = {1/(1 + exp(-|beta*z[n, j]|)) if beta*z[n, j] >= 0; exp(-|beta*z[n, j]|)/(1 + exp(-|beta*z[n, j]|))
        otherwise}*z[n, j]

    Stable form of a[n, j] = z[n, j]/(1 + exp(-beta*z[n, j])).
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = T(beta) * z[i]
        p = exp(-abs(e))
        q = T(1) / (p + T(1))
        a[i] = (q if e >= T(0) else p * q) * z[i]


def swish_input_sensitivity(delta_a, z, delta_z, beta, first, last):
    r"""delta_z[n, j] = (beta*exp(-|beta*z[n, j]|)*z[n, j]/(1 + exp(-|beta*z[n, j]|))**2 + {1/(1 + exp(-|beta*z[n,
        j]|)) if beta*z[n, j] >= 0; exp(-|beta*z[n, j]|)/(1 + exp(-|beta*z[n, j]|)) otherwise})*delta_a[n, j]

    From a[n, j] = z[n, j]/(1 + exp(-beta*z[n, j])).
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        q = T(beta) * z[i]
        p = exp(-abs(q))
        r = p + T(1)
        t = T(1) / r
        delta_z[i] = (p * q / (r * r) + (t if q >= T(0) else p * t)) * delta_a[i]


SWISH = Layer(
    name="swish",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    settings={"beta": 1.0},
    forward=(
        Kernel(
            swish_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
            scalars=("beta",),
        ),
    ),
    backward=(
        Kernel(
            swish_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
            scalars=("beta",),
        ),
    ),
)
