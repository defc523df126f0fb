"""Reorg, as in Darknet: planes of fewer rows and columns and `stride` squared times the channels, no value lost or
changed.

The loop that moves the values (pjreddie/darknet, src/blas.c, reverse=0) reads the channels C as C / stride^2 planes
that are
`stride` times as high and as wide, each of whose blocks of stride by stride units holds one unit of every channel
of its own;
what it makes has the sizes of the input, and is then seen as the planes of the output, without a value moved.

Forward equations:

    z[n, d, i, j] = a[n, stride**2*(d//stride**2 mod C//stride**2) + (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q)//P, (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q) mod P, (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride) mod Q]

Derived from them:

    delta_a[n, c, p, q] = sum_d sum_i sum_j [c = stride**2*(d//stride**2 mod C//stride**2) +
        (stride*d//stride**2//C//stride**2//stride + stride**2*(i + I*(d mod stride**2))//stride + (j*stride +
        J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride)//Q)//P]*[p =
        (stride*d//stride**2//C//stride**2//stride + stride**2*(i + I*(d mod stride**2))//stride + (j*stride +
        J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride)//Q) mod P]*[q =
        (j*stride + J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride) mod
        Q]*delta_z[n, d, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


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
    """C = stride**2*C//stride**2"""
    return stride**2 * (C // stride**2) == C


def given_2(P, stride):
    """P = stride*P//stride"""
    return stride * (P // stride) == P


def given_3(Q, stride):
    """Q = stride*Q//stride"""
    return stride * (Q // stride) == Q


def reorg_forward(a, z, stride, first, last):
    r"""z[n, d, i, j] = a[n, stride**2*(d//stride**2 mod C//stride**2) + (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q)//P, (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q) mod P, (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride) mod Q]

    Shapes: a (N, P, Q, C), z (N, I, J, D); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = a.shape[3]
    D = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    P = a.shape[1]
    Q = a.shape[2]
    stride = int(stride)
    at = C // stride**2
    for n in range(first, last):
        for i in range(I):
            for j in range(J):
                for d in range(D):
                    z[n, i, j, d] = T(0)
        for i in range(I):
            for j in range(J):
                for d in range(D):
                    if (
                        stride**2 * ((d // stride**2) % at)
                        + (
                            stride * (((d // stride**2) // at) // stride)
                            + stride**2 * ((i + I * (d % stride**2)) // stride)
                            + (
                                j * stride
                                + J * stride * ((i + I * (d % stride**2)) % stride)
                                + ((d // stride**2) // at) % stride
                            )
                            // Q
                        )
                        // P
                        >= 0
                        and stride**2 * ((d // stride**2) % at)
                        + (
                            stride * (((d // stride**2) // at) // stride)
                            + stride**2 * ((i + I * (d % stride**2)) // stride)
                            + (
                                j * stride
                                + J * stride * ((i + I * (d % stride**2)) % stride)
                                + ((d // stride**2) // at) % stride
                            )
                            // Q
                        )
                        // P
                        < C
                        and (
                            stride * (((d // stride**2) // at) // stride)
                            + stride**2 * ((i + I * (d % stride**2)) // stride)
                            + (
                                j * stride
                                + J * stride * ((i + I * (d % stride**2)) % stride)
                                + ((d // stride**2) // at) % stride
                            )
                            // Q
                        )
                        % P
                        < P
                        and (
                            j * stride
                            + J * stride * ((i + I * (d % stride**2)) % stride)
                            + ((d // stride**2) // at) % stride
                        )
                        % Q
                        < Q
                    ):
                        z[n, i, j, d] += a[
                            n,
                            (
                                stride
                                * (stride * ((i + I * (d % stride**2)) // stride) + ((d // stride**2) // at) // stride)
                                + (
                                    stride * (j + J * ((i + I * (d % stride**2)) % stride))
                                    + ((d // stride**2) // at) % stride
                                )
                                // Q
                            )
                            % P,
                            (
                                stride * (j + J * ((i + I * (d % stride**2)) % stride))
                                + ((d // stride**2) // at) % stride
                            )
                            % Q,
                            stride**2 * ((d // stride**2) % at)
                            + (
                                stride
                                * (stride * ((i + I * (d % stride**2)) // stride) + ((d // stride**2) // at) // stride)
                                + (
                                    stride * (j + J * ((i + I * (d % stride**2)) % stride))
                                    + ((d // stride**2) // at) % stride
                                )
                                // Q
                            )
                            // P,
                        ]


def reorg_input_sensitivity(delta_z, delta_a, stride, first, last):
    r"""delta_a[n, c, p, q] = sum_d sum_i sum_j [c = stride**2*(d//stride**2 mod C//stride**2) +
        (stride*d//stride**2//C//stride**2//stride + stride**2*(i + I*(d mod stride**2))//stride + (j*stride +
        J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride)//Q)//P]*[p =
        (stride*d//stride**2//C//stride**2//stride + stride**2*(i + I*(d mod stride**2))//stride + (j*stride +
        J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride)//Q) mod P]*[q =
        (j*stride + J*stride*((i + I*(d mod stride**2)) mod stride) + d//stride**2//C//stride**2 mod stride) mod
        Q]*delta_z[n, d, i, j]

    From z[n, d, i, j] = a[n, stride**2*(d//stride**2 mod C//stride**2) + (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q)//P, (stride*(stride*(i + I*(d mod
        stride**2))//stride + d//stride**2//C//stride**2//stride) + (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride)//Q) mod P, (stride*(j + J*((i + I*(d mod stride**2)) mod
        stride)) + d//stride**2//C//stride**2 mod stride) mod Q].
    Shapes: delta_z (N, I, J, D), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    D = delta_z.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    total = T(0)
                    for d in range(D):
                        for i in range(I):
                            for j in range(J):
                                if (
                                    c
                                    == stride**2 * ((d // stride**2) % (C // stride**2))
                                    + (
                                        stride * (((d // stride**2) // (C // stride**2)) // stride)
                                        + stride**2 * ((i + I * (d % stride**2)) // stride)
                                        + (
                                            j * stride
                                            + J * stride * ((i + I * (d % stride**2)) % stride)
                                            + ((d // stride**2) // (C // stride**2)) % stride
                                        )
                                        // Q
                                    )
                                    // P
                                    and p
                                    == (
                                        stride * (((d // stride**2) // (C // stride**2)) // stride)
                                        + stride**2 * ((i + I * (d % stride**2)) // stride)
                                        + (
                                            j * stride
                                            + J * stride * ((i + I * (d % stride**2)) % stride)
                                            + ((d // stride**2) // (C // stride**2)) % stride
                                        )
                                        // Q
                                    )
                                    % P
                                    and q
                                    == (
                                        j * stride
                                        + J * stride * ((i + I * (d % stride**2)) % stride)
                                        + ((d // stride**2) // (C // stride**2)) % stride
                                    )
                                    % Q
                                ):
                                    total += delta_z[n, i, j, d]
                    delta_a[n, p, q, c] = total


REORG = Layer(
    name="reorg",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, d, i, j]",),
    settings={"stride": 2},
    counts={"stride": 1},
    sizes={"d": size_d, "i": size_i, "j": size_j},
    given=(given_1, given_2, given_3),
    forward=(
        Kernel(
            reorg_forward,
            arguments=("a[n, p, q, c]", "z[n, i, j, d]"),
            split="n",
            writes=("z",),
            scalars=("stride",),
        ),
    ),
    backward=(
        Kernel(
            reorg_input_sensitivity,
            arguments=("delta_z[n, i, j, d]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            scalars=("stride",),
        ),
    ),
)
