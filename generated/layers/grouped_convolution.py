"""Convolution in groups g, each of channels and filters of its own (Krizhevsky et al. 2012).

Forward equations:

    z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[g, o, c, u, v]

Derived from them:

    nabla_b[g, o] = sum_n sum_i sum_j delta_z[n, g, o, i, j]
    delta_a[n, g, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1,
        (p + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q
        + left)//dilation)) {delta_z[n, g, o, (p + top - dilation*u)//stride, (q + left -
        dilation*v)//stride]*w[g, o, c, u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v)
        mod stride = 0; 0 otherwise}
    nabla_w[g, o, c, u, v] = sum_n sum_i sum_j a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, g, o, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from math import gcd

from ..definition import Layer
from ..engine import BOX, border, contract_nest, contract_nest_add, contract_nest_bias, first_tap
from ..lanes import lanes
from ..program import Kernel


def size_i(P, U, bottom, dilation, stride, top):
    """I = 1 + (bottom + top + P - 1 - dilation*(U - 1))//stride"""
    return (bottom + top + P - dilation * (U - 1) - 1) // stride + 1


def size_j(Q, V, dilation, left, right, stride):
    """J = 1 + (left + right + Q - 1 - dilation*(V - 1))//stride"""
    return (left + right + Q - dilation * (V - 1) - 1) // stride + 1


def grouped_convolution_forward_box(C, G, J, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return C * G * (U * dilation + 1 - dilation) * (J * stride + V * dilation + 1 - dilation - stride)


def grouped_convolution_forward(a, b, w, z, scratch, box, dilation, left, stride, top, first, last):
    r"""z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[g, o, c, u, v]

    Shapes: a (N, P, Q, G, C), b (G, O), w (G, U, V, C, O), z (N, I, J, G, O); float32 or float64, C-contiguous.
    """
    C = w.shape[3]
    G = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[4]
    P = a.shape[1]
    Q = a.shape[2]
    U = w.shape[1]
    V = w.shape[2]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    stop = (last - 1) // J + 1
    wide = J * stride + V * dilation + 1 - dilation - stride
    room = BOX // (C * G * wide)
    most = max(1, (room - dilation * (U - 1) - 1) // stride + 1)
    most = (I - 1) // ((I - 1) // most + 1) + 1
    row = first // J
    while row < stop:
        n = row // I
        i = row % I
        count = min(most, I - i, stop - row)
        low = i * stride - top
        high = U * dilation + count * stride + 1 - dilation - stride
        planes = max(1, min(room // high, (stop - row) // I)) if count == I else 1
        border(box, a, planes, C * G * P * Q * n, P, Q, C * G, low, high, -1 * left, wide)
        begin = max(0, first - J * row)
        end = min(J * count * planes, last - J * row)
        for g in range(G):
            contract_nest_bias(
                begin,
                end,
                (planes, count, J),
                O,
                (U, V, C),
                box,
                C * g,
                (C * G * high * wide, C * G * stride * wide, C * G * stride),
                (C * G * dilation * wide, C * G * dilation, 1),
                w,
                C * O * U * V * g,
                (C * O * V, C * O, O),
                1,
                z,
                O * g + G * J * O * row,
                (G * I * J * O, G * J * O, G * O),
                scratch,
                b,
                O * g,
            )
        row += count * planes


def grouped_convolution_b_gradient(delta_z, nabla_b, first, last):
    r"""nabla_b[g, o] = sum_n sum_i sum_j delta_z[n, g, o, i, j]

    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: delta_z (N, I, J, G, O), nabla_b (G, O); float32 or float64, C-contiguous.
    """
    T = nabla_b.dtype.type
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    O = nabla_b.shape[1]
    for g in range(first, last):
        for o in lanes(O):
            total = T(0)
            for n in range(N):
                for i in range(I):
                    for j in range(J):
                        total += delta_z[n, i, j, g, o]
            nabla_b[g, o] = total


def grouped_convolution_input_sensitivity_box(G, O, Q, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return G * O * (dilation * (U - 1) // stride + 2) * ((Q + V * dilation - dilation - 1) // stride + 2)


def grouped_convolution_input_sensitivity(delta_z, w, delta_a, scratch, box, dilation, left, stride, top, first, last):
    r"""delta_a[n, g, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1,
        (p + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q
        + left)//dilation)) {delta_z[n, g, o, (p + top - dilation*u)//stride, (q + left -
        dilation*v)//stride]*w[g, o, c, u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v)
        mod stride = 0; 0 otherwise}

    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: delta_z (N, I, J, G, O), w (G, U, V, C, O), delta_a (N, P, Q, G, C); float32 or float64, C-contiguous.
    """
    C = delta_a.shape[4]
    G = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = w.shape[4]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[1]
    V = w.shape[2]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    wide = (Q + V * dilation - dilation - 1) // stride + 2
    room = BOX // (G * O * wide)
    most = max(1, stride * (room - 2) + 1 - dilation * (U - 1))
    most = (P - 1) // ((P - 1) // most + 1) + 1
    row = first
    while row < last:
        n = row // P
        p = row % P
        count = min(most, P - p, last - row)
        low = (p + top + dilation - U * dilation) // stride
        high = (count + U * dilation - dilation - 1) // stride + 2
        planes = max(1, min(room // high, (last - row) // P)) if count == P else 1
        border(
            box,
            delta_z,
            planes,
            G * I * J * O * n,
            I,
            J,
            G * O,
            low,
            high,
            (left + dilation - V * dilation) // stride,
            wide,
        )
        for phase_p in range(stride):
            at_p = p + phase_p + top
            step_p = stride // gcd(stride, dilation)
            tap_p = first_tap(at_p, dilation, stride, U)
            taps_p = max(0, (U + step_p - tap_p - 1) // step_p)
            tap_p = tap_p + step_p * (taps_p - 1)
            for phase_q in range(stride):
                at_q = phase_q + left
                step_q = stride // gcd(stride, dilation)
                tap_q = first_tap(at_q, dilation, stride, V)
                taps_q = max(0, (V + step_q - tap_q - 1) // step_q)
                tap_q = tap_q + step_q * (taps_q - 1)
                for g in range(G):
                    contract_nest(
                        0,
                        planes * ((Q + stride - phase_q - 1) // stride) * ((count + stride - phase_p - 1) // stride),
                        (planes, (count + stride - phase_p - 1) // stride, (Q + stride - phase_q - 1) // stride),
                        C,
                        (taps_p, taps_q, O),
                        box,
                        O * g
                        + G * O * ((at_q - dilation * tap_q) // stride - (left + dilation - V * dilation) // stride)
                        + G * O * wide * ((at_p - dilation * tap_p) // stride - low),
                        (G * O * high * wide, G * O * wide, G * O),
                        (G * O * wide * (dilation * step_p // stride), G * O * (dilation * step_q // stride), 1),
                        w,
                        C * O * tap_q + C * O * V * tap_p + C * O * U * V * g,
                        (-1 * C * O * V * step_p, -1 * C * O * step_q, 1),
                        O,
                        delta_a,
                        C * g + C * G * phase_q + C * G * Q * phase_p + C * G * Q * row,
                        (C * G * P * Q, C * G * Q * stride, C * G * stride),
                        scratch,
                    )
        row += count * planes


def grouped_convolution_w_gradient_box(C, G, J, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return C * G * (U * dilation + 1 - dilation) * (J * stride + V * dilation + 1 - dilation - stride)


def grouped_convolution_w_gradient(a, delta_z, nabla_w, scratch, box, dilation, left, stride, top, first, last):
    r"""nabla_w[g, o, c, u, v] = sum_n sum_i sum_j a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, g, o, i, j]

    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: a (N, P, Q, G, C), delta_z (N, I, J, G, O), nabla_w (G, U, V, C, O); float32 or float64, C-contiguous.
    """
    C = nabla_w.shape[3]
    G = nabla_w.shape[0]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    O = nabla_w.shape[4]
    P = a.shape[1]
    Q = a.shape[2]
    U = nabla_w.shape[1]
    V = nabla_w.shape[2]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    wide = J * stride + V * dilation + 1 - dilation - stride
    room = BOX // (C * G * wide)
    most = max(1, (room - dilation * (U - 1) - 1) // stride + 1)
    most = (I - 1) // ((I - 1) // most + 1) + 1
    row = 0
    while row < I * N:
        n = row // I
        i = row % I
        count = min(most, I - i, I * N - row)
        low = i * stride - top
        high = U * dilation + count * stride + 1 - dilation - stride
        planes = max(1, min(room // high, (I * N - row) // I)) if count == I else 1
        border(box, a, planes, C * G * P * Q * n, P, Q, C * G, low, high, -1 * left, wide)
        for g in range(G):
            begin = max(0, first - C * U * V * g)
            end = min(C * U * V, last - C * U * V * g)
            contract_nest_add(
                begin,
                end,
                (U, V, C),
                O,
                (planes, count, J),
                box,
                C * g,
                (C * G * dilation * wide, C * G * dilation, 1),
                (C * G * high * wide, C * G * stride * wide, C * G * stride),
                delta_z,
                O * g + G * J * O * i + G * I * J * O * n,
                (G * I * J * O, G * J * O, G * O),
                1,
                nabla_w,
                C * O * U * V * g,
                (C * O * V, C * O, O),
                scratch,
                row > 0,
            )
        row += count * planes


GROUPED_CONVOLUTION = Layer(
    name="grouped_convolution",
    inputs=("a[n, g, c, p, q]",),
    outputs=("z[n, g, o, i, j]",),
    parameters=("w[g, o, c, u, v]", "b[g, o]"),
    storage=("w[g, u, v, c, o]", "b[g, o]"),
    fan_in={"w": ("c", "u", "v")},
    settings={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            grouped_convolution_forward,
            arguments=("a[n, p, q, g, c]", "b[g, o]", "w[g, u, v, c, o]", "z[n, i, j, g, o]", "scratch", "box"),
            split="n i j",
            writes=("z",),
            local=False,
            box=grouped_convolution_forward_box,
            scalars=("dilation", "left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            grouped_convolution_b_gradient,
            arguments=("delta_z[n, i, j, g, o]", "nabla_b[g, o]"),
            split="g",
            writes=("nabla_b",),
            lane="o",
        ),
        Kernel(
            grouped_convolution_input_sensitivity,
            arguments=("delta_z[n, i, j, g, o]", "w[g, u, v, c, o]", "delta_a[n, p, q, g, c]", "scratch", "box"),
            split="n p",
            writes=("delta_a",),
            local=False,
            box=grouped_convolution_input_sensitivity_box,
            scalars=("dilation", "left", "stride", "top"),
        ),
        Kernel(
            grouped_convolution_w_gradient,
            arguments=("a[n, p, q, g, c]", "delta_z[n, i, j, g, o]", "nabla_w[g, u, v, c, o]", "scratch", "box"),
            split="g u v c",
            writes=("nabla_w",),
            local=False,
            box=grouped_convolution_w_gradient_box,
            scalars=("dilation", "left", "stride", "top"),
        ),
    ),
)
