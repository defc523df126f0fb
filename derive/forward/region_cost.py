"""YOLOv2's cost, recovered from Darknet's `delta`: half the squared errors, and the cross-entropy of the classes."""

from derive.notation import Eq, Sum, indices, log, system, tensors

n, p, k = indices("n p k")
x, y, w, h, o, c = tensors("x y w h o c")
x_true, y_true, w_true, h_true, o_true, c_true = tensors("x_true y_true w_true h_true o_true c_true")
scale, weight_o, weight_c = tensors("scale weight_o weight_c")  # of box, objectness and classes; 0: does not count
C, C_x, C_y, C_w, C_h, C_o, C_c = tensors("C C_x C_y C_w C_h C_o C_c")

with system(
    "region_cost",
    inputs=[x[n, p], y[n, p], w[n, p], h[n, p], o[n, p], c[n, p, k]],
    targets=[
        *[x_true[n, p], y_true[n, p], w_true[n, p], h_true[n, p], o_true[n, p], c_true[n, p, k]],
        *[scale[n, p], weight_o[n, p], weight_c[n, p]],
    ],
    outputs=[C[n]],
    given=[Eq(Sum(c_true[n, p, k], k), 1)],
) as region_cost:
    region_cost.C_x[n] = Sum(scale[n, p] * (x_true[n, p] - x[n, p]) ** 2, p) / 2
    region_cost.C_y[n] = Sum(scale[n, p] * (y_true[n, p] - y[n, p]) ** 2, p) / 2
    region_cost.C_w[n] = Sum(scale[n, p] * (w_true[n, p] - w[n, p]) ** 2, p) / 2
    region_cost.C_h[n] = Sum(scale[n, p] * (h_true[n, p] - h[n, p]) ** 2, p) / 2
    region_cost.C_o[n] = Sum(weight_o[n, p] * (o_true[n, p] - o[n, p]) ** 2, p) / 2
    region_cost.C_c[n] = Sum(-weight_c[n, p] * c_true[n, p, k] * log(c[n, p, k]), p, k)
    region_cost.C[n] = C_x[n] + C_y[n] + C_w[n] + C_h[n] + C_o[n] + C_c[n]
