"""What a detector's last planes hold of each prediction p, as in Darknet: four numbers of its box, objectness, then the classes k.

Planes lie channels last, so that all numbers e of a prediction are neighbours.
"""

from derive.notation import indices, size_of, system, tensors

n, p, e, k = indices("n p e k")
z, t_x, t_y, t_w, t_h, t_o, t_c = tensors("z t_x t_y t_w t_h t_o t_c")
E = size_of(e)

with system(
    "predictions",
    inputs=[z[n, p, e]],
    outputs=[t_x[n, p], t_y[n, p], t_w[n, p], t_h[n, p], t_o[n, p], t_c[n, p, k]],
    sizes={size_of(k): E - 5},
) as predictions:
    predictions.t_x[n, p] = z[n, p, 0]
    predictions.t_y[n, p] = z[n, p, 1]
    predictions.t_w[n, p] = z[n, p, 2]
    predictions.t_h[n, p] = z[n, p, 3]
    predictions.t_o[n, p] = z[n, p, 4]
    predictions.t_c[n, p, k] = z[n, p, 5 + k]
