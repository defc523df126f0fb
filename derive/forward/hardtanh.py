"""Hard hyperbolic tangent, Darknet's hardtan: the identity cut off at -1 and 1, of slope 0 there and beyond."""

from derive.notation import cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("hardtanh", inputs=[z[n, j]], outputs=[a[n, j]]) as hardtanh:
    hardtanh.a[n, j] = cases((-1, z[n, j] <= -1), (1, z[n, j] >= 1), (z[n, j], otherwise))
