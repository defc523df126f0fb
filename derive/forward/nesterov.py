"""Nesterov's accelerated gradient (1983; in the form of Sutskever et al. 2013, at the looked-ahead weights)."""

from derive.notation import indices, scalars, system, tensors

i = indices("i")
w, nabla, v = tensors("w nabla v")
learning_rate, momentum = scalars("learning_rate momentum")

with system(
    "nesterov",
    parameters=[w[i]],
    gradient=[nabla[i]],
    states=[v[i]],
    settings={learning_rate: 0.1, momentum: 0.9},
) as nesterov:
    nesterov.v_new[i] = momentum * v[i] - learning_rate * nabla[i]
    nesterov.w_new[i] = w[i] + momentum * nesterov.v_new[i] - learning_rate * nabla[i]
