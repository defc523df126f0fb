"""Hyperbolic tangent."""

from derive.notation import indices, system, tanh, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("tanh", inputs=[z[n, j]], outputs=[a[n, j]]) as hyperbolic_tangent:
    hyperbolic_tangent.a[n, j] = tanh(z[n, j])
