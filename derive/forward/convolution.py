"""Convolutional layer with stride and zero padding (LeCun et al. 1989); as the field computes it, a cross-correlation."""

from derive.notation import Sum, counts, indices, system, tensors

n, o, c, p, q, u, v, i, j = indices("n o c p q u v i j")
a, w, b, z = tensors("a w b z")
stride, padding = counts("stride", least=1), counts("padding")

with system(
    "convolution",
    inputs=[a[n, c, p, q]],
    parameters=[w[o, c, u, v], b[o]],
    outputs=[z[n, o, i, j]],
    settings={stride: 1, padding: 0},
) as convolution:
    row, column = stride * i + u - padding, stride * j + v - padding
    convolution.z[n, o, i, j] = Sum(w[o, c, u, v] * a[n, c, row, column], c, u, v) + b[o]
