"""Gradient descent: a step against the gradient of the mini-batch's mean cost."""

from derive.notation import indices, scalars, system, tensors

i = indices("i")
w, nabla = tensors("w nabla")
learning_rate = scalars("learning_rate")

with system(
    "gradient_descent",
    parameters=[w[i]],
    gradient=[nabla[i]],
    settings={learning_rate: 0.1},
) as gradient_descent:
    gradient_descent.w_new[i] = w[i] - learning_rate * nabla[i]
