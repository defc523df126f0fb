"""Locally connected layer: a convolution whose weights and biases are each place's own (LeCun 1989).

Forward equations:

    z[n, o, i, j] = b[o, i, j] + sum_c sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]*w[i, j, o, c,
        u, v]

Derived from them:

    nabla_b[o, i, j] = sum_n delta_z[n, o, i, j]
    delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p +
        top)//stride)) sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride))
        delta_z[n, o, i, j]*w[i, j, o, c, p + top - i*stride, q + left - j*stride]
    nabla_w[i, j, o, c, u, v] = sum_n a[n, c, u + i*stride - top, v + j*stride - left]*delta_z[n, o, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_i(P, U, bottom, stride, top):
    """I = 1 + (bottom + top + P - U)//stride"""
    return (bottom + top + P - U) // stride + 1


def size_j(Q, V, left, right, stride):
    """J = 1 + (left + right + Q - V)//stride"""
    return (left + right + Q - V) // stride + 1


def local_forward(a, b, w, z, left, stride, top, first, last):
    r"""z[n, o, i, j] = b[o, i, j] + sum_c sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]*w[i, j, o, c,
        u, v]

    Shapes: a (N, P, Q, C), b (O, I, J), w (I, J, O, C, U, V), z (N, I, J, O); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = w.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[3]
    P = a.shape[1]
    Q = a.shape[2]
    U = w.shape[4]
    V = w.shape[5]
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for i in range(I):
            for j in range(J):
                for o in range(O):
                    total = T(0)
                    for c in range(C):
                        for u in range(max(0, top - i * stride), min(U, P + top - i * stride)):
                            for v in range(max(0, left - j * stride), min(V, Q + left - j * stride)):
                                total += a[n, u + i * stride - top, v + j * stride - left, c] * w[i, j, o, c, u, v]
                    z[n, i, j, o] = total + b[o, i, j]


def local_b_gradient(delta_z, nabla_b, first, last):
    r"""nabla_b[o, i, j] = sum_n delta_z[n, o, i, j]

    From z[n, o, i, j] = b[o, i, j] + sum_c sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]*w[i, j,
        o, c, u, v].
    Shapes: delta_z (N, I, J, O), nabla_b (O, I, J); float32 or float64, C-contiguous.
    """
    T = nabla_b.dtype.type
    I = nabla_b.shape[1]
    J = nabla_b.shape[2]
    N = delta_z.shape[0]
    for o in range(first, last):
        for i in range(I):
            for j in range(J):
                total = T(0)
                for n in range(N):
                    total += delta_z[n, i, j, o]
                nabla_b[o, i, j] = total


def local_input_sensitivity(delta_z, w, delta_a, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p +
        top)//stride)) sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride))
        delta_z[n, o, i, j]*w[i, j, o, c, p + top - i*stride, q + left - j*stride]

    From z[n, o, i, j] = b[o, i, j] + sum_c sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]*w[i, j,
        o, c, u, v].
    Shapes: delta_z (N, I, J, O), w (I, J, O, C, U, V), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    I = w.shape[0]
    J = w.shape[1]
    O = w.shape[2]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[4]
    V = w.shape[5]
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    total = T(0)
                    for o in range(O):
                        for i in range(max(0, (p + top + stride - U) // stride), min(I, (p + top) // stride + 1)):
                            for j in range(max(0, (q + left + stride - V) // stride), min(J, (q + left) // stride + 1)):
                                total += (
                                    delta_z[n, i, j, o] * w[i, j, o, c, p + top - i * stride, q + left - j * stride]
                                )
                    delta_a[n, p, q, c] = total


def local_w_gradient(a, delta_z, nabla_w, left, stride, top, first, last):
    r"""nabla_w[i, j, o, c, u, v] = sum_n a[n, c, u + i*stride - top, v + j*stride - left]*delta_z[n, o, i, j]

    From z[n, o, i, j] = b[o, i, j] + sum_c sum_u sum_v a[n, c, u + i*stride - top, v + j*stride - left]*w[i, j,
        o, c, u, v].
    Shapes: a (N, P, Q, C), delta_z (N, I, J, O), nabla_w (I, J, O, C, U, V); float32 or float64, C-contiguous.
    """
    T = nabla_w.dtype.type
    C = nabla_w.shape[3]
    J = nabla_w.shape[1]
    N = delta_z.shape[0]
    O = nabla_w.shape[2]
    P = a.shape[1]
    Q = a.shape[2]
    U = nabla_w.shape[4]
    V = nabla_w.shape[5]
    left = int(left)
    stride = int(stride)
    top = int(top)
    for i in range(first, last):
        for j in range(J):
            for o in range(O):
                for c in range(C):
                    for u in range(U):
                        for v in range(V):
                            total = T(0)
                            for n in range(N):
                                if (
                                    top <= u + i * stride
                                    and u + i * stride < P + top
                                    and left <= v + j * stride
                                    and v + j * stride < Q + left
                                ):
                                    total += a[n, u + i * stride - top, v + j * stride - left, c] * delta_z[n, i, j, o]
                            nabla_w[i, j, o, c, u, v] = total


LOCAL = Layer(
    name="local",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, o, i, j]",),
    parameters=("w[i, j, o, c, u, v]", "b[o, i, j]"),
    storage=("w[i, j, o, c, u, v]", "b[o, i, j]"),
    fan_in={"w": ("c", "u", "v")},
    settings={"stride": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"stride": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            local_forward,
            arguments=("a[n, p, q, c]", "b[o, i, j]", "w[i, j, o, c, u, v]", "z[n, i, j, o]"),
            split="n",
            writes=("z",),
            scalars=("left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            local_b_gradient,
            arguments=("delta_z[n, i, j, o]", "nabla_b[o, i, j]"),
            split="o",
            writes=("nabla_b",),
        ),
        Kernel(
            local_input_sensitivity,
            arguments=("delta_z[n, i, j, o]", "w[i, j, o, c, u, v]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            scalars=("left", "stride", "top"),
        ),
        Kernel(
            local_w_gradient,
            arguments=("a[n, p, q, c]", "delta_z[n, i, j, o]", "nabla_w[i, j, o, c, u, v]"),
            split="i",
            writes=("nabla_w",),
            scalars=("left", "stride", "top"),
        ),
    ),
)
