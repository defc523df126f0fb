"""Gradient descent with momentum (Polyak 1964): the velocity v remembers earlier steps."""

from derive.notation import indices, scalars, system, tensors

i = indices("i")
w, nabla, v = tensors("w nabla v")
learning_rate, momentum = scalars("learning_rate momentum")

with system(
    "momentum",
    parameters=[w[i]],
    gradient=[nabla[i]],
    states=[v[i]],
    settings={learning_rate: 0.1, momentum: 0.9},
) as heavy_ball:
    heavy_ball.v_new[i] = momentum * v[i] - learning_rate * nabla[i]
    heavy_ball.w_new[i] = w[i] + heavy_ball.v_new[i]
