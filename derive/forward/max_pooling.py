"""Max pooling (Ranzato et al. 2007): of each window of U by V units the largest; of equals the first, of padding none."""

from derive.notation import MaxOver, counts, indices, size_of, system, tensors

n, c, p, q, u, v, i, j = indices("n c p q u v i j")
a, z = tensors("a z")
P, Q, U, V, I, J = map(size_of, (p, q, u, v, i, j))
stride = counts("stride", least=1)
top, bottom, left, right = counts("top bottom left right")  # rows and columns of padding around the plane

with system(
    "max_pooling",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, c, i, j]],
    settings={U: 2, V: 2, stride: 2, top: 0, bottom: 0, left: 0, right: 0},
    sizes={I: (P + top + bottom - U) // stride + 1, J: (Q + left + right - V) // stride + 1},
) as max_pooling:
    row, column = stride * i + u - top, stride * j + v - left
    inside = [row >= 0, row < P, column >= 0, column < Q]
    max_pooling.z[n, c, i, j] = MaxOver(a[n, c, row, column], u, v, where=inside)
