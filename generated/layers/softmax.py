"""Softmax: exponentials as shares of their sum, a distribution over the classes j of each sample.

Forward equations:

    e[n, j] = exp(z[n, j])
    s[n] = sum_j e[n, j]
    a[n, j] = e[n, j]/s[n]

Derived from them:

    delta_z_sum[n] = sum_j1 a[n, j1]*delta_a[n, j1]
    delta_z[n, j] = (delta_a[n, j] - delta_z_sum[n])*a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp
from ..program import Kernel


def softmax_forward(z, a, first, last):
    r"""z_max[n] = max_j z[n, j]
    z_relative[n, j] = z[n, j] - z_max[n]
    s_relative[n] = sum_j exp(z_relative[n, j])
    a[n, j] = exp(z_relative[n, j])/s_relative[n]

    Stable form of a[n, j] = e[n, j]/s[n].
    Shapes: z (N, J), a (N, J); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    J = a.shape[1]
    for n in range(first, last):
        z_max = z[n, 0]
        for j in range(J):
            if z[n, j] > z_max:
                z_max = z[n, j]
        s_relative = T(0)
        for j in range(J):
            s_relative += exp(z[n, j] - z_max)
        for j in range(J):
            a[n, j] = exp(z[n, j] - z_max) / s_relative


def softmax_input_sensitivity(a, delta_a, delta_z, first, last):
    r"""delta_z_sum[n] = sum_j1 a[n, j1]*delta_a[n, j1]
    delta_z[n, j] = (delta_a[n, j] - delta_z_sum[n])*a[n, j]

    From e[n, j] = exp(z[n, j]); s[n] = sum_j e[n, j]; a[n, j] = e[n, j]/s[n].
    Shapes: a (N, J), delta_a (N, J), delta_z (N, J); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    J = delta_z.shape[1]
    for n in range(first, last):
        delta_z_sum = T(0)
        for j1 in range(J):
            delta_z_sum += a[n, j1] * delta_a[n, j1]
        for j in range(J):
            delta_z[n, j] = (delta_a[n, j] - delta_z_sum) * a[n, j]


SOFTMAX = Layer(
    name="softmax",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            softmax_forward,
            arguments=("z[n, j]", "a[n, j]"),
            split="n",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            softmax_input_sensitivity,
            arguments=("a[n, j]", "delta_a[n, j]", "delta_z[n, j]"),
            split="n",
            writes=("delta_z",),
        ),
    ),
)
