"""Average pooling (LeCun et al. 1989): the mean over each window of U by V units, its padding of zeros included.

Forward equations:

    z[n, c, i, j] = sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]/(U*V)

Derived from them:

    delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p + top)//stride))
        sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride)) delta_z[n, c, i,
        j]/(U*V)

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..lanes import ahead, lanes
from ..program import Kernel


def size_i(P, U, bottom, stride, top):
    """I = 1 + (bottom + top + P - U)//stride"""
    return (bottom + top + P - U) // stride + 1


def size_j(Q, V, left, right, stride):
    """J = 1 + (left + right + Q - V)//stride"""
    return (left + right + Q - V) // stride + 1


def average_pooling_forward(a, z, U, V, left, stride, top, first, last):
    r"""z[n, c, i, j] = sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]/(U*V)

    Shapes: a (N, P, Q, C), z (N, I, J, C); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    P = a.shape[1]
    Q = a.shape[2]
    U = int(U)
    V = int(V)
    left = int(left)
    stride = int(stride)
    top = int(top)
    c1 = T(1 / (U * V))
    for n in range(first, last):
        for i in range(I):
            first_u = max(0, top - i * stride)
            last_u = min(U, P + top - i * stride)
            for j in range(J):
                first_v = max(0, left - j * stride)
                last_v = min(V, Q + left - j * stride)
                for c in lanes(C):
                    total = T(0)
                    for u in range(first_u, last_u):
                        for v in range(first_v, last_v):
                            total += a[n, u + i * stride - top, v + j * stride - left, c]
                    z[n, i, j, c] = c1 * total


def average_pooling_input_sensitivity(delta_z, delta_a, U, V, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p + top)//stride))
        sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride)) delta_z[n, c, i,
        j]/(U*V)

    From z[n, c, i, j] = sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]/(U*V).
    Documents: average pooling (conditional, all sizes).
    Shapes: delta_z (N, I, J, C), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = int(U)
    V = int(V)
    left = int(left)
    stride = int(stride)
    top = int(top)
    c1 = T(1 / (U * V))
    for n in range(first, last):
        for p in range(P):
            first_i = max(0, (p + top + stride - U) // stride)
            last_i = min(I, (p + top) // stride + 1)
            for q in range(Q):
                first_j = max(0, (q + left + stride - V) // stride)
                last_j = min(J, (q + left) // stride + 1)
                for c in lanes(C):
                    total = T(0)
                    ahead(delta_z, (n, last_i, first_j, c))
                    for i in range(first_i, last_i):
                        for j in range(first_j, last_j):
                            total += delta_z[n, i, j, c]
                    delta_a[n, p, q, c] = c1 * total


AVERAGE_POOLING = Layer(
    name="average_pooling",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, c, i, j]",),
    settings={"U": 2, "V": 2, "stride": 2, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"U": 1, "V": 1, "stride": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            average_pooling_forward,
            arguments=("a[n, p, q, c]", "z[n, i, j, c]"),
            split="n",
            writes=("z",),
            lane="c",
            fixed=("U", "V", "left", "stride", "top"),
            scalars=("U", "V", "left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            average_pooling_input_sensitivity,
            arguments=("delta_z[n, i, j, c]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            lane="c",
            fixed=("U", "V", "left", "stride", "top"),
            scalars=("U", "V", "left", "stride", "top"),
        ),
    ),
)
