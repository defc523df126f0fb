"""Convolutional layer with stride, dilation and zero padding (LeCun et al. 1989); as the field has it, a cross-
correlation.

Forward equations:

    z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

Derived from them:

    nabla_b[o] = sum_n sum_i sum_j delta_z[n, o, i, j]
    delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p
        + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, o, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[o, c,
        u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}
    nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from math import gcd

from ..definition import Layer
from ..engine import BOX, FEW, border, contract_nest, contract_nest_add, contract_nest_bias, first_tap
from ..lanes import ahead_in_part, double, lanes
from ..program import Filtered, Kernel
from ..tiles import filtered_filters, filtered_gradient, filtered_places, filtered_places_bias, filtered_products


def size_i(P, U, bottom, dilation, stride, top):
    """I = 1 + (bottom + top + P - 1 - dilation*(U - 1))//stride"""
    return (bottom + top + P - dilation * (U - 1) - 1) // stride + 1


def size_j(Q, V, dilation, left, right, stride):
    """J = 1 + (left + right + Q - 1 - dilation*(V - 1))//stride"""
    return (left + right + Q - dilation * (V - 1) - 1) // stride + 1


def convolution_forward_box(C, J, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return C * (U * dilation + 1 - dilation) * (J * stride + V * dilation + 1 - dilation - stride)


def convolution_forward(a, b, w, z, scratch, box, dilation, left, stride, top, first, last):
    r"""z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

    Shapes: a (N, P, Q, C), b (O,), w (U, V, C, O), z (N, I, J, O); float32 or float64, C-contiguous.
    """
    C = w.shape[2]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[3]
    P = a.shape[1]
    Q = a.shape[2]
    U = w.shape[0]
    V = w.shape[1]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    stop = (last - 1) // J + 1
    wide = J * stride + V * dilation + 1 - dilation - stride
    room = BOX // (C * wide)
    most = max(1, (room - dilation * (U - 1) - 1) // stride + 1)
    most = (I - 1) // ((I - 1) // most + 1) + 1
    pitch = 1 if O <= FEW and stride == 1 else C
    apart = wide if O <= FEW and stride == 1 else 1
    row = first // J
    while row < stop:
        n = row // I
        i = row % I
        count = min(most, I - i, stop - row)
        low = i * stride - top
        high = U * dilation + count * stride + 1 - dilation - stride
        planes = max(1, min(room // high, (stop - row) // I)) if count == I else 1
        strip = border(box, a, planes, C * P * Q * n, P, Q, C, low, high, -1 * left, wide, apart)
        begin = max(0, first - J * row)
        end = min(J * count * planes, last - J * row)
        contract_nest_bias(
            begin,
            end,
            (planes, count, J),
            O,
            (U, V, C),
            strip,
            0,
            (C * high * wide, C * stride * wide, pitch * stride),
            (C * dilation * wide, dilation * pitch, apart),
            w,
            0,
            (C * O * V, C * O, O),
            1,
            z,
            J * O * row,
            (I * J * O, J * O, O),
            scratch,
            b,
            0,
        )
        row += count * planes


def convolution_forward_filters(w, w_filtered, first, last):
    r"""z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    Shapes: w (U, V, C, O), w_filtered (Row_part, Column_part, C, O); float32 or float64, C-contiguous.
    """
    C = w_filtered.shape[2]
    O = w_filtered.shape[3]
    V = w.shape[1]
    filtered_filters(first, last, C, O, w, 0, (C * O * V, C * O), O, w_filtered, 0)


def convolution_forward_filtered(a, b, w_filtered, z, scratch, box, left, top, first, last):
    r"""z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    Shapes: a (N, P, Q, C), b (O,), w_filtered (Row_part, Column_part, C, O), z (N, I, J, O); float32 or float64,
    C-contiguous.
    """
    C = w_filtered.shape[2]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[3]
    P = a.shape[1]
    Q = a.shape[2]
    left = int(left)
    top = int(top)
    filtered_places_bias(
        first,
        last,
        (I, J),
        O,
        a,
        0,
        C * P * Q,
        (P, Q),
        C,
        C,
        (-1 * top, -1 * left),
        w_filtered,
        0,
        C * O,
        (O, 1),
        z,
        0,
        I * J * O,
        O,
        box,
        scratch,
        b,
        0,
    )


def convolution_nabla_b_part(delta_z, nabla_b_part, first, last):
    r"""nabla_b_part[n, o] = sum_i sum_j delta_z[n, o, i, j]

    Shapes: delta_z (N, I, J, O), nabla_b_part (N, O); float32 or float64, nabla_b_part float64, C-contiguous.
    """
    T = delta_z.dtype.type
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = delta_z.shape[3]
    last_step = (J - 1) // 8 + 1
    for n in range(first, last):
        for o in lanes(O):
            total = 0.0
            for i in range(I):
                for step in range(last_step):
                    few = T(0)
                    for j in range(8 * step, min(J, 8 * step + 8)):
                        ahead_in_part(delta_z, (n, i, j + 8, o))
                        few += delta_z[n, i, j, o]
                    total += double(few)
            nabla_b_part[n, o] = total


def convolution_b_gradient(nabla_b_part, nabla_b, first, last):
    r"""nabla_b[o] = sum_n nabla_b_part[n, o]

    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Shapes: nabla_b_part (N, O), nabla_b (O,); float32 or float64, nabla_b_part float64, C-contiguous.
    """
    T = nabla_b.dtype.type
    N = nabla_b_part.shape[0]
    for o in range(first, last):
        total = T(0)
        for n in range(N):
            total += nabla_b_part[n, o]
        nabla_b[o] = total


def convolution_input_sensitivity_box(O, Q, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return (
        O
        * ((stride + U * dilation - dilation - 1) // stride + 1)
        * ((Q + stride + V * dilation - dilation - 2) // stride + 1)
    )


def convolution_input_sensitivity(delta_z, w, delta_a, scratch, box, dilation, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p
        + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, o, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[o, c,
        u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}

    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-1 (conditional, all sizes); figure backward (conditional, the sizes of the figure: $r_{l} =
        2$, $q_{l} = 2$, $h_{l} = 2$, $k_{l} = 2$).
    Shapes: delta_z (N, I, J, O), w (U, V, C, O), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = w.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[0]
    V = w.shape[1]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    wide = (Q + stride + V * dilation - dilation - 2) // stride + 1
    room = BOX // (O * wide)
    most = max(1, stride * (room - 1) + 1 - dilation * (U - 1))
    most = (P - 1) // ((P - 1) // most + 1) + 1
    pitch = 1 if C <= FEW else O
    apart = wide if C <= FEW else 1
    row = first
    while row < last:
        n = row // P
        p = row % P
        count = min(most, P - p, last - row)
        low = (p + top + dilation - U * dilation) // stride
        high = (count + stride + U * dilation - dilation - 2) // stride + 1
        planes = max(1, min(room // high, (last - row) // P)) if count == P else 1
        strip = border(
            box,
            delta_z,
            planes,
            I * J * O * n,
            I,
            J,
            O,
            low,
            high,
            (left + dilation - V * dilation) // stride,
            wide,
            apart,
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
                contract_nest(
                    0,
                    planes * ((Q + stride - phase_q - 1) // stride) * ((count + stride - phase_p - 1) // stride),
                    (planes, (count + stride - phase_p - 1) // stride, (Q + stride - phase_q - 1) // stride),
                    C,
                    (taps_p, taps_q, O),
                    strip,
                    pitch * ((at_q - dilation * tap_q) // stride - (left + dilation - V * dilation) // stride)
                    + O * wide * ((at_p - dilation * tap_p) // stride - low),
                    (O * high * wide, O * wide, pitch),
                    (O * wide * (dilation * step_p // stride), pitch * (dilation * step_q // stride), apart),
                    w,
                    C * O * tap_q + C * O * V * tap_p,
                    (-1 * C * O * V * step_p, -1 * C * O * step_q, 1),
                    O,
                    delta_a,
                    C * phase_q + C * Q * phase_p + C * Q * row,
                    (C * P * Q, C * Q * stride, C * stride),
                    scratch,
                )
        row += count * planes


def convolution_input_sensitivity_filters(w, w_turned, first, last):
    r"""delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p
        + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, o, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[o, c,
        u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-1 (conditional, all sizes); figure backward (conditional, the sizes of the figure: $r_{l} =
        2$, $q_{l} = 2$, $h_{l} = 2$, $k_{l} = 2$).
    Shapes: w (U, V, C, O), w_turned (Row_part, Column_part, C, O); float32 or float64, C-contiguous.
    """
    C = w_turned.shape[2]
    O = w_turned.shape[3]
    U = w.shape[0]
    V = w.shape[1]
    filtered_filters(
        first, last, C, O, w, C * O * (V - 1) + C * O * V * (U - 1), (-1 * C * O * V, -1 * C * O), O, w_turned, 0
    )


def convolution_input_sensitivity_filtered(w, delta_z, w_turned, delta_a, scratch, box, left, top, first, last):
    r"""delta_a[n, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1, (p
        + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q +
        left)//dilation)) {delta_z[n, o, (p + top - dilation*u)//stride, (q + left - dilation*v)//stride]*w[o, c,
        u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v) mod stride = 0; 0 otherwise}

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-1 (conditional, all sizes); figure backward (conditional, the sizes of the figure: $r_{l} =
        2$, $q_{l} = 2$, $h_{l} = 2$, $k_{l} = 2$).
    Shapes: w (U, V, C, O), delta_z (N, I, J, O), w_turned (Row_part, Column_part, C, O), delta_a (N, P, Q, C);
    float32 or float64, C-contiguous.
    """
    C = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = w_turned.shape[3]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    U = w.shape[0]
    V = w.shape[1]
    left = int(left)
    top = int(top)
    filtered_places(
        first,
        last,
        (P, Q),
        C,
        delta_z,
        0,
        I * J * O,
        (I, J),
        O,
        O,
        (top + 1 - U, left + 1 - V),
        w_turned,
        0,
        C * O,
        (1, O),
        delta_a,
        0,
        C * P * Q,
        C,
        box,
        scratch,
    )


def convolution_w_gradient_box(C, J, U, V, dilation, stride):
    """Elements that one row of places reads."""
    return C * (U * dilation + 1 - dilation) * (J * stride + V * dilation + 1 - dilation - stride)


def convolution_w_gradient(a, delta_z, nabla_w, scratch, box, dilation, left, stride, top, first, last):
    r"""nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-3 (conditional, all sizes).
    Shapes: a (N, P, Q, C), delta_z (N, I, J, O), nabla_w (U, V, C, O); float32 or float64, C-contiguous.
    """
    C = nabla_w.shape[2]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    O = nabla_w.shape[3]
    P = a.shape[1]
    Q = a.shape[2]
    U = nabla_w.shape[0]
    V = nabla_w.shape[1]
    dilation = int(dilation)
    left = int(left)
    stride = int(stride)
    top = int(top)
    wide = J * stride + V * dilation + 1 - dilation - stride
    room = BOX // (C * wide)
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
        strip = border(box, a, planes, C * P * Q * n, P, Q, C, low, high, -1 * left, wide, 1)
        contract_nest_add(
            first,
            last,
            (U, V, C),
            O,
            (planes, count, J),
            strip,
            0,
            (C * dilation * wide, C * dilation, 1),
            (C * high * wide, C * stride * wide, C * stride),
            delta_z,
            J * O * i + I * J * O * n,
            (I * J * O, J * O, O),
            1,
            nabla_w,
            0,
            (C * O * V, C * O, O),
            scratch,
            row > 0,
        )
        row += count * planes


def convolution_w_gradient_products(a, delta_z, nabla_w_filtered, scratch, box, left, top, first, last):
    r"""nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-3 (conditional, all sizes).
    Shapes: a (N, P, Q, C), delta_z (N, I, J, O), nabla_w_filtered (Share, Row_part, Column_part, C, O); float32
    or float64, C-contiguous.
    """
    C = nabla_w_filtered.shape[3]
    Column_part = nabla_w_filtered.shape[2]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    O = nabla_w_filtered.shape[4]
    P = a.shape[1]
    Q = a.shape[2]
    Row_part = nabla_w_filtered.shape[1]
    Share = nabla_w_filtered.shape[0]
    left = int(left)
    top = int(top)
    filtered_products(
        first,
        last,
        Share,
        N,
        (I, J),
        O,
        a,
        0,
        C * P * Q,
        (P, Q),
        C,
        C,
        (-1 * top, -1 * left),
        delta_z,
        0,
        I * J * O,
        O,
        nabla_w_filtered,
        0,
        C * Column_part * O * Row_part,
        box,
        scratch,
    )


def convolution_w_gradient_filtered(nabla_w_filtered, nabla_w, first, last):
    r"""nabla_w[o, c, u, v] = sum_n sum_i sum_j a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, o, i, j]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, o, i, j] = b[o] + sum_c sum_u sum_v a[n, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[o, c, u, v].
    Documents: Conv-3 (conditional, all sizes).
    Shapes: nabla_w_filtered (Share, Row_part, Column_part, C, O), nabla_w (U, V, C, O); float32 or float64,
    C-contiguous.
    """
    C = nabla_w.shape[2]
    Column_part = nabla_w_filtered.shape[2]
    O = nabla_w.shape[3]
    Row_part = nabla_w_filtered.shape[1]
    Share = nabla_w_filtered.shape[0]
    V = nabla_w.shape[1]
    filtered_gradient(
        first, last, Share, C, O, nabla_w_filtered, 0, C * Column_part * O * Row_part, nabla_w, 0, (C * O * V, C * O), O
    )


CONVOLUTION = Layer(
    name="convolution",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, o, i, j]",),
    parameters=("w[o, c, u, v]", "b[o]"),
    storage=("w[u, v, c, o]", "b[o]"),
    fan_in={"w": ("c", "u", "v")},
    buffers=("nabla_b_part[n, o]: float64",),
    settings={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"stride": 1, "dilation": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            convolution_forward,
            arguments=("a[n, p, q, c]", "b[o]", "w[u, v, c, o]", "z[n, i, j, o]", "scratch", "box"),
            split="n i j",
            writes=("z",),
            local=False,
            box=convolution_forward_box,
            scalars=("dilation", "left", "stride", "top"),
            filtered=Filtered(
                (
                    Kernel(
                        convolution_forward_filters,
                        arguments=("w[u, v, c, o]", "w_filtered[row_part, column_part, c, o]"),
                        split="c",
                        writes=("w_filtered",),
                        local=False,
                        vectors=("c", "o"),
                    ),
                    Kernel(
                        convolution_forward_filtered,
                        arguments=(
                            "a[n, p, q, c]",
                            "b[o]",
                            "w_filtered[row_part, column_part, c, o]",
                            "z[n, i, j, o]",
                            "scratch",
                            "box",
                        ),
                        split="n i",
                        writes=("z",),
                        local=False,
                        scalars=("left", "top"),
                        vectors=("c", "o"),
                    ),
                ),
                places=("n", "i", "j"),
                taps=("u", "v"),
                inner="c",
                lane="o",
                settings={"dilation": 1, "stride": 1},
            ),
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
            convolution_b_gradient,
            arguments=("nabla_b_part[n, o]: float64", "nabla_b[o]"),
            split="o",
            writes=("nabla_b",),
        ),
        Kernel(
            convolution_input_sensitivity,
            arguments=("delta_z[n, i, j, o]", "w[u, v, c, o]", "delta_a[n, p, q, c]", "scratch", "box"),
            split="n p",
            writes=("delta_a",),
            local=False,
            box=convolution_input_sensitivity_box,
            scalars=("dilation", "left", "stride", "top"),
            filtered=Filtered(
                (
                    Kernel(
                        convolution_input_sensitivity_filters,
                        arguments=("w[u, v, c, o]", "w_turned[row_part, column_part, c, o]"),
                        split="c",
                        writes=("w_turned",),
                        local=False,
                        vectors=("c", "o"),
                    ),
                    Kernel(
                        convolution_input_sensitivity_filtered,
                        arguments=(
                            "w[u, v, c, o]",
                            "delta_z[n, i, j, o]",
                            "w_turned[row_part, column_part, c, o]",
                            "delta_a[n, p, q, c]",
                            "scratch",
                            "box",
                        ),
                        split="n p",
                        writes=("delta_a",),
                        local=False,
                        scalars=("left", "top"),
                        vectors=("o", "c"),
                    ),
                ),
                places=("n", "p", "q"),
                taps=("u", "v"),
                inner="o",
                lane="c",
                settings={"dilation": 1, "stride": 1},
            ),
        ),
        Kernel(
            convolution_w_gradient,
            arguments=("a[n, p, q, c]", "delta_z[n, i, j, o]", "nabla_w[u, v, c, o]", "scratch", "box"),
            split="u v c",
            writes=("nabla_w",),
            local=False,
            box=convolution_w_gradient_box,
            scalars=("dilation", "left", "stride", "top"),
            filtered=Filtered(
                (
                    Kernel(
                        convolution_w_gradient_products,
                        arguments=(
                            "a[n, p, q, c]",
                            "delta_z[n, i, j, o]",
                            "nabla_w_filtered[share, row_part, column_part, c, o]",
                            "scratch",
                            "box",
                        ),
                        split="share row_part",
                        writes=("nabla_w_filtered",),
                        local=False,
                        scalars=("left", "top"),
                        vectors=("c", "o"),
                    ),
                    Kernel(
                        convolution_w_gradient_filtered,
                        arguments=("nabla_w_filtered[share, row_part, column_part, c, o]", "nabla_w[u, v, c, o]"),
                        split="c",
                        writes=("nabla_w",),
                        local=False,
                        vectors=("c", "o"),
                    ),
                ),
                places=("n", "i", "j"),
                taps=("u", "v"),
                inner="c",
                lane="o",
                settings={"dilation": 1, "stride": 1},
            ),
        ),
    ),
)
