"""Rectifier that leaks a hundredth where the input is not positive, as in Darknet."""

from derive.notation import cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("relie", inputs=[z[n, j]], outputs=[a[n, j]]) as relie:
    relie.a[n, j] = cases((z[n, j], z[n, j] > 0), (z[n, j] / 100, otherwise))
