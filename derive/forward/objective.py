"""What training lowers: the mean cost over the samples n of a mini-batch."""

from derive.notation import Sum, indices, size_of, system, tensors

n = indices("n")
C, E = tensors("C E")

with system("objective", inputs=[C[n]], outputs=[E[0]]) as objective:
    objective.E[0] = Sum(C[n], n) / size_of(n)
