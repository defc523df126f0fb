"""Max pooling (Ranzato et al. 2007): of each window of U by V units the largest; of equals the first, of padding none.

Forward equations:

    z[n, c, i, j] = max_u, v {a[n, c, u + i*stride - top, v + j*stride - left] if (u + i*stride - top >= 0) & (v +
        j*stride - left >= 0) & (top + P - u - i*stride >= 1) & (left + Q - v - j*stride >= 1); -oo otherwise}

Derived from them:

    delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p + top)//stride))
        sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride)) [p + top -
        i*stride = z_at_u[n, c, i, j]]*[q + left - j*stride = z_at_v[n, c, i, j]]*delta_z[n, c, i, j]

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import inf, int16

from ..definition import Layer
from ..lanes import ahead, lanes, where
from ..program import Kernel


def size_i(P, U, bottom, stride, top):
    """I = 1 + (bottom + top + P - U)//stride"""
    return (bottom + top + P - U) // stride + 1


def size_j(Q, V, left, right, stride):
    """J = 1 + (left + right + Q - V)//stride"""
    return (left + right + Q - V) // stride + 1


def max_pooling_forward(a, z, z_at_u, z_at_v, U, V, left, stride, top, first, last):
    r"""z[n, c, i, j] = max_u, v {a[n, c, u + i*stride - top, v + j*stride - left] if (u + i*stride - top >= 0) & (v +
        j*stride - left >= 0) & (top + P - u - i*stride >= 1) & (left + Q - v - j*stride >= 1); -oo otherwise}

    Shapes: a (N, P, Q, C), z (N, I, J, C), z_at_u (N, I, J, C), z_at_v (N, I, J, C); float32 or float64, z_at_u,
    z_at_v int16, C-contiguous.
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
    for n in range(first, last):
        for i in range(I):
            first_u = max(0, top - i * stride)
            last_u = min(U, P + top - i * stride)
            for j in range(J):
                first_v = max(0, left - j * stride)
                last_v = min(V, Q + left - j * stride)
                for c in lanes(C):
                    z_so_far = -T(inf)
                    z_at_u_so_far = int16(first_u)
                    z_at_v_so_far = int16(first_v)
                    for u in range(first_u, last_u):
                        for v in range(first_v, last_v):
                            value = a[n, u + i * stride - top, v + j * stride - left, c]
                            ahead(a, (n, u + stride * (i + 1) - top, v + j * stride - left, c))
                            better = (value > z_so_far) | (value != value)
                            z_so_far = where(better, value, z_so_far)
                            z_at_u_so_far = where(better, int16(u), z_at_u_so_far)
                            z_at_v_so_far = where(better, int16(v), z_at_v_so_far)
                    z[n, i, j, c] = z_so_far
                    z_at_u[n, i, j, c] = z_at_u_so_far
                    z_at_v[n, i, j, c] = z_at_v_so_far


def max_pooling_input_sensitivity(delta_z, z_at_u, z_at_v, delta_a, U, V, left, stride, top, first, last):
    r"""delta_a[n, c, p, q] = sum_(Max(0, ceiling((1 + p + top - U)/stride)) <= i <= Min(I - 1, (p + top)//stride))
        sum_(Max(0, ceiling((1 + q + left - V)/stride)) <= j <= Min(J - 1, (q + left)//stride)) [p + top -
        i*stride = z_at_u[n, c, i, j]]*[q + left - j*stride = z_at_v[n, c, i, j]]*delta_z[n, c, i, j]

    From z[n, c, i, j] = max_u, v {a[n, c, u + i*stride - top, v + j*stride - left] if (u + i*stride - top >= 0) &
        (v + j*stride - left >= 0) & (top + P - u - i*stride >= 1) & (left + Q - v - j*stride >= 1); -oo
        otherwise}.
    Documents: max pooling (conditional, all sizes).
    Shapes: delta_z (N, I, J, C), z_at_u (N, I, J, C), z_at_v (N, I, J, C), delta_a (N, P, Q, C); float32 or
    float64, z_at_u, z_at_v int16, C-contiguous.
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
                    ahead(z_at_u, (n, last_i, first_j, c))
                    ahead(z_at_v, (n, last_i, first_j, c))
                    for i in range(first_i, last_i):
                        for j in range(first_j, last_j):
                            total += where(
                                (z_at_u[n, i, j, c] == int16(p + top - i * stride))
                                & (z_at_v[n, i, j, c] == int16(q + left - j * stride)),
                                delta_z[n, i, j, c],
                                T(0),
                            )
                    delta_a[n, p, q, c] = total


MAX_POOLING = Layer(
    name="max_pooling",
    inputs=("a[n, c, p, q]",),
    outputs=("z[n, c, i, j]",),
    buffers=("z_at_u[n, i, j, c]: int16", "z_at_v[n, i, j, c]: int16"),
    settings={"U": 2, "V": 2, "stride": 2, "top": 0, "bottom": 0, "left": 0, "right": 0},
    counts={"U": 1, "V": 1, "stride": 1, "top": 0, "bottom": 0, "left": 0, "right": 0},
    sizes={"i": size_i, "j": size_j},
    forward=(
        Kernel(
            max_pooling_forward,
            arguments=("a[n, p, q, c]", "z[n, i, j, c]", "z_at_u[n, i, j, c]: int16", "z_at_v[n, i, j, c]: int16"),
            split="n",
            writes=("z", "z_at_u", "z_at_v"),
            lane="c",
            registers=2,
            fixed=("U", "V", "left", "stride", "top"),
            scalars=("U", "V", "left", "stride", "top"),
        ),
    ),
    backward=(
        Kernel(
            max_pooling_input_sensitivity,
            arguments=(
                "delta_z[n, i, j, c]",
                "z_at_u[n, i, j, c]: int16",
                "z_at_v[n, i, j, c]: int16",
                "delta_a[n, p, q, c]",
            ),
            split="n",
            writes=("delta_a",),
            lane="c",
            fixed=("U", "V", "left", "stride", "top"),
            scalars=("U", "V", "left", "stride", "top"),
        ),
    ),
)
