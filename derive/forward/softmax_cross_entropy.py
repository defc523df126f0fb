"""Cross-entropy of a target distribution t over classes (shares that add up to one) and the predicted one."""

from derive.notation import Eq, Sum, indices, log, system, tensors

n, j = indices("n j")
a, t, C = tensors("a t C")

with system(
    "softmax_cross_entropy",
    inputs=[a[n, j]],
    targets=[t[n, j]],
    outputs=[C[n]],
    given=[Eq(Sum(t[n, j], j), 1)],
) as softmax_cross_entropy:
    softmax_cross_entropy.C[n] = Sum(-t[n, j] * log(a[n, j]), j)
