"""Average pooling (LeCun et al. 1989): the mean over each window of U by V units, its padding of zeros included."""

from derive.notation import Sum, counts, indices, size_of, system, tensors

n, c, p, q, u, v, i, j = indices("n c p q u v i j")
a, z = tensors("a z")
U, V = size_of(u), size_of(v)
stride, padding = counts("stride", least=1), counts("padding")

with system(
    "average_pooling",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, c, i, j]],
    settings={U: 2, V: 2, stride: 2, padding: 0},
) as average_pooling:
    row, column = stride * i + u - padding, stride * j + v - padding
    average_pooling.z[n, c, i, j] = Sum(a[n, c, row, column], u, v) / (U * V)
