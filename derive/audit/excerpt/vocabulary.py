"""What the names of an excerpt mean, as YOLOv3's `yolo_layer.c` has them. A name that does not stand here has no meaning."""

import sympy as sp


def integer(name: str, **kind: bool) -> sp.Symbol:
    return sp.Symbol(name, integer=True, **kind)


INDEX, OBJECT_INDEX, STRIDE = integer("index"), integer("obj_index"), integer("stride", positive=True)
CLASS, CLASSES = integer("class", nonnegative=True), integer("classes", positive=True)
N = integer("n", nonnegative=True)  # of an anchor; in an excerpt about classes, of a class
BEST_IOU, TRUTH_THRESH, IGNORE_THRESH = sp.symbols("best_iou truth_thresh ignore_thresh", real=True)
NAMES: dict[str, sp.Symbol] = {
    **{s.name: s for s in (INDEX, OBJECT_INDEX, STRIDE, N, BEST_IOU)},
    **dict.fromkeys(("class", "class_id"), CLASS),
    **dict.fromkeys(("classes", "l.classes"), CLASSES),
    **dict.fromkeys(("truth_thresh", "l.truth_thresh"), TRUTH_THRESH),
    **dict.fromkeys(("ignore_thresh", "l.ignore_thresh"), IGNORE_THRESH),
    **{name: integer(name, nonnegative=True) for name in ("i", "j")},
    **{name: integer(name, positive=True) for name in ("lw", "lh", "w", "h")},
    **{name: sp.Symbol(name, real=True) for name in ("tx", "ty", "tw", "th", "truth.x", "truth.y")},
    **{name: sp.Symbol(name, positive=True) for name in ("scale", "truth.w", "truth.h")},
}
CALLED_WITH = {
    "scale": "2 - truth.w*truth.h"
}  # what `yolo_layer.c` hands to the function whose excerpt does not say it
DELTA, OUTPUT = (sp.IndexedBase(name, real=True) for name in ("delta", "output"))
BIASES = sp.IndexedBase("biases", positive=True)
ARRAYS = {
    **dict.fromkeys(("delta", "l.delta"), DELTA),
    **dict.fromkeys(("output", "x", "l.output"), OUTPUT),
    **dict.fromkeys(("biases", "l.biases"), BIASES),
}
LATER = integer("later", nonnegative=True)  # 1 where an earlier truth was assigned, else 0
EARLIER = sp.IndexedBase("t", integer=True)  # the classes' targets that it left, each 0 or 1
FUNCTIONS = {"log": sp.log, "logf": sp.log, "exp": sp.exp, "expf": sp.exp}
SHARES = {BEST_IOU, TRUTH_THRESH, IGNORE_THRESH}  # what lies between 0 and 1
SHARES |= {NAMES[name] for name in ("tx", "ty", "truth.x", "truth.y", "truth.w", "truth.h")}
DECODING = {  # the constants and settings of `yolo`
    "column": NAMES["i"], "row": NAMES["j"], "lw": NAMES["lw"], "lh": NAMES["lh"], "net_w": NAMES["w"],
    "net_h": NAMES["h"], "anchor_w": BIASES[2 * N], "anchor_h": BIASES[2 * N + 1],
}  # fmt: skip

# The entries of `delta` have the letters of the outputs of `yolo`. Those of a box stand at index + 0*stride, 1*stride, ...,
# its objectness at obj_index, class n at index + n*stride.
BOX, OBJECT, ONE_CLASS = "xywh", "o", "c"
TRUTH, TARGET = {k: f"truth.{k}" for k in BOX}, {k: f"t{k}" for k in BOX}
OF_BOXES = {"biases", "l.biases", *TRUTH.values(), *TARGET.values()}  # an excerpt with one of these is about a box,
OF_CLASSES = {"class", "class_id", "classes", "l.classes"}  # with one of these about classes


def multiple_at(address: sp.Expr) -> sp.Expr | None:
    """m of `index + m*stride`, or None."""
    rest = sp.expand(address - INDEX)
    m = rest.coeff(STRIDE)
    return m if sp.expand(rest - m * STRIDE) == 0 and not m.has(INDEX, STRIDE) else None
