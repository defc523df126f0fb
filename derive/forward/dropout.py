"""Dropout (Srivastava et al. 2014): a unit is left out with a probability, the others are scaled up to keep the mean."""

from derive.notation import cases, indices, otherwise, scalars, system, tensors

n, j = indices("n j")
z, u, a = tensors("z u a")  # u: drawn anew at each step, uniform in [0, 1)
probability = scalars("probability")

with system(
    "dropout",
    inputs=[z[n, j]],
    random=[u[n, j]],
    outputs=[a[n, j]],
    settings={probability: 0.5},
    given=[probability >= 0, probability < 1],
    inference="linear",
) as dropout:
    dropout.a[n, j] = cases((z[n, j] / (1 - probability), u[n, j] >= probability), (0, otherwise))
