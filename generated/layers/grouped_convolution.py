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
from ..engine import BOX, FEW, border, contract_nest, contract_nest_add, contract_nest_bias, first_tap
from ..lanes import lanes
from ..program import Filtered, Kernel
from ..tiles import filtered_filters, filtered_gradient, filtered_places, filtered_places_bias, filtered_products


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
    pitch = 1 if O <= FEW and stride == 1 else C * G
    apart = wide if O <= FEW and stride == 1 else 1
    row = first // J
    while row < stop:
        n = row // I
        i = row % I
        count = min(most, I - i, stop - row)
        low = i * stride - top
        high = U * dilation + count * stride + 1 - dilation - stride
        planes = max(1, min(room // high, (stop - row) // I)) if count == I else 1
        strip = border(box, a, planes, C * G * P * Q * n, P, Q, C * G, low, high, -1 * left, wide, apart)
        begin = max(0, first - J * row)
        end = min(J * count * planes, last - J * row)
        for g in range(G):
            contract_nest_bias(
                begin,
                end,
                (planes, count, J),
                O,
                (U, V, C),
                strip,
                C * apart * g,
                (C * G * high * wide, C * G * stride * wide, pitch * stride),
                (C * G * dilation * wide, dilation * pitch, apart),
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


def grouped_convolution_forward_filters(w, w_filtered, first, last):
    r"""z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[g, o, c, u, v]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    Shapes: w (G, U, V, C, O), w_filtered (G, Row_part, Column_part, C, O); float32 or float64, C-contiguous.
    """
    C = w_filtered.shape[3]
    Column_part = w_filtered.shape[2]
    G = w_filtered.shape[0]
    O = w_filtered.shape[4]
    Row_part = w_filtered.shape[1]
    U = w.shape[1]
    V = w.shape[2]
    for g in range(G):
        filtered_filters(
            first,
            last,
            C,
            O,
            w,
            C * O * U * V * g,
            (C * O * V, C * O),
            O,
            w_filtered,
            C * Column_part * O * Row_part * g,
        )


def grouped_convolution_forward_filtered(a, b, w_filtered, z, scratch, box, left, top, first, last):
    r"""z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*w[g, o, c, u, v]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    Shapes: a (N, P, Q, G, C), b (G, O), w_filtered (G, Row_part, Column_part, C, O), z (N, I, J, G, O); float32
    or float64, C-contiguous.
    """
    C = w_filtered.shape[3]
    Column_part = w_filtered.shape[2]
    G = z.shape[3]
    I = z.shape[1]
    J = z.shape[2]
    O = z.shape[4]
    P = a.shape[1]
    Q = a.shape[2]
    Row_part = w_filtered.shape[1]
    left = int(left)
    top = int(top)
    for g in range(G):
        filtered_places_bias(
            first,
            last,
            (I, J),
            O,
            a,
            C * g,
            C * G * P * Q,
            (P, Q),
            C * G,
            C,
            (-1 * top, -1 * left),
            w_filtered,
            C * Column_part * O * Row_part * g,
            C * O,
            (O, 1),
            z,
            O * g,
            G * I * J * O,
            G * O,
            box,
            scratch,
            b,
            O * g,
        )


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
    return (
        G
        * O
        * ((stride + U * dilation - dilation - 1) // stride + 1)
        * ((Q + stride + V * dilation - dilation - 2) // stride + 1)
    )


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
    wide = (Q + stride + V * dilation - dilation - 2) // stride + 1
    room = BOX // (G * O * wide)
    most = max(1, stride * (room - 1) + 1 - dilation * (U - 1))
    most = (P - 1) // ((P - 1) // most + 1) + 1
    pitch = 1 if C <= FEW else G * O
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
            G * I * J * O * n,
            I,
            J,
            G * O,
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
                for g in range(G):
                    contract_nest(
                        0,
                        planes * ((Q + stride - phase_q - 1) // stride) * ((count + stride - phase_p - 1) // stride),
                        (planes, (count + stride - phase_p - 1) // stride, (Q + stride - phase_q - 1) // stride),
                        C,
                        (taps_p, taps_q, O),
                        strip,
                        pitch * ((at_q - dilation * tap_q) // stride - (left + dilation - V * dilation) // stride)
                        + O * apart * g
                        + G * O * wide * ((at_p - dilation * tap_p) // stride - low),
                        (G * O * high * wide, G * O * wide, pitch),
                        (G * O * wide * (dilation * step_p // stride), pitch * (dilation * step_q // stride), apart),
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


def grouped_convolution_input_sensitivity_filters(w, w_turned, first, last):
    r"""delta_a[n, g, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1,
        (p + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q
        + left)//dilation)) {delta_z[n, g, o, (p + top - dilation*u)//stride, (q + left -
        dilation*v)//stride]*w[g, o, c, u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v)
        mod stride = 0; 0 otherwise}

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: w (G, U, V, C, O), w_turned (G, Row_part, Column_part, C, O); float32 or float64, C-contiguous.
    """
    C = w_turned.shape[3]
    Column_part = w_turned.shape[2]
    G = w_turned.shape[0]
    O = w_turned.shape[4]
    Row_part = w_turned.shape[1]
    U = w.shape[1]
    V = w.shape[2]
    for g in range(G):
        filtered_filters(
            first,
            last,
            C,
            O,
            w,
            C * O * (V - 1) + C * O * V * (U - 1) + C * O * U * V * g,
            (-1 * C * O * V, -1 * C * O),
            O,
            w_turned,
            C * Column_part * O * Row_part * g,
        )


def grouped_convolution_input_sensitivity_filtered(w, delta_z, w_turned, delta_a, scratch, box, left, top, first, last):
    r"""delta_a[n, g, c, p, q] = sum_o sum_(Max(0, ceiling((p + top + stride - I*stride)/dilation)) <= u <= Min(U - 1,
        (p + top)//dilation)) sum_(Max(0, ceiling((q + left + stride - J*stride)/dilation)) <= v <= Min(V - 1, (q
        + left)//dilation)) {delta_z[n, g, o, (p + top - dilation*u)//stride, (q + left -
        dilation*v)//stride]*w[g, o, c, u, v] if (p + top - dilation*u) mod stride = 0 & (q + left - dilation*v)
        mod stride = 0; 0 otherwise}

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: w (G, U, V, C, O), delta_z (N, I, J, G, O), w_turned (G, Row_part, Column_part, C, O), delta_a (N, P,
    Q, G, C); float32 or float64, C-contiguous.
    """
    C = delta_a.shape[4]
    Column_part = w_turned.shape[2]
    G = delta_a.shape[3]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    O = w_turned.shape[4]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    Row_part = w_turned.shape[1]
    U = w.shape[1]
    V = w.shape[2]
    left = int(left)
    top = int(top)
    for g in range(G):
        filtered_places(
            first,
            last,
            (P, Q),
            C,
            delta_z,
            O * g,
            G * I * J * O,
            (I, J),
            G * O,
            O,
            (top + 1 - U, left + 1 - V),
            w_turned,
            C * Column_part * O * Row_part * g,
            C * O,
            (1, O),
            delta_a,
            C * g,
            C * G * P * Q,
            C * G,
            box,
            scratch,
        )


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
        strip = border(box, a, planes, C * G * P * Q * n, P, Q, C * G, low, high, -1 * left, wide, 1)
        for g in range(G):
            begin = max(0, first - C * U * V * g)
            end = min(C * U * V, last - C * U * V * g)
            contract_nest_add(
                begin,
                end,
                (U, V, C),
                O,
                (planes, count, J),
                strip,
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


def grouped_convolution_w_gradient_products(a, delta_z, nabla_w_filtered, scratch, box, left, top, first, last):
    r"""nabla_w[g, o, c, u, v] = sum_n sum_i sum_j a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, g, o, i, j]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: a (N, P, Q, G, C), delta_z (N, I, J, G, O), nabla_w_filtered (Share, G, Row_part, Column_part, C, O);
    float32 or float64, C-contiguous.
    """
    C = nabla_w_filtered.shape[4]
    Column_part = nabla_w_filtered.shape[3]
    G = nabla_w_filtered.shape[1]
    I = delta_z.shape[1]
    J = delta_z.shape[2]
    N = delta_z.shape[0]
    O = nabla_w_filtered.shape[5]
    P = a.shape[1]
    Q = a.shape[2]
    Row_part = nabla_w_filtered.shape[2]
    Share = nabla_w_filtered.shape[0]
    left = int(left)
    top = int(top)
    for g in range(G):
        filtered_products(
            first,
            last,
            Share,
            N,
            (I, J),
            O,
            a,
            C * g,
            C * G * P * Q,
            (P, Q),
            C * G,
            C,
            (-1 * top, -1 * left),
            delta_z,
            O * g,
            G * I * J * O,
            G * O,
            nabla_w_filtered,
            C * Column_part * O * Row_part * g,
            C * Column_part * G * O * Row_part,
            box,
            scratch,
        )


def grouped_convolution_w_gradient_filtered(nabla_w_filtered, nabla_w, first, last):
    r"""nabla_w[g, o, c, u, v] = sum_n sum_i sum_j a[n, g, c, i*stride + dilation*u - top, j*stride + dilation*v -
        left]*delta_z[n, g, o, i, j]

    By minimal filtering, whose transforms and sizes the plan of a step chooses.
    From z[n, g, o, i, j] = b[g, o] + sum_c sum_u sum_v a[n, g, c, i*stride + dilation*u - top, j*stride +
        dilation*v - left]*w[g, o, c, u, v].
    Shapes: nabla_w_filtered (Share, G, Row_part, Column_part, C, O), nabla_w (G, U, V, C, O); float32 or float64,
    C-contiguous.
    """
    C = nabla_w.shape[3]
    Column_part = nabla_w_filtered.shape[3]
    G = nabla_w.shape[0]
    O = nabla_w.shape[4]
    Row_part = nabla_w_filtered.shape[2]
    Share = nabla_w_filtered.shape[0]
    U = nabla_w.shape[1]
    V = nabla_w.shape[2]
    for g in range(G):
        filtered_gradient(
            first,
            last,
            Share,
            C,
            O,
            nabla_w_filtered,
            C * Column_part * O * Row_part * g,
            C * Column_part * G * O * Row_part,
            nabla_w,
            C * O * U * V * g,
            (C * O * V, C * O),
            O,
        )


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
            filtered=Filtered(
                (
                    Kernel(
                        grouped_convolution_forward_filters,
                        arguments=("w[g, u, v, c, o]", "w_filtered[g, row_part, column_part, c, o]"),
                        split="c",
                        writes=("w_filtered",),
                        local=False,
                        vectors=("c", "o"),
                    ),
                    Kernel(
                        grouped_convolution_forward_filtered,
                        arguments=(
                            "a[n, p, q, g, c]",
                            "b[g, o]",
                            "w_filtered[g, row_part, column_part, c, o]",
                            "z[n, i, j, g, o]",
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
                groups=("g",),
                settings={"dilation": 1, "stride": 1},
            ),
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
            filtered=Filtered(
                (
                    Kernel(
                        grouped_convolution_input_sensitivity_filters,
                        arguments=("w[g, u, v, c, o]", "w_turned[g, row_part, column_part, c, o]"),
                        split="c",
                        writes=("w_turned",),
                        local=False,
                        vectors=("c", "o"),
                    ),
                    Kernel(
                        grouped_convolution_input_sensitivity_filtered,
                        arguments=(
                            "w[g, u, v, c, o]",
                            "delta_z[n, i, j, g, o]",
                            "w_turned[g, row_part, column_part, c, o]",
                            "delta_a[n, p, q, g, c]",
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
                groups=("g",),
                settings={"dilation": 1, "stride": 1},
            ),
        ),
        Kernel(
            grouped_convolution_w_gradient,
            arguments=("a[n, p, q, g, c]", "delta_z[n, i, j, g, o]", "nabla_w[g, u, v, c, o]", "scratch", "box"),
            split="g u v c",
            writes=("nabla_w",),
            local=False,
            box=grouped_convolution_w_gradient_box,
            scalars=("dilation", "left", "stride", "top"),
            filtered=Filtered(
                (
                    Kernel(
                        grouped_convolution_w_gradient_products,
                        arguments=(
                            "a[n, p, q, g, c]",
                            "delta_z[n, i, j, g, o]",
                            "nabla_w_filtered[share, g, row_part, column_part, c, o]",
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
                        grouped_convolution_w_gradient_filtered,
                        arguments=("nabla_w_filtered[share, g, row_part, column_part, c, o]", "nabla_w[g, u, v, c, o]"),
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
                groups=("g",),
                settings={"dilation": 1, "stride": 1},
            ),
        ),
    ),
)
