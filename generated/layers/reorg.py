"""Reorg, as in Darknet: `stride` times fewer rows and columns, `stride` squared times the channels, no value lost.

This is what Darknet's loop does, not what the layer's name says. Of stride^2 channels that follow each other it
puts the
rows below each other, and takes them in pieces of `stride` rows; h says which piece of each `stride`, and which
column,
the new channel begins with; what it has then is cut into channels anew. Facts: pjreddie/darknet, reorg_cpu in
src/blas.c
as forward_reorg_layer in src/reorg_layer.c calls it.

Forward equations:

    grouped[n, g, f, p, q] = a[n, f + g*stride**2, p, q]
    pieces[n, g, x, s, q] = grouped[n, g, (s + stride*x)//P, (s + stride*x) mod P, q]
    strided[n, h, g, r, s, j] = pieces[n, g, r*stride + h//stride, s, j*stride + h mod stride]
    channels[n, k, r, s, j] = strided[n, k//G, k mod G, r, s, j]
    z[n, d, i, j] = channels[n, d//stride**2, (i + I*(d mod stride**2))//stride, (i + I*(d mod stride**2)) mod
        stride, j]

Derived from them:

    delta_strided[n, h, g, r, s, j] = sum_(Max(stride**2*(g + G*h), ceiling((1 + s + r*stride + I*stride**2*(g +
        G*h) - I)/I)) <= d <= Min(D - 1, stride**2 + stride**2*(g + G*h) - 1, (s + r*stride + I*stride**2*(g +
        G*h))//I)) delta_z[n, d, s + r*stride + I*stride**2*(g + G*h) - I*d, j]
    delta_pieces[n, g, x, s, q] = sum_(Max(0, ceiling((x - (H - 1)//stride)/stride)) <= r <= Min(R - 1,
        x//stride)) sum_(Max(0, ceiling((1 + q - stride)/stride)) <= j <= Min(J - 1, q//stride)) {delta_strided[n,
        q + stride*x - j*stride - r*stride**2, g, r, s, j] if (j*stride + r*stride**2 - q - stride*x <= 0) & (H +
        j*stride + r*stride**2 - q - stride*x >= 1); 0 otherwise}
    delta_grouped[n, g, f, p, q] = sum_(Max(0, ceiling((1 + p + P*f - S)/stride)) <= x <= Min(X - 1, (p +
        P*f)//stride)) delta_pieces[n, g, x, p + P*f - stride*x, q]
    delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + c - F)/stride**2)) <= g <= Min(G - 1, c//stride**2))
        delta_grouped[n, g, c - g*stride**2, p, q]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def size_f(stride):
    """F = stride**2"""
    return stride**2


def size_g(C, stride):
    """G = C//stride**2"""
    return C // stride**2


def size_h(stride):
    """H = stride**2"""
    return stride**2


def size_k(G, H):
    """K = G*H"""
    return G * H


def size_d(F, K):
    """D = F*K"""
    return F * K


def size_x(P, stride):
    """X = P*stride"""
    return P * stride


def size_s(stride):
    """S = stride"""
    return stride


def size_r(P):
    """R = P"""
    return P


def size_i(P, stride):
    """I = P//stride"""
    return P // stride


def size_j(Q, stride):
    """J = Q//stride"""
    return Q // stride


def given_1(C, F, G):
    """C = F*G"""
    return F * G == C


def given_2(I, P, stride):
    """P = I*stride"""
    return I * stride == P


def given_3(J, Q, stride):
    """Q = J*stride"""
    return J * stride == Q


def reorg_pieces(a, pieces, stride, first, last):
    r"""grouped[n, g, f, p, q] = a[n, f + g*stride**2, p, q]
    pieces[n, g, x, s, q] = grouped[n, g, (s + stride*x)//P, (s + stride*x) mod P, q]

    Shapes: a (N, P, Q, C), pieces (N, S, Q, G, X); float32 or float64, C-contiguous.
    """
    G = pieces.shape[3]
    P = a.shape[1]
    Q = pieces.shape[2]
    S = pieces.shape[1]
    X = pieces.shape[4]
    stride = int(stride)
    for n in range(first, last):
        for s in range(S):
            for q in range(Q):
                for g in range(G):
                    for x in range(X):
                        pieces[n, s, q, g, x] = a[n, (s + stride * x) % P, q, g * stride**2 + (s + stride * x) // P]


def reorg_strided(pieces, strided, stride, first, last):
    r"""strided[n, h, g, r, s, j] = pieces[n, g, r*stride + h//stride, s, j*stride + h mod stride]

    Shapes: pieces (N, S, Q, G, X), strided (N, H, G, R, S, J); float32 or float64, C-contiguous.
    """
    T = strided.dtype.type
    G = strided.shape[2]
    H = strided.shape[1]
    J = strided.shape[5]
    R = strided.shape[3]
    S = strided.shape[4]
    X = pieces.shape[4]
    stride = int(stride)
    for n in range(first, last):
        for h in range(H):
            for g in range(G):
                for r in range(R):
                    for s in range(S):
                        for j in range(J):
                            strided[n, h, g, r, s, j] = T(0)
        for h in range(H):
            for g in range(G):
                for r in range(R):
                    for s in range(S):
                        for j in range(J):
                            if r * stride + h // stride < X:
                                strided[n, h, g, r, s, j] += pieces[
                                    n, s, j * stride + h % stride, g, r * stride + h // stride
                                ]


def reorg_forward(strided, z, stride, first, last):
    r"""channels[n, k, r, s, j] = strided[n, k//G, k mod G, r, s, j]
    z[n, d, i, j] = channels[n, d//stride**2, (i + I*(d mod stride**2))//stride, (i + I*(d mod stride**2)) mod
        stride, j]

    Shapes: strided (N, H, G, R, S, J), z (N, I, J, D); float32 or float64, C-contiguous.
    """
    D = z.shape[3]
    G = strided.shape[2]
    I = z.shape[1]
    J = z.shape[2]
    stride = int(stride)
    for n in range(first, last):
        for i in range(I):
            for j in range(J):
                for d in range(D):
                    z[n, i, j, d] = strided[
                        n,
                        (d // stride**2) // G,
                        (d // stride**2) % G,
                        (i + I * (d % stride**2)) // stride,
                        (i + I * (d % stride**2)) % stride,
                        j,
                    ]


def reorg_input_sensitivity(delta_z, delta_strided, delta_pieces, delta_grouped, delta_a, stride, first, last):
    r"""delta_strided[n, h, g, r, s, j] = sum_(Max(stride**2*(g + G*h), ceiling((1 + s + r*stride + I*stride**2*(g +
        G*h) - I)/I)) <= d <= Min(D - 1, stride**2 + stride**2*(g + G*h) - 1, (s + r*stride + I*stride**2*(g +
        G*h))//I)) delta_z[n, d, s + r*stride + I*stride**2*(g + G*h) - I*d, j]
    delta_pieces[n, g, x, s, q] = sum_(Max(0, ceiling((x - (H - 1)//stride)/stride)) <= r <= Min(R - 1,
        x//stride)) sum_(Max(0, ceiling((1 + q - stride)/stride)) <= j <= Min(J - 1, q//stride)) {delta_strided[n,
        q + stride*x - j*stride - r*stride**2, g, r, s, j] if (j*stride + r*stride**2 - q - stride*x <= 0) & (H +
        j*stride + r*stride**2 - q - stride*x >= 1); 0 otherwise}
    delta_grouped[n, g, f, p, q] = sum_(Max(0, ceiling((1 + p + P*f - S)/stride)) <= x <= Min(X - 1, (p +
        P*f)//stride)) delta_pieces[n, g, x, p + P*f - stride*x, q]
    delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + c - F)/stride**2)) <= g <= Min(G - 1, c//stride**2))
        delta_grouped[n, g, c - g*stride**2, p, q]

    From grouped[n, g, f, p, q] = a[n, f + g*stride**2, p, q]; pieces[n, g, x, s, q] = grouped[n, g, (s +
        stride*x)//P, (s + stride*x) mod P, q]; strided[n, h, g, r, s, j] = pieces[n, g, r*stride + h//stride, s,
        j*stride + h mod stride]; channels[n, k, r, s, j] = strided[n, k//G, k mod G, r, s, j]; z[n, d, i, j] =
        channels[n, d//stride**2, (i + I*(d mod stride**2))//stride, (i + I*(d mod stride**2)) mod stride, j].
    Shapes: delta_z (N, I, J, D), delta_strided (N, H, G, R, S, J), delta_pieces (N, S, Q, G, X), delta_grouped
    (N, P, Q, G, F), delta_a (N, P, Q, C); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    C = delta_a.shape[3]
    D = delta_z.shape[3]
    F = delta_grouped.shape[4]
    G = delta_grouped.shape[3]
    H = delta_strided.shape[1]
    I = delta_z.shape[1]
    J = delta_strided.shape[5]
    P = delta_a.shape[1]
    Q = delta_a.shape[2]
    R = delta_strided.shape[3]
    S = delta_pieces.shape[1]
    X = delta_pieces.shape[4]
    stride = int(stride)
    for n in range(first, last):
        for h in range(H):
            for g in range(G):
                for r in range(R):
                    for s in range(S):
                        for j in range(J):
                            total = T(0)
                            for d in range(
                                max(
                                    stride**2 * (g + G * h),
                                    (s + r * stride + I * stride**2 * (g + G * h)) // I,
                                    (s + r * stride + I * g * stride**2 + G * I * h * stride**2) // I,
                                ),
                                min(
                                    D,
                                    stride**2 + g * stride**2 + G * h * stride**2,
                                    g * stride**2 + G * h * stride**2 + (s + r * stride) // I + 1,
                                ),
                            ):
                                total += delta_z[n, s + r * stride + I * stride**2 * (g + G * h) - I * d, j, d]
                            delta_strided[n, h, g, r, s, j] = total
        for s in range(S):
            for q in range(Q):
                for g in range(G):
                    for x in range(X):
                        total1 = T(0)
                        for r in range(max(0, (x + stride - (H - 1) // stride - 1) // stride), min(R, x // stride + 1)):
                            for j in range(max(0, q // stride), min(J, q // stride + 1)):
                                if (
                                    j * stride + r * stride**2 <= q + stride * x
                                    and q + stride * x < H + j * stride + r * stride**2
                                ):
                                    total1 += delta_strided[n, q + stride * x - j * stride - r * stride**2, g, r, s, j]
                        delta_pieces[n, s, q, g, x] = total1
        for p in range(P):
            for q in range(Q):
                for g in range(G):
                    for f in range(F):
                        total2 = T(0)
                        for x in range(max(0, (p + stride + P * f - S) // stride), min(X, (p + P * f) // stride + 1)):
                            total2 += delta_pieces[n, p + P * f - stride * x, q, g, x]
                        delta_grouped[n, p, q, g, f] = total2
        for p in range(P):
            for q in range(Q):
                for c in range(C):
                    total3 = T(0)
                    for g in range(max(0, (c + stride**2 - F) // stride**2), min(G, c // stride**2 + 1)):
                        total3 += delta_grouped[n, p, q, g, c - g * stride**2]
                    delta_a[n, p, q, c] = total3


REORG = Layer(
    name="reorg",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, d, i, j]",),
    buffers=(
        "pieces[n, s, q, g, x]",
        "strided[n, h, g, r, s, j]",
        "delta_grouped[n, p, q, g, f]",
        "delta_pieces[n, s, q, g, x]",
        "delta_strided[n, h, g, r, s, j]",
    ),
    settings={"stride": 2},
    counts={"stride": 1},
    sizes={
        "f": size_f,
        "g": size_g,
        "h": size_h,
        "k": size_k,
        "d": size_d,
        "x": size_x,
        "s": size_s,
        "r": size_r,
        "i": size_i,
        "j": size_j,
    },
    given=(given_1, given_2, given_3),
    forward=(
        Kernel(
            reorg_pieces,
            arguments=("a[n, p, q, c]", "pieces[n, s, q, g, x]"),
            split="n",
            writes=("pieces",),
            scalars=("stride",),
        ),
        Kernel(
            reorg_strided,
            arguments=("pieces[n, s, q, g, x]", "strided[n, h, g, r, s, j]"),
            split="n",
            writes=("strided",),
            scalars=("stride",),
        ),
        Kernel(
            reorg_forward,
            arguments=("strided[n, h, g, r, s, j]", "z[n, i, j, d]"),
            split="n",
            writes=("z",),
            scalars=("stride",),
        ),
    ),
    backward=(
        Kernel(
            reorg_input_sensitivity,
            arguments=(
                "delta_z[n, i, j, d]",
                "delta_strided[n, h, g, r, s, j]",
                "delta_pieces[n, s, q, g, x]",
                "delta_grouped[n, p, q, g, f]",
                "delta_a[n, p, q, c]",
            ),
            split="n",
            writes=("delta_a", "delta_grouped", "delta_pieces", "delta_strided"),
            scalars=("stride",),
        ),
    ),
)
