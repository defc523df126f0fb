"""Rectifier on a ramp: slope 0.1 where the input is not positive, 1.1 where it is, as in Darknet."""

from derive.notation import Rational, cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("ramp", inputs=[z[n, j]], outputs=[a[n, j]]) as ramp:
    ramp.a[n, j] = cases((z[n, j] * Rational(11, 10), z[n, j] > 0), (z[n, j] / 10, otherwise))
