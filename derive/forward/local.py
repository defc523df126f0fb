"""Locally connected layer: a convolution whose weights and biases are each place's own (LeCun 1989)."""

from derive.notation import Sum, counts, indices, size_of, system, tensors

n, o, c, p, q, u, v, i, j = indices("n o c p q u v i j")
a, w, b, z = tensors("a w b z")
P, Q, U, V, I, J = map(size_of, (p, q, u, v, i, j))
stride = counts("stride", least=1)
top, bottom, left, right = counts("top bottom left right")  # rows and columns of zeros around the plane

with system(
    "local",
    inputs=[a[n, c, p, q]],
    parameters=[w[i, j, o, c, u, v], b[o, i, j]],
    outputs=[z[n, o, i, j]],
    settings={stride: 1, top: 0, bottom: 0, left: 0, right: 0},
    sizes={I: (P + top + bottom - U) // stride + 1, J: (Q + left + right - V) // stride + 1},
) as local:
    row, column = stride * i + u - top, stride * j + v - left
    local.z[n, o, i, j] = Sum(w[i, j, o, c, u, v] * a[n, c, row, column], c, u, v) + b[o, i, j]
