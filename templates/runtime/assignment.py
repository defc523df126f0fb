"""Which predictions of a head answer for which truths: data to its equations, as in Darknet's src/yolo_layer.c and
src/region_layer.c.

A prediction is to say that nothing is there, but is left in peace where its box covers a truth well: where their best
intersection over union is above a threshold. Each truth belongs to the anchor that is most like it in shape, of all there
are; the head that has this anchor (its mask) answers for the truth, with the prediction of that anchor in the truth's cell.
Of several truths in one place the last has its box there. What differs from head to head are settings:

    bias_match      1: shape is that of the anchors; 0: that of the boxes predicted in the truth's cell
    rescore         1: the objectness asked for is the intersection over union of prediction and truth; 0: it is one
    single          1: of several truths in one place the last has its class; 0: the classes of all count
    coord_scale, object_scale, noobject_scale, class_scale    what the terms of the cost count
    warm_samples    so many samples long, every prediction that answers for no truth is drawn to the middle of its cell
                    and to the size of its anchor, with the weight 0.01

A ``[region]`` is warm for its first 12,800 samples, which keeps random weights from boxes without measure; YOLOv2 was trained
so, and its successors without. Seen counts as in Darknet, this mini-batch (or part of one) included: the number of the step
times its size. Only training steps are warm: the loss and the gradients of a network are those of its cost.
"""

from math import inf

from numba import njit

from .functions import log
from .native import OPTIONS
from .program import Kernel

NONE = -1  # the class of a row that is no truth
WARM = 0.01  # weight of the pull to the anchors
ROW = 5  # numbers of a truth: its class, then x, y (centre), w, h (size), in shares of the network's input

_inline = njit(forceinline=True, **OPTIONS)


@_inline
def shared(centre, size, other_centre, other_size):
    """The length that two intervals share, zero where they are apart."""
    end = min(centre + size / 2, other_centre + other_size / 2)
    begin = max(centre - size / 2, other_centre - other_size / 2)
    return max(min(end - begin, size, other_size), 0.0)


@_inline
def intersection_over_union(x, y, w, h, other_x, other_y, other_w, other_h):
    """The area that two boxes (centre x, y and size w, h) share, over that which they cover; 0 where that is none or has no end."""
    both = shared(x, w, other_x, other_w) * shared(y, h, other_y, other_h)
    either = w * h + other_w * other_h - both
    return both / either if both > 0 and either < inf else 0.0


@_inline
def likeness(w, h, other_w, other_h):
    """The intersection over union of two sizes, as of boxes with one centre."""
    return intersection_over_union(0.0, 0.0, w, h, 0.0, 0.0, other_w, other_h)


@_inline
def likest_anchor(w, h, anchor):
    """The number of the anchor, (M, 2) in the units of w and h, whose size is most like this one; of equal ones the first."""
    best, found = 0.0, 0
    for m in range(anchor.shape[0]):
        value = likeness(w, h, float(anchor[m, 0]), float(anchor[m, 1]))
        if value > best:
            best, found = value, m
    return found


@_inline
def likest_prediction(w, h, n, begin, count, b_w, b_h):
    """Which of ``count`` predictions, from ``begin`` on, has a box whose size is most like this one; of equal ones the first."""
    best, found = 0.0, 0
    for a in range(count):
        value = likeness(w, h, float(b_w[n, begin + a]), float(b_h[n, begin + a]))
        if value > best:
            best, found = value, a
    return found


@_inline
def count_of(truth, n):
    """How many truths a sample has: its rows up to the first that is none."""
    count = 0
    while count < truth.shape[1] and truth[n, count, 0] >= 0:
        count += 1
    return count


def assign(
    b_x, b_y, b_w, b_h, truth, anchor, mask, x_true, y_true, w_true, h_true, o_true, c_true, scale, weight_o, weight_c,
    lh, lw, net_h, net_w, ignore_threshold, truth_threshold, bias_match, rescore, single,
    coord_scale, object_scale, noobject_scale, class_scale, warm_samples, step, first, last
):  # fmt: skip
    r"""The targets and weights of a head's predictions.

    p counts cells row by row, in each the anchors of the mask. anchor[m] is (width, height) in units of which the network's
    input has net_w x net_h; the grid has lw x lh cells. A prediction answers for the truth that its box covers best where
    their intersection over union is above truth_threshold; from ignore_threshold on it is not asked for objectness.

    Shapes: b_x, b_y, b_w, b_h, x_true, y_true, w_true, h_true, o_true, scale, weight_o, weight_c (N, P), c_true
    (N, P, K), truth (N, T, 5), anchor (M, 2), mask (A,) int32; float32 or float64, C-contiguous.
    """
    T = scale.dtype.type
    A = mask.shape[0]
    columns, rows = int(lw), int(lh)
    warm = step * b_x.shape[0] < warm_samples
    for n in range(first, last):
        count = count_of(truth, n)
        for p in range(b_x.shape[1]):
            best, covered = 0.0, 0
            for t in range(count):
                value = covering(n, p, t, b_x, b_y, b_w, b_h, truth)
                if value > best:
                    best, covered = value, t
            x_true[n, p] = y_true[n, p] = T(0.5) if warm else T(0)
            w_true[n, p] = h_true[n, p] = o_true[n, p] = T(0)
            scale[n, p] = T(WARM) if warm else T(0)
            weight_c[n, p] = T(0)
            weight_o[n, p] = T(0) if best > ignore_threshold else T(noobject_scale)
            for k in range(c_true.shape[2]):
                c_true[n, p, k] = T(0)
            if best > truth_threshold:
                answer(
                    n, p, covered, p // A % columns, p // A // columns, mask[p % A], b_x, b_y, b_w, b_h, truth, anchor,
                    x_true, y_true, w_true, h_true, o_true, c_true, scale, weight_o, weight_c, columns, rows, net_h, net_w,
                    rescore, single, coord_scale, object_scale, class_scale
                )  # fmt: skip
        for t in range(count):
            w, h = float(truth[n, t, 3]), float(truth[n, t, 4])
            column = min(int(float(truth[n, t, 1]) * columns), columns - 1)  # also of a centre on the border
            row = min(int(float(truth[n, t, 2]) * rows), rows - 1)
            cell = (row * columns + column) * A
            if bias_match != 0:
                m = likest_anchor(w * net_w, h * net_h, anchor)
            else:
                m = mask[likest_prediction(w, h, n, cell, A, b_w, b_h)]
            for a in range(A):
                if mask[a] == m:
                    answer(
                        n, cell + a, t, column, row, m, b_x, b_y, b_w, b_h, truth, anchor, x_true, y_true, w_true, h_true,
                        o_true, c_true, scale, weight_o, weight_c, columns, rows, net_h, net_w, rescore, single,
                        coord_scale, object_scale, class_scale
                    )  # fmt: skip


@_inline
def covering(n, p, t, b_x, b_y, b_w, b_h, truth):
    """The intersection over union of the box of prediction p with truth t."""
    return intersection_over_union(
        float(b_x[n, p]), float(b_y[n, p]), float(b_w[n, p]), float(b_h[n, p]),
        float(truth[n, t, 1]), float(truth[n, t, 2]), float(truth[n, t, 3]), float(truth[n, t, 4]),
    )  # fmt: skip


@_inline
def answer(
    n, p, t, column, row, m, b_x, b_y, b_w, b_h, truth, anchor, x_true, y_true, w_true, h_true, o_true, c_true, scale,
    weight_o, weight_c, columns, rows, net_h, net_w, rescore, single, coord_scale, object_scale, class_scale
):  # fmt: skip
    """Prediction p, of anchor m in this cell, is to have the box and the class of truth t; and perhaps the classes it had."""
    T = scale.dtype.type
    w, h = float(truth[n, t, 3]), float(truth[n, t, 4])
    x_true[n, p] = T(float(truth[n, t, 1]) * columns - column)
    y_true[n, p] = T(float(truth[n, t, 2]) * rows - row)
    w_true[n, p] = T(log(w * net_w / float(anchor[m, 0])))
    h_true[n, p] = T(log(h * net_h / float(anchor[m, 1])))
    scale[n, p] = T(coord_scale * (2 - w * h))
    o_true[n, p] = T(covering(n, p, t, b_x, b_y, b_w, b_h, truth)) if rescore != 0 else T(1)
    weight_o[n, p] = T(object_scale)
    weight_c[n, p] = T(class_scale)
    if single != 0:
        for k in range(c_true.shape[2]):
            c_true[n, p, k] = T(0)
    c_true[n, p, int(truth[n, t, 0])] = T(1)


ASSIGN = Kernel(
    assign,
    arguments=(
        *("b_x[n, p]", "b_y[n, p]", "b_w[n, p]", "b_h[n, p]", "truth[n, t, f]", "anchor[m, d]", "mask[a]: int32"),
        *("x_true[n, p]", "y_true[n, p]", "w_true[n, p]", "h_true[n, p]", "o_true[n, p]", "c_true[n, p, k]"),
        *("scale[n, p]", "weight_o[n, p]", "weight_c[n, p]"),
    ),
    split="n",
    writes=("x_true", "y_true", "w_true", "h_true", "o_true", "c_true", "scale", "weight_o", "weight_c"),
    scalars=(
        *("lh", "lw", "net_h", "net_w", "ignore_threshold", "truth_threshold", "bias_match", "rescore", "single"),
        *("coord_scale", "object_scale", "noobject_scale", "class_scale", "warm_samples", "step"),
    ),
)
