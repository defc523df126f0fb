"""Convolution of each channel by a filter of its own (Howard et al. 2017): as many groups as channels.

Forward equations:

    z[n, c, i, j] = b[c] + sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v - left]*w[c, u,
        v]

Derived from them:

    nabla_b[c] = sum_n sum_i sum_j delta_z[n, c, i, j]
    delta_a[n, c, p, q] = sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p +
        top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, c, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[c, u,
        v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}
    nabla_w[c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, c, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from math import gcd

from ..definition import Layer
from ..engine import first_tap
from ..lanes import ahead_in_part, double, fma, lanes, near
from ..program import Kernel


def size_i(P, U, bottom, dilation, stride, top):
    """I = 1 + (bottom + top + P - 1 - dilation*(U - 1))//stride"""
    return (bottom + top + P - dilation * (U - 1) - 1) // stride + 1


def size_j(Q, V, dilation, left, right, stride):
    """J = 1 + (left + right + Q - 1 - dilation*(V - 1))//stride"""
    return (left + right + Q - dilation * (V - 1) - 1) // stride + 1


def depthwise_convolution_forward(a, b, w, z, dilation, left, stride, top, first, last):
    r"""z[n, c, i, j] = b[c] + sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v - left]*w[c, u,
        v]

    Shapes: a (N, P, Q, C), b (C,), w (U, V, C), z (N, I, J, C); float32 or float64, C-contiguous.
    """
    T = z.dtype.type
    C = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    P = a.shape[1]
    Q = a.shape[2]
    U = w.shape[0]
    V = w.shape[1]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for i in range(I):
            first_u = max(0, (top + dilation - i * stride - 1) // dilation)
            last_u = min(U, (P + top - i * stride - 1) // dilation + 1)
            for c in lanes(C):
                near_w = near(w, c)
                for j in range(J):
                    first_v = max(0, (left + dilation - j * stride - 1) // dilation)
                    last_v = min(V, (Q + left - j * stride - 1) // dilation + 1)
                    total = T(0)
                    for u in range(U):
                        for v in range(V):
                            if first_u <= u and first_v <= v and u < last_u and v < last_v:
                                total = fma(
                                    near_w[u, v],
                                    a[n, i * stride + dilation * u - top, j * stride + dilation * v - left, c],
                                    total,
                                )
                    z[n, i, j, c] = total + b[c]


def depthwise_convolution_nabla_b_part(delta_z, nabla_b_part, first, last):
    r"""nabla_b_part[n, c] = sum_i sum_j delta_z[n, c, i, j]

    Shapes: delta_z (N, I, J, C), nabla_b_part (N, C); float32 or float64, nabla_b_part float64, C-contiguous.
    """
    T = delta_z.dtype.type
    C = delta_z.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    last_step = (J - 1) // 8 + 1
    for n in range(first, last):
        for c in lanes(C):
            total = 0.0
            for i in range(I):
                for step in range(last_step):
                    few = T(0)
                    for j in range(8 * step, min(J, 8 * step + 8)):
                        ahead_in_part(delta_z, (n, i, j + 8, c))
                        few += delta_z[n, i, j, c]
                    total += double(few)
            nabla_b_part[n, c] = total


def depthwise_convolution_b_gradient(nabla_b_part, nabla_b, first, last):
    r"""nabla_b[c] = sum_n nabla_b_part[n, c]

    From z[n, c, i, j] = b[c] + sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[c, u, v].
    Shapes: nabla_b_part (N, C), nabla_b (C,); float32 or float64, nabla_b_part float64, C-contiguous.
    """
    T = nabla_b.dtype.type
    N = nabla_b_part.shape[0]
    for c in range(first, last):
        total = T(0)
        for n in range(N):
            total += nabla_b_part[n, c]
        nabla_b[c] = total


def depthwise_convolution_input_sensitivity(delta_z, w, delta_a, dilation, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p +
        top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, c, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[c, u,
        v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}

    From z[n, c, i, j] = b[c] + sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[c, u, v].
    Shapes: delta_z (N, I, J, C), w (U, V, C), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[0]
    V = w.shape[1]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    step = stride // gcd(stride, dilation)
    change = dilation // gcd(stride, dilation)
    for n in range(first, last):
        for p in range(P):
            first_u = max(
                0,
                (p + top + dilation + stride - I * stride - 1) // dilation,
                (p + top + dilation - I * stride) // dilation,
            )
            last_u = min(U, (p + top) // dilation + 1)
            begin_u = first_tap(p + top, dilation, stride, U)
            first_at_u = (p + top - begin_u * dilation) // stride
            for c in lanes(C):
                near_w = near(w, c)
                for q in range(Q):
                    first_v = max(
                        0,
                        (q + left + dilation - J * stride) // dilation,
                        (q + left + dilation + stride - J * stride - 1) // dilation,
                    )
                    last_v = min(V, (q + left) // dilation + 1)
                    begin_v = first_tap(q + left, dilation, stride, V)
                    first_at_v = (q + left - begin_v * dilation) // stride
                    total = T(0)
                    u = begin_u
                    at_u = first_at_u
                    while u < U:
                        v = begin_v
                        at_v = first_at_v
                        while v < V:
                            if first_u <= u and first_v <= v and u < last_u and v < last_v:
                                total = fma(near_w[u, v], delta_z[n, at_u, at_v, c], total)
                            v += step
                            at_v -= change
                        u += step
                        at_u -= change
                    delta_a[n, p, q, c] = total


def depthwise_convolution_nabla_w_part(a, delta_z, nabla_w_part, dilation, left, stride, top, first, last):
    r"""nabla_w_part[n, c, u, v] = sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, c, i, j]

    Shapes: a (N, P, Q, C), delta_z (N, I, J, C), nabla_w_part (N, U, V, C); float32 or float64, C-contiguous.
    """
    T = nabla_w_part.dtype.type
    C = nabla_w_part.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    P = a.shape[1]
    Q = a.shape[2]
    U = nabla_w_part.shape[1]
    V = nabla_w_part.shape[2]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    for n in range(first, last):
        for v in range(V):
            first_j = max(0, (left + stride - dilation * v - 1) // stride)
            last_j = min(J, (Q + left - dilation * v - 1) // stride + 1)
            for c in lanes(C):
                for u in range(U):
                    nabla_w_part[n, u, v, c] = T(0)
                for i in range(I):
                    for u in range(U):
                        if top <= i * stride + dilation * u and i * stride + dilation * u < P + top:
                            total = nabla_w_part[n, u, v, c]
                            for j in range(first_j, last_j):
                                total = fma(
                                    a[n, i * stride + dilation * u - top, j * stride + dilation * v - left, c],
                                    delta_z[n, i, j, c],
                                    total,
                                )
                            nabla_w_part[n, u, v, c] = total


def depthwise_convolution_w_gradient(nabla_w_part, nabla_w, first, last):
    r"""nabla_w[c, u, v] = sum_n nabla_w_part[n, c, u, v]

    From z[n, c, i, j] = b[c] + sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[c, u, v].
    Shapes: nabla_w_part (N, U, V, C), nabla_w (U, V, C); float32 or float64, C-contiguous.
    """
    T = nabla_w.dtype.type
    C = nabla_w.shape[2]
    N = nabla_w_part.shape[0]
    V = nabla_w.shape[1]
    for u in range(first, last):
        for v in range(V):
            for c in lanes(C):
                total = T(0)
                for n in range(N):
                    total += nabla_w_part[n, u, v, c]
                nabla_w[u, v, c] = total


DEPTHWISE_CONVOLUTION = Layer(
    name="depthwise_convolution",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, c, i, j]",),
    parameters=("w[c, u, v]", "b[c]"),
    storage=("w[u, v, c]", "b[c]"),
    fan_in={"w": ("u", "v")},
    buffers=("nabla_b_part[n, c]: float64", "nabla_w_part[n, u, v, c]"),
    settings={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            depthwise_convolution_forward,
            arguments=("a[n, p, q, c]", "b[c]", "w[u, v, c]", "z[n, i, j, c]"),
            split="n",
            writes=("z",),
            lane="c",
            registers=2,
            fixed=("dilation", "left", "stride", "top", "u", "v"),
            scalars=("dilation", "left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            depthwise_convolution_nabla_b_part,
            arguments=("delta_z[n, i, j, c]", "nabla_b_part[n, c]: float64"),
            split="n",
            writes=("nabla_b_part",),
            lane="c",
        ),
        Kernel(
            depthwise_convolution_b_gradient,
            arguments=("nabla_b_part[n, c]: float64", "nabla_b[c]"),
            split="c",
            writes=("nabla_b",),
        ),
        Kernel(
            depthwise_convolution_input_sensitivity,
            arguments=("delta_z[n, i, j, c]", "w[u, v, c]", "delta_a[n, p, q, c]"),
            split="n",
            writes=("delta_a",),
            lane="c",
            registers=2,
            fixed=("dilation", "left", "stride", "top", "u", "v"),
            scalars=("dilation", "left", "stride", "top"),
        ),
        Kernel(
            depthwise_convolution_nabla_w_part,
            arguments=("a[n, p, q, c]", "delta_z[n, i, j, c]", "nabla_w_part[n, u, v, c]"),
            split="n",
            writes=("nabla_w_part",),
            lane="c",
            fixed=("dilation", "left", "stride", "top", "u", "v"),
            scalars=("dilation", "left", "stride", "top"),
        ),
        Kernel(
            depthwise_convolution_w_gradient,
            arguments=("nabla_w_part[n, u, v, c]", "nabla_w[u, v, c]"),
            split="u",
            writes=("nabla_w",),
            lane="c",
        ),
    ),
)
