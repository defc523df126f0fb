"""Gradient descent with momentum as in Darknet: the velocity v adds up gradients, the learning rate multiplies it.

At a constant rate its steps are those of `momentum`, whose velocity is this one times the rate. Where the rate changes
they differ: here a new rate at once scales all that v remembers, there what was gathered at an old rate keeps it.
Facts: pjreddie/darknet, update_convolutional_layer in src/convolutional_layer.c (its updates are -nabla).
"""

from derive.notation import indices, scalars, system, tensors

i = indices("i")
w, nabla, v = tensors("w nabla v")
learning_rate, momentum = scalars("learning_rate momentum")

with system(
    "momentum_darknet",
    parameters=[w[i]],
    gradient=[nabla[i]],
    states=[v[i]],
    settings={learning_rate: 0.001, momentum: 0.9},
) as darknet:
    darknet.v_new[i] = momentum * v[i] - nabla[i]
    darknet.w_new[i] = w[i] + learning_rate * darknet.v_new[i]
