"""YOLOv3's cost, recovered from Darknet's `delta`: cross-entropies, and half the squared errors of width and height."""

from typing import Any

from derive.notation import Sum, indices, log, system, tensors

n, p, k = indices("n p k")
x, y, w, h, o, c = tensors("x y w h o c")
x_true, y_true, w_true, h_true, o_true, c_true = tensors("x_true y_true w_true h_true o_true c_true")
scale, weight_o, weight_c = tensors("scale weight_o weight_c")  # of box, objectness and classes; 0: does not count
C, C_x, C_y, C_w, C_h, C_o, C_c = tensors("C C_x C_y C_w C_h C_o C_c")


def cross_entropy(t: Any, a: Any) -> Any:
    """Of a target t in [0, 1] and its predicted probability a."""
    return -t * log(a) - (1 - t) * log(1 - a)


with system(
    "yolo_cost",
    inputs=[x[n, p], y[n, p], w[n, p], h[n, p], o[n, p], c[n, p, k]],
    targets=[
        *[x_true[n, p], y_true[n, p], w_true[n, p], h_true[n, p], o_true[n, p], c_true[n, p, k]],
        *[scale[n, p], weight_o[n, p], weight_c[n, p]],
    ],
    outputs=[C[n]],
) as yolo_cost:
    yolo_cost.C_x[n] = Sum(scale[n, p] * cross_entropy(x_true[n, p], x[n, p]), p)
    yolo_cost.C_y[n] = Sum(scale[n, p] * cross_entropy(y_true[n, p], y[n, p]), p)
    yolo_cost.C_w[n] = Sum(scale[n, p] * (w_true[n, p] - w[n, p]) ** 2, p) / 2
    yolo_cost.C_h[n] = Sum(scale[n, p] * (h_true[n, p] - h[n, p]) ** 2, p) / 2
    yolo_cost.C_o[n] = Sum(weight_o[n, p] * cross_entropy(o_true[n, p], o[n, p]), p)
    yolo_cost.C_c[n] = Sum(weight_c[n, p] * cross_entropy(c_true[n, p, k], c[n, p, k]), p, k)
    yolo_cost.C[n] = C_x[n] + C_y[n] + C_w[n] + C_h[n] + C_o[n] + C_c[n]
