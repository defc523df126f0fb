"""Route, as in Darknet: the channels of several layers one after the other, or one group of the channels of a single
one.

Forward equations:

    z[n, c, p, q] = a[n, c + C*group_id, p, q]

Derived from them:

    delta_a[n, d, p, q] = {delta_z[n, d - C*group_id, p, q] if (C*group_id - d <= 0) & (C + C*group_id - d >= 1);
        0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_c(D, groups):
    """C = D//groups"""
    return D // groups


def given_1(C, D, groups):
    """D = C*groups"""
    return C * groups == D


def given_2(group_id, groups):
    """group_id < groups"""
    return group_id < groups


def route_forward(a, z, group_id, first, last):
    r"""z[n, c, p, q] = a[n, c + C*group_id, p, q]

    Shapes: a (N, P, Q, D), z (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[3]
    D = a.shape[3]
    P = z.shape[1]
    Q = z.shape[2]
    group_id = int(group_id)
    last_c = min(C, D - C * group_id)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    z[n, p, q, c] = T(0)
                for c in range(last_c):
                    z[n, p, q, c] += a[n, p, q, c + C * group_id]


def route_input_sensitivity(delta_z, delta_a, group_id, first, last):
    r"""delta_a[n, d, p, q] = {delta_z[n, d - C*group_id, p, q] if (C*group_id - d <= 0) & (C + C*group_id - d >= 1);
        0 otherwise}

    From z[n, c, p, q] = a[n, c + C*group_id, p, q].
    Shapes: delta_z (N, P, Q, C), delta_a (N, P, Q, D); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_z.shape[3]
    D = delta_a.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    group_id = int(group_id)
    last_d = min(D, C + C * group_id)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for d in range(D):
                    delta_a[n, p, q, d] = T(0)
                for d in range(C * group_id, last_d):
                    delta_a[n, p, q, d] += delta_z[n, p, q, d - C * group_id]


ROUTE = Layer(
    name="route",
    inputs=("a[n, d, p, q]",),
    outputs=("z[n, c, p, q]",),
    settings={"groups": 1, "group_id": 0},
    counts={"groups": 1, "group_id": 0},
    sizes={"c": size_c},
    given=(given_1, given_2),
    forms=("route_2", "route_3", "route_4"),
    forward=(
        Kernel(
            route_forward,
            arguments=("a[n, p, q, d]", "z[n, p, q, c]"),
            split="n",
            writes=("z",),
            scalars=("group_id",),
        ),
    ),
    backward=(
        Kernel(
            route_input_sensitivity,
            arguments=("delta_z[n, p, q, c]", "delta_a[n, p, q, d]"),
            split="n",
            writes=("delta_a",),
            scalars=("group_id",),
        ),
    ),
)
