"""Nearest upsampling: every unit of a plane becomes `stride` by `stride` equal ones.

Forward equations:

    z[n, c, i, j] = a[n, c, i//stride, j//stride]

Derived from them:

    delta_a[n, c, p, q] = sum_(p*stride <= i <= Min(I - 1, stride + p*stride - 1)) sum_(q*stride <= j <= Min(J -
        1, stride + q*stride - 1)) delta_z[n, c, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..lanes import lanes
from ..program import Kernel


def size_i(P, stride):
    """I = P*stride"""
    return P * stride


def size_j(Q, stride):
    """J = Q*stride"""
    return Q * stride


def upsample_forward(a, z, stride, first, last):
    r"""z[n, c, i, j] = a[n, c, i//stride, j//stride]

    Shapes: a (N, P, Q, C), z (N, I, J, C); float32 or float64, C-contiguous.
    """
    C = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for i in range(I):
            p1 = i // stride
            for j in range(J):
                q1 = j // stride
                for c in lanes(C):
                    z[n, i, j, c] = a[n, p1, q1, c]


def upsample_input_sensitivity(delta_z, delta_a, stride, first, last):
    r"""delta_a[n, c, p, q] = sum_(p*stride <= i <= Min(I - 1, stride + p*stride - 1)) sum_(q*stride <= j <= Min(J -
        1, stride + q*stride - 1)) delta_z[n, c, i, j]

    From z[n, c, i, j] = a[n, c, i//stride, j//stride].
    Shapes: delta_z (N, I, J, C), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for p in range(P):
            last_i = min(I, stride + p * stride)
            for q in range(Q):
                last_j = min(J, stride + q * stride)
                for c in lanes(C):
                    total = T(0)
                    for i in range(p * stride, last_i):
                        for j in range(q * stride, last_j):
                            total += delta_z[n, i, j, c]
                    delta_a[n, p, q, c] = total


UPSAMPLE = Layer(
    name="upsample",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, c, i, j]",),
    settings={"stride": 2},
    counts={"stride": 1},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            upsample_forward,
            arguments=("a[n, p, q, c]", "z[n, i, j, c]"),
            split="n",
            writes=("z",),
            lane="c",
            fixed=("stride",),
            scalars=("stride",),
        ),
    ),
    backward=(
        Kernel(
            upsample_input_sensitivity,
            arguments=("delta_z[n, i, j, c]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            lane="c",
            fixed=("stride",),
            scalars=("stride",),
        ),
    ),
)
