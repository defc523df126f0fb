"""Global average pooling (Lin et al. 2014): the mean over each plane.

Forward equations:

    z[n, c] = sum_p sum_q a[n, c, p, q]/(P*Q)

Derived from them:

    delta_a[n, c, p, q] = delta_z[n, c]/(P*Q)

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..lanes import lanes
from ..program import Kernel


def global_average_pooling_forward(a, z, first, last):
    r"""z[n, c] = sum_p sum_q a[n, c, p, q]/(P*Q)

    Shapes: a (N, P, Q, C), z (N, C); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[1]
    P = a.shape[1]
    Q = a.shape[2]
    c1 = T(1 / (P * Q))
    for n in range(first, last):
        for c in lanes(C):
            total = T(0)
            for p in range(P):
                for q in range(Q):
                    total += a[n, p, q, c]
            z[n, c] = c1 * total


def global_average_pooling_input_sensitivity(delta_z, delta_a, first, last):
    r"""delta_a[n, c, p, q] = delta_z[n, c]/(P*Q)

    From z[n, c] = sum_p sum_q a[n, c, p, q]/(P*Q).
    Shapes: delta_z (N, C), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    delta_a[n, p, q, c] = delta_z[n, c] / (T(P) * T(Q))


GLOBAL_AVERAGE_POOLING = Layer(
    name="global_average_pooling",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, c]",),
    forward=(
        Kernel(
            global_average_pooling_forward,
            arguments=("a[n, p, q, c]", "z[n, c]"),
            split="n",
            writes=("z",),
            lane="c",
        ),
    ),
    backward=(
        Kernel(
            global_average_pooling_input_sensitivity,
            arguments=("delta_z[n, c]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
        ),
    ),
)
