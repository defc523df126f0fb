"""Reorg, as in Darknet: planes of fewer rows and columns, `stride` squared times the channels; no value lost or
changed.

Darknet (pjreddie/darknet, src/blas.c, with reverse=0) takes the values of a sample, as they lie, for C / stride^2
planes that are `stride` times as high and as wide. Their blocks are of stride by stride units, each of which has
channels
of its own in planes v of the input's sizes; the values of these, as they lie, are then taken for the output.

Forward equations:

    v[n, c, p, q] = a[n, stride**2*(c mod (C//stride**2)) + (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q)//P, (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q) mod P, (q*stride + (c//(C//stride**2)) mod stride) mod Q]
    z[n, d, i, j] = v[n, d//stride**2, (i + I*(d mod stride**2))//stride, j + J*((i + I*(d mod stride**2)) mod
        stride)]

Derived from them:

    delta_v[n, c, p, q] = sum_(c*stride**2 <= d <= Min(D - 1, stride**2 + c*stride**2 - 1)) sum_i {delta_z[n, d,
        i, q - J*((i + I*(d mod stride**2)) mod stride)] if (i + I*(d mod stride**2) - p*stride >= 0) & (i + I*(d
        mod stride**2) - stride - p*stride <= -1) & (J*((i + I*(d mod stride**2)) mod stride) - q <= 0) & (J +
        J*((i + I*(d mod stride**2)) mod stride) - q >= 1); 0 otherwise}
    delta_a[n, c, p, q] = sum_c1 sum_p1 sum_q1 [c = stride**2*(c1 mod (C//stride**2)) + (p1*stride**2 +
        stride*((c1//(C//stride**2))//stride) + (q1*stride + (c1//(C//stride**2)) mod stride)//Q)//P]*[p =
        (p1*stride**2 + stride*((c1//(C//stride**2))//stride) + (q1*stride + (c1//(C//stride**2)) mod stride)//Q)
        mod P]*[q = (q1*stride + (c1//(C//stride**2)) mod stride) mod Q]*delta_v[n, c1, p1, q1]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def size_d(C, stride):
    """D = C*stride**2"""
    return C * stride**2


def size_i(P, stride):
    """I = P//stride"""
    return P // stride


def size_j(Q, stride):
    """J = Q//stride"""
    return Q // stride


def given_1(C, stride):
    """C = stride**2*(C//stride**2)"""
    return stride**2 * (C // stride**2) == C


def given_2(P, stride):
    """P = stride*(P//stride)"""
    return stride * (P // stride) == P


def given_3(Q, stride):
    """Q = stride*(Q//stride)"""
    return stride * (Q // stride) == Q


def reorg_v(a, v, stride, first, last):
    r"""v[n, c, p, q] = a[n, stride**2*(c mod (C//stride**2)) + (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q)//P, (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q) mod P, (q*stride + (c//(C//stride**2)) mod stride) mod Q]

    Shapes: a (N, P, Q, C), v (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = v.dtype.type
    C = v.shape[3]
    P = v.shape[1]
    Q = v.shape[2]
    stride = int(stride)
    at = C // stride**2
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    v[n, p, q, c] = T(0)
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    if (
                        stride**2 * (c % at)
                        + (p * stride**2 + stride * ((c // at) // stride) + (q * stride + (c // at) % stride) // Q) // P
                        >= 0
                        and stride**2 * (c % at)
                        + (p * stride**2 + stride * ((c // at) // stride) + (q * stride + (c // at) % stride) // Q) // P
                        < C
                    ):
                        v[n, p, q, c] += a[
                            n,
                            (stride * (p * stride + (c // at) // stride) + (q * stride + (c // at) % stride) // Q) % P,
                            (q * stride + (c // at) % stride) % Q,
                            stride**2 * (c % at)
                            + (stride * (p * stride + (c // at) // stride) + (q * stride + (c // at) % stride) // Q)
                            // P,
                        ]


def reorg_forward(v, z, stride, first, last):
    r"""z[n, d, i, j] = v[n, d//stride**2, (i + I*(d mod stride**2))//stride, j + J*((i + I*(d mod stride**2)) mod
        stride)]

    Shapes: v (N, P, Q, C), z (N, I, J, D); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    D = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    P = v.shape[1]
    Q = v.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for i in range(I):
            for j in range(J):
                for d in range(D):
                    z[n, i, j, d] = T(0)
        for i in range(I):
            for j in range(J):
                for d in range(D):
                    if i + I * (d % stride**2) < P * stride and j + J * ((i + I * (d % stride**2)) % stride) < Q:
                        z[n, i, j, d] += v[
                            n,
                            (i + I * (d % stride**2)) // stride,
                            j + J * ((i + I * (d % stride**2)) % stride),
                            d // stride**2,
                        ]


def reorg_delta_v(delta_z, delta_v, stride, first, last):
    r"""delta_v[n, c, p, q] = sum_(c*stride**2 <= d <= Min(D - 1, stride**2 + c*stride**2 - 1)) sum_i {delta_z[n, d,
        i, q - J*((i + I*(d mod stride**2)) mod stride)] if (i + I*(d mod stride**2) - p*stride >= 0) & (i + I*(d
        mod stride**2) - stride - p*stride <= -1) & (J*((i + I*(d mod stride**2)) mod stride) - q <= 0) & (J +
        J*((i + I*(d mod stride**2)) mod stride) - q >= 1); 0 otherwise}

    From v[n, c, p, q] = a[n, stride**2*(c mod (C//stride**2)) + (stride*(p*stride + (c//(C//stride**2))//stride)
        + (q*stride + (c//(C//stride**2)) mod stride)//Q)//P, (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q) mod P, (q*stride + (c//(C//stride**2)) mod stride) mod Q];
        z[n, d, i, j] = v[n, d//stride**2, (i + I*(d mod stride**2))//stride, j + J*((i + I*(d mod stride**2)) mod
        stride)].
    Shapes: delta_z (N, I, J, D), delta_v (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_v.dtype.type
    C = delta_v.shape[3]
    D = delta_z.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = delta_v.shape[1]
    Q = delta_v.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    total = T(0)
                    for d in range(c * stride**2, min(D, stride**2 + c * stride**2)):
                        for i in range(I):
                            if (
                                p * stride <= i + I * (d % stride**2)
                                and i + I * (d % stride**2) < stride + p * stride
                                and J * ((i + I * (d % stride**2)) % stride) <= q
                                and q < J + J * ((i + I * (d % stride**2)) % stride)
                            ):
                                total += delta_z[n, i, q - J * ((i + I * (d % stride**2)) % stride), d]
                    delta_v[n, p, q, c] = total


def reorg_input_sensitivity(delta_v, delta_a, stride, first, last):
    r"""delta_a[n, c, p, q] = sum_c1 sum_p1 sum_q1 [c = stride**2*(c1 mod (C//stride**2)) + (p1*stride**2 +
        stride*((c1//(C//stride**2))//stride) + (q1*stride + (c1//(C//stride**2)) mod stride)//Q)//P]*[p =
        (p1*stride**2 + stride*((c1//(C//stride**2))//stride) + (q1*stride + (c1//(C//stride**2)) mod stride)//Q)
        mod P]*[q = (q1*stride + (c1//(C//stride**2)) mod stride) mod Q]*delta_v[n, c1, p1, q1]

    From v[n, c, p, q] = a[n, stride**2*(c mod (C//stride**2)) + (stride*(p*stride + (c//(C//stride**2))//stride)
        + (q*stride + (c//(C//stride**2)) mod stride)//Q)//P, (stride*(p*stride + (c//(C//stride**2))//stride) +
        (q*stride + (c//(C//stride**2)) mod stride)//Q) mod P, (q*stride + (c//(C//stride**2)) mod stride) mod Q];
        z[n, d, i, j] = v[n, d//stride**2, (i + I*(d mod stride**2))//stride, j + J*((i + I*(d mod stride**2)) mod
        stride)].
    Shapes: delta_v (N, P, Q, C), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    stride = int(stride)
    for n in span(first, last):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    delta_a[n, p, q, c] = T(0)
    for c1 in range(C):
        for p1 in range(P):
            for q1 in range(Q):
                q = (q1 * stride + (c1 // (C // stride**2)) % stride) % Q
                if 0 <= q < Q:
                    p = (
                        p1 * stride**2
                        + stride * ((c1 // (C // stride**2)) // stride)
                        + (q1 * stride + (c1 // (C // stride**2)) % stride) // Q
                    ) % P
                    if 0 <= p < P:
                        c = (
                            stride**2 * (c1 % (C // stride**2))
                            + (
                                p1 * stride**2
                                + stride * ((c1 // (C // stride**2)) // stride)
                                + (q1 * stride + (c1 // (C // stride**2)) % stride) // Q
                            )
                            // P
                        )
                        if 0 <= c < C:
                            for n in span(first, last):
                                delta_a[n, p, q, c] += delta_v[n, p1, q1, c1]


REORG = Layer(
    name="reorg",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, d, i, j]",),
    buffers=("v[n, p, q, c]", "delta_v[n, p, q, c]"),
    settings={"stride": 2},
    counts={"stride": 1},
    sizes={"d": size_d, "i": size_i, "j": size_j},
    given=(given_1, given_2, given_3),
    forward=(
        Kernel(
            reorg_v,
            arguments=("a[n, p, q, c]", "v[n, p, q, c]"),
            split="n",
            writes=("v",),
            scalars=("stride",),
        ),
        Kernel(
            reorg_forward,
            arguments=("v[n, p, q, c]", "z[n, i, j, d]"),
            split="n",
            writes=("z",),
            scalars=("stride",),
        ),
    ),
    backward=(
        Kernel(
            reorg_delta_v,
            arguments=("delta_z[n, i, j, d]", "delta_v[n, p, q, c]"),
            split="n",
            writes=("delta_v",),
            scalars=("stride",),
        ),
        Kernel(
            reorg_input_sensitivity,
            arguments=("delta_v[n, p, q, c]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            scalars=("stride",),
        ),
    ),
)
