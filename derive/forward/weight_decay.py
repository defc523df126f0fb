"""Weight decay as the gradient of its penalty: half the decay times the squared length of the weights."""

from derive.notation import Sum, indices, scalars, system, tensors

i = indices("i")
w, R = tensors("w R")
weight_decay = scalars("weight_decay")

with system("weight_decay", parameters=[w[i]], outputs=[R[0]], settings={weight_decay: 0}) as penalty:
    penalty.R[0] = weight_decay * Sum(w[i] ** 2, i) / 2
