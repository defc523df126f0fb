"""Rectified linear unit; its slope at 0 is 0."""

from derive.notation import cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("relu", inputs=[z[n, j]], outputs=[a[n, j]]) as relu:
    relu.a[n, j] = cases((z[n, j], z[n, j] > 0), (0, otherwise))
