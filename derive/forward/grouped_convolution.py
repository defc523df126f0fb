"""Convolution in groups g, each of channels and filters of its own (Krizhevsky et al. 2012)."""

from derive.notation import Sum, counts, indices, size_of, system, tensors

n, g, o, c, p, q, u, v, i, j = indices("n g o c p q u v i j")
a, w, b, z = tensors("a w b z")
P, Q, U, V, I, J = map(size_of, (p, q, u, v, i, j))
stride, dilation = counts("stride dilation", least=1)
top, bottom, left, right = counts("top bottom left right")  # rows and columns of zeros around the plane

with system(
    "grouped_convolution",
    inputs=[a[n, g, c, p, q]],
    parameters=[w[g, o, c, u, v], b[g, o]],
    outputs=[z[n, g, o, i, j]],
    settings={stride: 1, dilation: 1, top: 0, bottom: 0, left: 0, right: 0},
    sizes={
        I: (P + top + bottom - dilation * (U - 1) - 1) // stride + 1,
        J: (Q + left + right - dilation * (V - 1) - 1) // stride + 1,
    },
) as grouped_convolution:
    row, column = stride * i + dilation * u - top, stride * j + dilation * v - left
    grouped_convolution.z[n, g, o, i, j] = Sum(w[g, o, c, u, v] * a[n, g, c, row, column], c, u, v) + b[g, o]
