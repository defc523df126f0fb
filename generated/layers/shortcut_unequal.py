"""Shortcut (He et al. 2016): the sum of two layers' outputs.

Where they differ in size, as in Darknet: channels that b lacks are zero, those that it has too many are left out,
and of
larger planes each `stride`-th row and column is taken.

Forward equations:

    z[n, c, p, q] = a[n, c, p, q] + b[n, c, p*stride, q*stride]

Derived from them:

    delta_a[n, c, p, q] = delta_z[n, c, p, q]
    delta_b[n, d, r, s] = {delta_z[n, d, r//stride, s//stride] if r mod stride = 0 & s mod stride = 0 & (C - d >=
        1) & (r + stride - P*stride <= 0) & (s + stride - Q*stride <= 0); 0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_stride(P, R):
    """stride = (P + R - 1)//P"""
    return (P + R - 1) // P


def given_1(P, R, stride):
    """P = 1 + (R - 1)//stride"""
    return (R - 1) // stride + 1 == P


def given_2(Q, S, stride):
    """Q = 1 + (S - 1)//stride"""
    return (S - 1) // stride + 1 == Q


def shortcut_unequal_forward(a, b, z, stride, first, last):
    r"""z[n, c, p, q] = a[n, c, p, q] + b[n, c, p*stride, q*stride]

    Shapes: a (N, P, Q, C), b (N, R, S, D), z (N, P, Q, C); float32 or float64, C-contiguous.
    """
    C = z.shape[3]
    D = b.shape[3]
    P = z.shape[1]
    Q = z.shape[2]
    R = b.shape[1]
    S = b.shape[2]
    stride = int(stride)
    last_c = min(C, D)
    last_q = min(Q, (S - 1) // stride + 1)
    last_p = min(P, (R - 1) // stride + 1)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    z[n, p, q, c] = a[n, p, q, c]
        for p in range(last_p):
            for q in range(last_q):
                for c in range(last_c):
                    z[n, p, q, c] += b[n, p * stride, q * stride, c]


def shortcut_unequal_b_sensitivity(delta_z, delta_a, delta_b, stride, first, last):
    r"""delta_a[n, c, p, q] = delta_z[n, c, p, q]
    delta_b[n, d, r, s] = {delta_z[n, d, r//stride, s//stride] if r mod stride = 0 & s mod stride = 0 & (C - d >=
        1) & (r + stride - P*stride <= 0) & (s + stride - Q*stride <= 0); 0 otherwise}

    From z[n, c, p, q] = a[n, c, p, q] + b[n, c, p*stride, q*stride].
    Shapes: delta_z (N, P, Q, C), delta_a (N, P, Q, C), delta_b (N, R, S, D); float32 or float64, C-contiguous.
    """
    T = delta_b.dtype.type
    C = delta_a.shape[3]
    D = delta_b.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    R = delta_b.shape[1]
    S = delta_b.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    delta_a[n, p, q, c] = delta_z[n, p, q, c]
        for r in range(R):
            for s in range(S):
                for d in range(D):
                    delta_b[n, r, s, d] = T(0)
                    if (
                        d < C
                        and r + stride <= P * stride
                        and s + stride <= Q * stride
                        and r % stride == 0
                        and s % stride == 0
                    ):
                        delta_b[n, r, s, d] += delta_z[n, r // stride, s // stride, d]


SHORTCUT_UNEQUAL = Layer(
    name="shortcut_unequal",
    inputs=("a[n, c, p, q]", "b[n, d, r, s]"),
    outputs=("z[n, c, p, q]",),
    settings={"stride": 1},
    counts={"stride": 1},
    sizes={"stride": size_stride},
    given=(given_1, given_2),
    forward=(
        Kernel(
            shortcut_unequal_forward,
            arguments=("a[n, p, q, c]", "b[n, r, s, d]", "z[n, p, q, c]"),
            split="n",
            writes=("z",),
            scalars=("stride",),
        ),
    ),
    backward=(
        Kernel(
            shortcut_unequal_b_sensitivity,
            arguments=("delta_z[n, p, q, c]", "delta_a[n, p, q, c]", "delta_b[n, r, s, d]"),
            split="n",
            writes=("delta_a", "delta_b"),
            scalars=("stride",),
        ),
    ),
)
