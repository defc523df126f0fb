"""Adam (Kingma & Ba 2014): steps scaled by running moments m and v of the gradient; `step` counts from 1."""

from derive.notation import indices, scalars, sqrt, system, tensors

i = indices("i")
w, nabla, m, v = tensors("w nabla m v")
learning_rate, beta1, beta2, epsilon, step = scalars("learning_rate beta1 beta2 epsilon step")

with system(
    "adam",
    parameters=[w[i]],
    gradient=[nabla[i]],
    states=[m[i], v[i]],
    settings={learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, step: None},
) as adam:
    adam.m_new[i] = beta1 * m[i] + (1 - beta1) * nabla[i]
    adam.v_new[i] = beta2 * v[i] + (1 - beta2) * nabla[i] ** 2
    adam.m_hat[i] = adam.m_new[i] / (1 - beta1**step)
    adam.v_hat[i] = adam.v_new[i] / (1 - beta2**step)
    adam.w_new[i] = w[i] - learning_rate * adam.m_hat[i] / (sqrt(adam.v_hat[i]) + epsilon)
