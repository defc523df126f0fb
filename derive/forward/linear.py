"""Linear (identity) activation."""

from derive.notation import indices, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("linear", inputs=[z[n, j]], outputs=[a[n, j]]) as linear:
    linear.a[n, j] = z[n, j]
