"""Swish (Ramachandran et al. 2017): the input weighed by its logistic function; with beta = 1 the SiLU."""

from derive.notation import exp, indices, scalars, system, tensors

n, j = indices("n j")
z, a = tensors("z a")
beta = scalars("beta")

with system("swish", inputs=[z[n, j]], outputs=[a[n, j]], settings={beta: 1}) as swish:
    swish.a[n, j] = z[n, j] / (1 + exp(-beta * z[n, j]))
