"""What a detector's last planes hold of each prediction p, as in Darknet: four numbers of its box, objectness, then
the classes k.

Planes lie channels last, so that all numbers e of a prediction are neighbours.
YOLOv2's output (Redmon & Farhadi 2017), as in Darknet: the box of each prediction p, its objectness, one of its
classes k.
YOLOv2's cost, recovered from Darknet's `delta`: half the squared errors, and the cross-entropy of the classes.

Forward equations:

    t_x[n, p] = z[n, p, 0]
    t_y[n, p] = z[n, p, 1]
    t_w[n, p] = z[n, p, 2]
    t_h[n, p] = z[n, p, 3]
    t_o[n, p] = z[n, p, 4]
    t_c[n, p, k] = z[n, p, 5 + k]
    x[n, p] = 1/(1 + exp(-t_x[n, p]))
    y[n, p] = 1/(1 + exp(-t_y[n, p]))
    w[n, p] = t_w[n, p]
    h[n, p] = t_h[n, p]
    o[n, p] = 1/(1 + exp(-t_o[n, p]))
    g[n, p, k] = exp(t_c[n, p, k])
    s[n, p] = sum_k g[n, p, k]
    c[n, p, k] = g[n, p, k]/s[n, p]
    b_x[n, p] = (column[p] + x[n, p])/lw
    b_y[n, p] = (row[p] + y[n, p])/lh
    b_w[n, p] = exp(t_w[n, p])*anchor_w[p]/lw
    b_h[n, p] = exp(t_h[n, p])*anchor_h[p]/lh
    C_x[n] = sum_p (x_true[n, p] - x[n, p])**2*scale[n, p]/2
    C_y[n] = sum_p (y_true[n, p] - y[n, p])**2*scale[n, p]/2
    C_w[n] = sum_p (w_true[n, p] - w[n, p])**2*scale[n, p]/2
    C_h[n] = sum_p (h_true[n, p] - h[n, p])**2*scale[n, p]/2
    C_o[n] = sum_p (o_true[n, p] - o[n, p])**2*weight_o[n, p]/2
    C_c[n] = sum_p sum_k (-log(c[n, p, k])*c_true[n, p, k]*weight_c[n, p])
    C[n] = C_c[n] + C_h[n] + C_o[n] + C_w[n] + C_x[n] + C_y[n]

Derived from them:

    delta_z[n, p, e] = (h[n, p] - h_true[n, p])*[e = 3]*scale[n, p]/N + (w[n, p] - w_true[n, p])*[e = 2]*scale[n,
        p]/N + (1 - o[n, p])*(o[n, p] - o_true[n, p])*[e = 4]*o[n, p]*weight_o[n, p]/N + (1 - x[n, p])*(x[n, p] -
        x_true[n, p])*[e = 0]*scale[n, p]*x[n, p]/N + (1 - y[n, p])*(y[n, p] - y_true[n, p])*[e = 1]*scale[n,
        p]*y[n, p]/N + {(c[n, p, e - 5] - c_true[n, p, e - 5])*weight_c[n, p]/N if e >= 5; 0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Head
from ..functions import exp, log1p
from ..program import Kernel


def size_k(E):
    """K = E - 5"""
    return E - 5


def region_b_h_of_anchor_h(anchor_w, anchor_h, b_w_of_anchor_w, b_h_of_anchor_h, lh, lw, first, last):
    r"""b_w_of_anchor_w[p] = anchor_w[p]/lw
    b_h_of_anchor_h[p] = anchor_h[p]/lh

    Shapes: anchor_w (P,), anchor_h (P,), b_w_of_anchor_w (P,), b_h_of_anchor_h (P,); float32 or float64,
    C-contiguous.
    """
    T = b_h_of_anchor_h.dtype.type
    c1 = T(1 / lw)
    c2 = T(1 / lh)
    for p in range(first, last):
        b_w_of_anchor_w[p] = c1 * anchor_w[p]
        b_h_of_anchor_h[p] = c2 * anchor_h[p]


def region_forward(
    z,
    column,
    row,
    b_w_of_anchor_w,
    b_h_of_anchor_h,
    x,
    y,
    w,
    h,
    o,
    t_c_relative,
    s_rest,
    c,
    b_x,
    b_y,
    b_w,
    b_h,
    lh,
    lw,
    first,
    last,
):
    r"""t_x[n, p] = z[n, p, 0]
    t_y[n, p] = z[n, p, 1]
    t_w[n, p] = z[n, p, 2]
    t_h[n, p] = z[n, p, 3]
    t_o[n, p] = z[n, p, 4]
    t_c[n, p, k] = z[n, p, 5 + k]
    x[n, p] = {1/(1 + exp(-|t_x[n, p]|)) if t_x[n, p] >= 0; exp(-|t_x[n, p]|)/(1 + exp(-|t_x[n, p]|)) otherwise}
    y[n, p] = {1/(1 + exp(-|t_y[n, p]|)) if t_y[n, p] >= 0; exp(-|t_y[n, p]|)/(1 + exp(-|t_y[n, p]|)) otherwise}
    w[n, p] = t_w[n, p]
    h[n, p] = t_h[n, p]
    o[n, p] = {1/(1 + exp(-|t_o[n, p]|)) if t_o[n, p] >= 0; exp(-|t_o[n, p]|)/(1 + exp(-|t_o[n, p]|)) otherwise}
    t_c_max[n, p] = max_k t_c[n, p, k]
    t_c_relative[n, p, k] = t_c[n, p, k] - t_c_max[n, p]
    s_rest[n, p] = sum_k {0 if k = t_c_max_at[n, p]; exp(t_c_relative[n, p, k]) otherwise}
    s_relative[n, p] = 1 + s_rest[n, p]
    c[n, p, k] = exp(t_c_relative[n, p, k])/s_relative[n, p]
    b_x[n, p] = (column[p] + x[n, p])/lw
    b_y[n, p] = (row[p] + y[n, p])/lh
    b_w[n, p] = exp(t_w[n, p])*b_w_of_anchor_w[p]
    b_h[n, p] = exp(t_h[n, p])*b_h_of_anchor_h[p]

    Stable form of x[n, p] = 1/(1 + exp(-t_x[n, p])); y[n, p] = 1/(1 + exp(-t_y[n, p])); o[n, p] = 1/(1 +
        exp(-t_o[n, p])); c[n, p, k] = g[n, p, k]/s[n, p]; b_w[n, p] = exp(t_w[n, p])*anchor_w[p]/lw; b_h[n, p] =
        exp(t_h[n, p])*anchor_h[p]/lh.
    Shapes: z (N, P, E), column (P,), row (P,), b_w_of_anchor_w (P,), b_h_of_anchor_h (P,), x (N, P), y (N, P), w
    (N, P), h (N, P), o (N, P), t_c_relative (N, P, K), s_rest (N, P), c (N, P, K), b_x (N, P), b_y (N, P), b_w
    (N, P), b_h (N, P); float32 or float64, C-contiguous.
    """
    T = b_h.dtype.type
    K = c.shape[2]
    P = b_h.shape[1]
    c1 = T(1 / lw)
    c2 = T(1 / lh)
    for n in range(first, last):
        for p in range(P):
            t_x = z[n, p, 0]
            t_y = z[n, p, 1]
            t_w = z[n, p, 2]
            t_h = z[n, p, 3]
            t_o = z[n, p, 4]
            q = exp(-abs(t_x))
            r = T(1) / (q + T(1))
            x[n, p] = r if t_x >= T(0) else q * r
            q = exp(-abs(t_y))
            r = T(1) / (q + T(1))
            y[n, p] = r if t_y >= T(0) else q * r
            w[n, p] = t_w
            h[n, p] = t_h
            q = exp(-abs(t_o))
            r = T(1) / (q + T(1))
            o[n, p] = r if t_o >= T(0) else q * r
            t_c_max = z[n, p, 5]
            t_c_max_at = 0
            for k in range(K):
                if z[n, p, k + 5] > t_c_max:
                    t_c_max = z[n, p, k + 5]
                    t_c_max_at = k
            for k in range(K):
                t_c_relative[n, p, k] = z[n, p, k + 5] - t_c_max
            total = T(0)
            for k in range(K):
                q = exp(t_c_relative[n, p, k])
                total += T(0) if k == t_c_max_at else q
            s_rest[n, p] = total
            s_relative = s_rest[n, p] + T(1)
            for k in range(K):
                c[n, p, k] = exp(t_c_relative[n, p, k]) / s_relative
            b_x[n, p] = c1 * (column[p] + x[n, p])
            b_y[n, p] = c2 * (row[p] + y[n, p])
            b_w[n, p] = exp(t_w) * b_w_of_anchor_w[p]
            b_h[n, p] = exp(t_h) * b_h_of_anchor_h[p]


def region_cost(
    scale,
    x,
    x_true,
    y,
    y_true,
    w,
    w_true,
    h,
    h_true,
    o,
    o_true,
    weight_o,
    c_true,
    s_rest,
    t_c_relative,
    weight_c,
    C,
    first,
    last,
):
    r"""C_x[n] = sum_p (x_true[n, p] - x[n, p])**2*scale[n, p]/2
    C_y[n] = sum_p (y_true[n, p] - y[n, p])**2*scale[n, p]/2
    C_w[n] = sum_p (w_true[n, p] - w[n, p])**2*scale[n, p]/2
    C_h[n] = sum_p (h_true[n, p] - h[n, p])**2*scale[n, p]/2
    C_o[n] = sum_p (o_true[n, p] - o[n, p])**2*weight_o[n, p]/2
    C_c[n] = sum_p sum_k (log1p(s_rest[n, p])*c_true[n, p, k]*weight_c[n, p] - c_true[n, p, k]*t_c_relative[n, p,
        k]*weight_c[n, p])
    C[n] = C_c[n] + C_h[n] + C_o[n] + C_w[n] + C_x[n] + C_y[n]

    Stable form of C[n] = C_c[n] + C_h[n] + C_o[n] + C_w[n] + C_x[n] + C_y[n].
    Shapes: scale (N, P), x (N, P), x_true (N, P), y (N, P), y_true (N, P), w (N, P), w_true (N, P), h (N, P),
    h_true (N, P), o (N, P), o_true (N, P), weight_o (N, P), c_true (N, P, K), s_rest (N, P), t_c_relative (N, P,
    K), weight_c (N, P), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    K = t_c_relative.shape[2]
    P = weight_c.shape[1]
    for n in range(first, last):
        C_x = T(0)
        for p in range(P):
            e = x_true[n, p] - x[n, p]
            C_x += T(0.5) * e * e * scale[n, p]
        C_y = T(0)
        for p in range(P):
            e = y_true[n, p] - y[n, p]
            C_y += T(0.5) * e * e * scale[n, p]
        C_w = T(0)
        for p in range(P):
            e = w_true[n, p] - w[n, p]
            C_w += T(0.5) * e * e * scale[n, p]
        C_h = T(0)
        for p in range(P):
            e = h_true[n, p] - h[n, p]
            C_h += T(0.5) * e * e * scale[n, p]
        C_o = T(0)
        for p in range(P):
            e = o_true[n, p] - o[n, p]
            C_o += T(0.5) * e * e * weight_o[n, p]
        C_c = T(0)
        for p in range(P):
            for k in range(K):
                C_c += (
                    log1p(s_rest[n, p]) * c_true[n, p, k] * weight_c[n, p]
                    - c_true[n, p, k] * t_c_relative[n, p, k] * weight_c[n, p]
                )
        C[n] = C_c + C_h + C_o + C_w + C_x + C_y


def region_input_sensitivity(
    c, c_true, h, h_true, o, o_true, scale, w, w_true, weight_c, weight_o, x, x_true, y, y_true, delta_z, first, last
):
    r"""delta_z[n, p, e] = (h[n, p] - h_true[n, p])*[e = 3]*scale[n, p]/N + (w[n, p] - w_true[n, p])*[e = 2]*scale[n,
        p]/N + (1 - o[n, p])*(o[n, p] - o_true[n, p])*[e = 4]*o[n, p]*weight_o[n, p]/N + (1 - x[n, p])*(x[n, p] -
        x_true[n, p])*[e = 0]*scale[n, p]*x[n, p]/N + (1 - y[n, p])*(y[n, p] - y_true[n, p])*[e = 1]*scale[n,
        p]*y[n, p]/N + {(c[n, p, e - 5] - c_true[n, p, e - 5])*weight_c[n, p]/N if e >= 5; 0 otherwise}

    From the forward equations above.
    Shapes: c (N, P, K), c_true (N, P, K), h (N, P), h_true (N, P), o (N, P), o_true (N, P), scale (N, P), w (N,
    P), w_true (N, P), weight_c (N, P), weight_o (N, P), x (N, P), x_true (N, P), y (N, P), y_true (N, P), delta_z
    (N, P, E); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    E = delta_z.shape[2]
    N = delta_z.shape[0]
    P = delta_z.shape[1]
    for n in range(first, last):
        for p in range(P):
            for e in range(E):
                delta_z[n, p, e] = T(0)
            delta_z[n, p, 3] += (h[n, p] - h_true[n, p]) * scale[n, p] / T(N)
            delta_z[n, p, 2] += (w[n, p] - w_true[n, p]) * scale[n, p] / T(N)
            delta_z[n, p, 4] += (T(1) - o[n, p]) * (o[n, p] - o_true[n, p]) * o[n, p] * weight_o[n, p] / T(N)
            delta_z[n, p, 0] += (T(1) - x[n, p]) * (x[n, p] - x_true[n, p]) * scale[n, p] * x[n, p] / T(N)
            delta_z[n, p, 1] += (T(1) - y[n, p]) * (y[n, p] - y_true[n, p]) * scale[n, p] * y[n, p] / T(N)
            for e in range(5, E):
                delta_z[n, p, e] += (c[n, p, e - 5] - c_true[n, p, e - 5]) * weight_c[n, p] / T(N)


REGION = Head(
    name="region",
    inputs=("z[n, p, e]",),
    constants=("column[p]", "row[p]", "anchor_w[p]", "anchor_h[p]"),
    targets=(
        "x_true[n, p]",
        "y_true[n, p]",
        "w_true[n, p]",
        "h_true[n, p]",
        "o_true[n, p]",
        "c_true[n, p, k]",
        "scale[n, p]",
        "weight_o[n, p]",
        "weight_c[n, p]",
    ),
    outputs=(
        "b_x[n, p]",
        "b_y[n, p]",
        "b_w[n, p]",
        "b_h[n, p]",
        "x[n, p]",
        "y[n, p]",
        "w[n, p]",
        "h[n, p]",
        "o[n, p]",
        "c[n, p, k]",
        "C[n]",
    ),
    buffers=("b_h_of_anchor_h[p]", "b_w_of_anchor_w[p]", "s_rest[n, p]", "t_c_relative[n, p, k]"),
    settings={"lw": None, "lh": None},
    sizes={"k": size_k},
    forward=(
        Kernel(
            region_b_h_of_anchor_h,
            arguments=("anchor_w[p]", "anchor_h[p]", "b_w_of_anchor_w[p]", "b_h_of_anchor_h[p]"),
            split="p",
            writes=("b_h_of_anchor_h", "b_w_of_anchor_w"),
            scalars=("lh", "lw"),
        ),
        Kernel(
            region_forward,
            arguments=(
                "z[n, p, e]",
                "column[p]",
                "row[p]",
                "b_w_of_anchor_w[p]",
                "b_h_of_anchor_h[p]",
                "x[n, p]",
                "y[n, p]",
                "w[n, p]",
                "h[n, p]",
                "o[n, p]",
                "t_c_relative[n, p, k]",
                "s_rest[n, p]",
                "c[n, p, k]",
                "b_x[n, p]",
                "b_y[n, p]",
                "b_w[n, p]",
                "b_h[n, p]",
            ),
            split="n",
            writes=("b_h", "b_w", "b_x", "b_y", "c", "h", "o", "s_rest", "t_c_relative", "w", "x", "y"),
            scalars=("lh", "lw"),
        ),
    ),
    cost=(
        Kernel(
            region_cost,
            arguments=(
                "scale[n, p]",
                "x[n, p]",
                "x_true[n, p]",
                "y[n, p]",
                "y_true[n, p]",
                "w[n, p]",
                "w_true[n, p]",
                "h[n, p]",
                "h_true[n, p]",
                "o[n, p]",
                "o_true[n, p]",
                "weight_o[n, p]",
                "c_true[n, p, k]",
                "s_rest[n, p]",
                "t_c_relative[n, p, k]",
                "weight_c[n, p]",
                "C[n]",
            ),
            split="n",
            writes=("C",),
        ),
    ),
    backward=(
        Kernel(
            region_input_sensitivity,
            arguments=(
                "c[n, p, k]",
                "c_true[n, p, k]",
                "h[n, p]",
                "h_true[n, p]",
                "o[n, p]",
                "o_true[n, p]",
                "scale[n, p]",
                "w[n, p]",
                "w_true[n, p]",
                "weight_c[n, p]",
                "weight_o[n, p]",
                "x[n, p]",
                "x_true[n, p]",
                "y[n, p]",
                "y_true[n, p]",
                "delta_z[n, p, e]",
            ),
            split="n",
            writes=("delta_z",),
        ),
    ),
)
