"""Route, as in Darknet: the channels of several layers one after the other, or one group of the channels of a single
one.

Forward equations:

    z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q]

Derived from them:

    delta_a[n, d, p, q] = delta_z[n, d, p, q]
    delta_b[n, e, p, q] = delta_z[n, e + D, p, q]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_c(D, E):
    """C = D + E"""
    return D + E


def route_2_forward(a, b, z, first, last):
    r"""z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q]

    Shapes: a (N, P, Q, D), b (N, P, Q, E), z (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[3]
    D = a.shape[3]
    P = z.shape[1]
    Q = z.shape[2]
    last_c = min(C, D)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    z[n, p, q, c] = T(0)
                for c in range(last_c):
                    z[n, p, q, c] += a[n, p, q, c]
                for c in range(D, C):
                    z[n, p, q, c] += b[n, p, q, c - D]


def route_2_b_sensitivity(delta_z, delta_a, delta_b, first, last):
    r"""delta_a[n, d, p, q] = delta_z[n, d, p, q]
    delta_b[n, e, p, q] = delta_z[n, e + D, p, q]

    From z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q].
    Shapes: delta_z (N, P, Q, C), delta_a (N, P, Q, D), delta_b (N, P, Q, E); float32 or float64, C-contiguous.
    """
    D = delta_a.shape[3]
    E = delta_b.shape[3]
    P = delta_b.shape[1]
    Q = delta_b.shape[2]
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for d in range(D):
                    delta_a[n, p, q, d] = delta_z[n, p, q, d]
                for e in range(E):
                    delta_b[n, p, q, e] = delta_z[n, p, q, D + e]


ROUTE_2 = Layer(
    name="route_2",
    inputs=("a[n, d, p, q]", "b[n, e, p, q]"),
    outputs=("z[n, c, p, q]",),
    sizes={"c": size_c},
    forward=(
        Kernel(
            route_2_forward,
            arguments=("a[n, p, q, d]", "b[n, p, q, e]", "z[n, p, q, c]"),
            split="n",
            writes=("z",),
        ),
    ),
    backward=(
        Kernel(
            route_2_b_sensitivity,
            arguments=("delta_z[n, p, q, c]", "delta_a[n, p, q, d]", "delta_b[n, p, q, e]"),
            split="n",
            writes=("delta_a", "delta_b"),
        ),
    ),
)
