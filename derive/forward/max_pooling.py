"""Max pooling (Ranzato et al. 2007): of each window of U by V units the largest; of equals the first, of padding none."""

from derive.notation import MaxOver, counts, indices, size_of, system, tensors

n, c, p, q, u, v, i, j = indices("n c p q u v i j")
a, z = tensors("a z")
U, V = size_of(u), size_of(v)
stride, padding = counts("stride", least=1), counts("padding")

with system(
    "max_pooling",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, c, i, j]],
    settings={U: 2, V: 2, stride: 2, padding: 0},
) as max_pooling:
    row, column = stride * i + u - padding, stride * j + v - padding
    inside = [row >= 0, row < size_of(p), column >= 0, column < size_of(q)]
    max_pooling.z[n, c, i, j] = MaxOver(a[n, c, row, column], u, v, where=inside)
