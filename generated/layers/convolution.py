"""Convolutional layer with stride, dilation and zero padding (LeCun et al. 1989); as the field has it, a cross-
correlation.

Forward equations:

    z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

Derived from them:

    nabla_b[o] = sum_n sum_i sum_j delta_z[n, o, i, j]
    delta_a[n, c, p, q] = sum_o sum_i sum_j sum_u sum_v [p = i*stride + dilation*u - top]*[q = j*stride +
        dilation*v - left]*delta_z[n, o, i, j]*w[o, c, u, v]
    nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..lanes import double, lanes
from ..program import Kernel


def size_i(P, U, bottom, dilation, stride, top):
    """I = 1 + (bottom + top + P - 1 - dilation*(U - 1))//stride"""
    return (bottom + top + P - dilation * (U - 1) - 1) // stride + 1


def size_j(Q, V, dilation, left, right, stride):
    """J = 1 + (left + right + Q - 1 - dilation*(V - 1))//stride"""
    return (left + right + Q - dilation * (V - 1) - 1) // stride + 1


def convolution_forward(a, b, w, z, dilation, left, stride, top, first, last):
    r"""z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

    Shapes: a (N, P, Q, C), b (O,), w (O, C, U, V), z (N, I, J, O); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = w.shape[1]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[3]
    P = a.shape[1]
    Q = a.shape[2]
    U = w.shape[2]
    V = w.shape[3]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for i in range(I):
            for j in range(J):
                for o in range(O):
                    total = T(0)
                    for c in range(C):
                        for u in range(
                            max(0, (top + dilation - i * stride - 1) // dilation),
                            min(U, (P + top - i * stride - 1) // dilation + 1),
                        ):
                            for v in range(
                                max(0, (left + dilation - j * stride - 1) // dilation),
                                min(V, (Q + left - j * stride - 1) // dilation + 1),
                            ):
                                total += (
                                    a[n, i * stride + dilation * u - top, j * stride + dilation * v - left, c]
                                    * w[o, c, u, v]
                                )
                    z[n, i, j, o] = total + b[o]


def convolution_nabla_b_part(delta_z, nabla_b_part, first, last):
    r"""nabla_b_part[n, o] = sum_i sum_j delta_z[n, o, i, j]

    Shapes: delta_z (N, I, J, O), nabla_b_part (N, O); float32 or float64, nabla_b_part float64, C-contiguous.
    """
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = delta_z.shape[3]
    for n in range(first, last):
        for o in lanes(O):
            total = 0.0
            for i in range(I):
                for j in range(J):
                    total += double(delta_z[n, i, j, o])
            nabla_b_part[n, o] = total


def convolution_w_gradient(nabla_b_part, a, delta_z, nabla_b, nabla_w, dilation, left, stride, top, first, last):
    r"""nabla_b[o] = sum_n nabla_b_part[n, o]
    nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-3 (conditional, all sizes).
    Shapes: nabla_b_part (N, O), a (N, P, Q, C), delta_z (N, I, J, O), nabla_b (O,), nabla_w (O, C, U, V); float32
    or float64, nabla_b_part float64, C-contiguous.
    """
    T = nabla_w.dtype.type
    C = nabla_w.shape[1]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    P = a.shape[1]
    Q = a.shape[2]
    U = nabla_w.shape[2]
    V = nabla_w.shape[3]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    for o in range(first, last):
        total = T(0)
        for n in range(N):
            total += nabla_b_part[n, o]
        nabla_b[o] = total
        for c in range(C):
            for u in range(U):
                for v in range(V):
                    total1 = T(0)
                    for n in range(N):
                        for i in range(
                            max(0, (top + stride - dilation * u - 1) // stride),
                            min(I, (P + top - dilation * u - 1) // stride + 1),
                        ):
                            for j in range(
                                max(0, (left + stride - dilation * v - 1) // stride),
                                min(J, (Q + left - dilation * v - 1) // stride + 1),
                            ):
                                total1 += (
                                    a[n, i * stride + dilation * u - top, j * stride + dilation * v - left, c]
                                    * delta_z[n, i, j, o]
                                )
                    nabla_w[o, c, u, v] = total1


def convolution_input_sensitivity(delta_z, w, delta_a, dilation, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_o sum_i sum_j sum_u sum_v [p = i*stride + dilation*u - top]*[q = j*stride +
        dilation*v - left]*delta_z[n, o, i, j]*w[o, c, u, v]

    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-1 (conditional, all sizes); figure backward (conditional, the sizes of the figure: $r_{l} =
        2$, $q_{l} = 2$, $h_{l} = 2$, $k_{l} = 2$).
    Shapes: delta_z (N, I, J, O), w (O, C, U, V), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = w.shape[0]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[2]
    V = w.shape[3]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    total = T(0)
                    for o in range(O):
                        for i in range(I):
                            for j in range(J):
                                for u in range(U):
                                    for v in range(V):
                                        if (
                                            p == i * stride + dilation * u - top
                                            and q == j * stride + dilation * v - left
                                        ):
                                            total += delta_z[n, i, j, o] * w[o, c, u, v]
                    delta_a[n, p, q, c] = total


CONVOLUTION = Layer(
    name="convolution",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, o, i, j]",),
    parameters=("w[o, c, u, v]", "b[o]"),
    storage=("w[o, c, u, v]", "b[o]"),
    fan_in={"w": ("c", "u", "v")},
    buffers=("nabla_b_part[n, o]: float64",),
    settings={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            convolution_forward,
            arguments=("a[n, p, q, c]", "b[o]", "w[o, c, u, v]", "z[n, i, j, o]"),
            split="n",
            writes=("z",),
            scalars=("dilation", "left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            convolution_nabla_b_part,
            arguments=("delta_z[n, i, j, o]", "nabla_b_part[n, o]: float64"),
            split="n",
            writes=("nabla_b_part",),
            lane="o",
        ),
        Kernel(
            convolution_w_gradient,
            arguments=(
                "nabla_b_part[n, o]: float64",
                "a[n, p, q, c]",
                "delta_z[n, i, j, o]",
                "nabla_b[o]",
                "nabla_w[o, c, u, v]",
            ),
            split="o",
            writes=("nabla_b", "nabla_w"),
            scalars=("dilation", "left", "stride", "top"),
        ),
        Kernel(
            convolution_input_sensitivity,
            arguments=("delta_z[n, i, j, o]", "w[o, c, u, v]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            scalars=("dilation", "left", "stride", "top"),
        ),
    ),
)
