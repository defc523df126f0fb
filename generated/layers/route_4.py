"""Route, as in Darknet: the channels of several layers one after the other, or one group of the channels of a single
one.

Forward equations:

    z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q] + x[n, c - D - E, p, q] + y[n, c - D - E - F, p, q]

Derived from them:

    delta_a[n, d, p, q] = delta_z[n, d, p, q]
    delta_b[n, e, p, q] = delta_z[n, e + D, p, q]
    delta_x[n, f, p, q] = delta_z[n, f + D + E, p, q]
    delta_y[n, g, p, q] = delta_z[n, g + D + E + F, p, q]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_c(D, E, F, G):
    """C = D + E + F + G"""
    return D + E + F + G


def route_4_forward(a, b, x, y, z, first, last):
    r"""z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q] + x[n, c - D - E, p, q] + y[n, c - D - E - F, p, q]

    Shapes: a (N, P, Q, D), b (N, P, Q, E), x (N, P, Q, F), y (N, P, Q, G), z (N, P, Q, C); float32 or float64,
    C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[3]
    D = a.shape[3]
    E = b.shape[3]
    F = x.shape[3]
    P = z.shape[1]
    Q = z.shape[2]
    last_c = min(C, D)
    last_c1 = min(C, D + E)
    last_c2 = min(C, D + E + F)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    z[n, p, q, c] = T(0)
                for c in range(last_c):
                    z[n, p, q, c] += a[n, p, q, c]
                for c in range(D, last_c1):
                    z[n, p, q, c] += b[n, p, q, c - D]
                for c in range(D + E, last_c2):
                    z[n, p, q, c] += x[n, p, q, c - D - E]
                for c in range(D + E + F, C):
                    z[n, p, q, c] += y[n, p, q, c - D - E - F]


def route_4_y_sensitivity(delta_z, delta_a, delta_b, delta_x, delta_y, first, last):
    r"""delta_a[n, d, p, q] = delta_z[n, d, p, q]
    delta_b[n, e, p, q] = delta_z[n, e + D, p, q]
    delta_x[n, f, p, q] = delta_z[n, f + D + E, p, q]
    delta_y[n, g, p, q] = delta_z[n, g + D + E + F, p, q]

    From z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q] + x[n, c - D - E, p, q] + y[n, c - D - E - F, p, q].
    Shapes: delta_z (N, P, Q, C), delta_a (N, P, Q, D), delta_b (N, P, Q, E), delta_x (N, P, Q, F), delta_y (N, P,
    Q, G); float32 or float64, C-contiguous.
    """
    D = delta_a.shape[3]
    E = delta_b.shape[3]
    F = delta_x.shape[3]
    G = delta_y.shape[3]
    P = delta_y.shape[1]
    Q = delta_y.shape[2]
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for d in range(D):
                    delta_a[n, p, q, d] = delta_z[n, p, q, d]
                for e in range(E):
                    delta_b[n, p, q, e] = delta_z[n, p, q, D + e]
                for f in range(F):
                    delta_x[n, p, q, f] = delta_z[n, p, q, D + E + f]
                for g in range(G):
                    delta_y[n, p, q, g] = delta_z[n, p, q, D + E + F + g]


ROUTE_4 = Layer(
    name="route_4",
    inputs=("a[n, d, p, q]", "b[n, e, p, q]", "x[n, f, p, q]", "y[n, g, p, q]"),
    outputs=("z[n, c, p, q]",),
    sizes={"c": size_c},
    forward=(
        Kernel(
            route_4_forward,
            arguments=("a[n, p, q, d]", "b[n, p, q, e]", "x[n, p, q, f]", "y[n, p, q, g]", "z[n, p, q, c]"),
            split="n",
            writes=("z",),
        ),
    ),
    backward=(
        Kernel(
            route_4_y_sensitivity,
            arguments=(
                "delta_z[n, p, q, c]",
                "delta_a[n, p, q, d]",
                "delta_b[n, p, q, e]",
                "delta_x[n, p, q, f]",
                "delta_y[n, p, q, g]",
            ),
            split="n",
            writes=("delta_a", "delta_b", "delta_x", "delta_y"),
        ),
    ),
)
