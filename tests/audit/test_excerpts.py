"""What a C excerpt leaves in delta, settled by a C compiler and differences of the cost, which the auditor has no part in."""

import ctypes
import os
import random
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from math import exp, inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latex2mathml.converter import convert

from derive.audit.excerpt import judge_excerpt

ONE = "delta[index + stride*n] = ((n == class_id) ? 1 : 0) - output[index + stride*n];\n"
BOX = """float delta_yolo_box(box truth, float *x, float *biases, int n, int index, int i, int j, int lw,
int lh, int w, int h, float *delta, float scale, int stride)
{
    box pred = get_yolo_box(x, biases, n, index, i, j, lw, lh, w, h, stride);
    float iou = box_iou(pred, truth);

    float tx = (truth.x*lw - i);
    float ty = (truth.y*lh - j);
    float tw = log(truth.w*w / biases[2*n]);
    float th = log(truth.h*h / biases[2*n + 1]);

    delta[index + 0*stride] = scale * (tx - x[index + 0*stride]);
    delta[index + 1*stride] = scale * (ty - x[index + 1*stride]);
    delta[index + 2*stride] = scale * (tw - x[index + 2*stride]);
    delta[index + 3*stride] = scale * (th - x[index + 3*stride]);
    return iou;
}
"""
CLASS = """void delta_yolo_class(float *output, float *delta, int index, int class, int classes, int stride,
float *avg_cat)
{
    int n;
    if (delta[index]){
        delta[index + stride*class] = 1 - output[index + stride*class];
        if(avg_cat) *avg_cat += output[index + stride*class];
        return;
    }
    for(n = 0; n < classes; ++n){
        delta[index + stride*n] = ((n == class)?1 : 0) - output[index + stride*n];
        if(n == class && avg_cat) *avg_cat += output[index + stride*n];
    }
}
"""
OBJECT = """l.delta[obj_index] = 0 - l.output[obj_index];
    if (best_iou > l.ignore_thresh) {
        // above the threshold (0.5 by default) the other priors cost nothing
        l.delta[obj_index] = 0;
    }
    if (best_iou > l.truth_thresh) {
        l.delta[obj_index] = 1 - l.output[obj_index];
    }
"""
EXCERPTS = (ONE, BOX, CLASS, OBJECT)
LOOP = CLASS[CLASS.index("    for") : CLASS.rindex("}")]
EARLY = CLASS[CLASS.index("    if (delta") : CLASS.index("    for")]

WRONG = [
    # sign
    (ONE, "- output", "+ output"),
    (CLASS, "1 - output", "-1 + output"),
    (CLASS, "1 : 0) - output", "1 : 0) + output"),
    (BOX, "(tx - x[index + 0*stride])", "(x[index + 0*stride] - tx)"),
    (BOX, "- x[index + 2*stride]", "+ x[index + 2*stride]"),
    (OBJECT, "0 - l.output", "0 + l.output"),
    (OBJECT, "1 - l.output", "l.output[obj_index] - 1; //"),
    # targets
    (ONE, "1 : 0", "0 : 1"),
    (ONE, "==", "!="),
    (ONE, "1 : 0", "1 : -1"),
    (CLASS, "?1 : 0", "?0 : 1"),
    (CLASS, "1 - output", "0 - output"),
    (OBJECT, "0 - l.output", "1 - l.output"),
    (OBJECT, "1 - l.output", "0 - l.output"),
    (OBJECT, "= 0;", "= 1;"),
    (BOX, "(ty - x[index + 1", "(tx - x[index + 1"),
    (BOX, "(th - x", "(tw - x"),
    # weights
    (BOX, "scale * (tx", "(tx"),
    (BOX, "scale * (th", "scale * scale * (th"),
    (BOX, "scale * (tw", "scale / 2 * (tw"),
    # the decoding
    (BOX, "lw - i", "lw - j"),
    (BOX, "lw - i", "lw"),
    (BOX, "lw - i", "lw + i"),
    (BOX, "truth.x*lw", "truth.x*w"),
    (BOX, "truth.x*lw - i", "truth.x - i"),
    (BOX, "truth.y*lh", "truth.y*lw"),
    (BOX, "log(truth.w*w / biases[2*n])", "(truth.w*w / biases[2*n])"),
    (BOX, "truth.w*w / biases[2*n]", "biases[2*n] / (truth.w*w)"),
    (BOX, "truth.w*w", "truth.w*h"),
    (BOX, "truth.w*w", "truth.w"),
    (BOX, "truth.h*h", "truth.w*h"),
    (BOX, "biases[2*n + 1]", "biases[2*n]"),
    (BOX, "log(truth.h*h / biases[2*n + 1])", "exp(truth.h*h / biases[2*n + 1])"),
    # places
    (ONE, "output[index + stride*n]", "output[index + stride*class_id]"),
    (ONE, "output[index + stride*n]", "output[index + n]"),
    (CLASS, "- output[index + stride*n]", "- output[index + stride*(n + 1)]"),
    (CLASS, "1 - output[index + stride*class]", "1 - output[index]"),
    (CLASS, "    delta[index + stride*n] =", "    delta[index + n] ="),
    (BOX, "x[index + 2*stride])", "x[index + 3*stride])"),
    (BOX, "delta[index + 3*stride]", "delta[index + 2*stride]"),
    (BOX, "delta[index + 3*stride]", "delta[index + 4*stride]"),
    # the way through
    (CLASS, "        return;\n", ""),
    (CLASS, "n = 0;", "n = 1;"),
    (CLASS, "n < classes", "n <= classes"),
    (CLASS, "n < classes", "n < classes - 1"),
    (CLASS, "if (delta[index])", "if (!delta[index])"),
    (CLASS, "if (delta[index])", "if (delta[index] > 0)"),
    (BOX, "    delta[index + 3*stride] = scale * (th - x[index + 3*stride]);\n", ""),
    (OBJECT, "best_iou > l.ignore", "best_iou < l.ignore"),
    (OBJECT, "best_iou > l.truth", "best_iou < l.truth"),
    (OBJECT, "best_iou > l.truth", "best_iou > l.ignore"),
    (OBJECT, "1 - l.output[obj_index];\n    }\n", "1 - l.output[obj_index];\n    }\n    l.delta[obj_index] = 0;\n"),
]
SAME = [
    (ONE, "((n == class_id) ? 1 : 0)", "(n == class_id)"),
    (ONE, "((n == class_id) ? 1 : 0)", "((n != class_id) ? 0.0f : 1.0f)"),
    (ONE, "((n == class_id) ? 1 : 0) - output[index + stride*n]", "-(output[stride*n + index] - !(n - class_id))"),
    (ONE, ONE, "if (n == class_id) delta[index + n*stride] = 1 - output[index + n*stride];\nelse "
               "delta[index + n*stride] = -output[index + n*stride];"),
    (CLASS, LOOP, LOOP.replace("for(n = 0; n < classes; ++n)", "for(int k = classes - 1; k >= 0; k--)").replace("n ", "k ")
                      .replace("*n]", "*k]")),
    (CLASS, LOOP, "    for (n = 0; n < classes; n++) delta[index + n*stride] = 0 - output[index + n*stride];\n"
                  "    delta[index + class*stride] += 1;\n"),
    (CLASS, EARLY + LOOP, "    if (!delta[index]) {\n" + LOOP + "    } else delta[index + stride*class] = 1 - output[index + stride*class];"),
    (CLASS, "if (delta[index])", "if (delta[index + stride*class] != 0)"),
    (CLASS, "1 - output", "1.0 - output"),
    (CLASS, "1 - output[index + stride*class]", "-(output[index + stride*class] - 1)"),
    (BOX, "tx - x[index + 0*stride]", "-x[index] + tx"),
    (BOX, "log(truth.w*w / biases[2*n])", "log(truth.w) + log(w) - log(biases[2*n])"),
    (BOX, "float tw", "double tw"),
    (BOX, "(truth.x*lw - i)", "(truth.x - (float) i / lw) * lw"),
    (BOX, "    float tx = (truth.x*lw - i);\n    float ty = (truth.y*lh - j);\n",
          "    float ty = (truth.y*lh - j), tx;\n    tx = truth.x*lw;\n    tx -= i;\n"),
    (BOX, BOX[BOX.index("    delta[index + 1") : BOX.index("    delta[index + 2")], "    float d = ty - x[index + stride];\n"
          "    delta[index + stride] = d; delta[index + stride] *= scale;\n"),
    (OBJECT, OBJECT, "l.delta[obj_index] = best_iou > l.truth_thresh ? 1 - l.output[obj_index] : best_iou > l.ignore_thresh ? 0 "
                     ": -l.output[obj_index];"),
    (OBJECT, OBJECT, "if (best_iou > l.truth_thresh) l.delta[obj_index] = 1 - l.output[obj_index];\n"
                     "else if (best_iou <= l.ignore_thresh) l.delta[obj_index] = -l.output[obj_index];\nelse l.delta[obj_index] = 0;"),
    (OBJECT, "best_iou > l.ignore_thresh", "!(l.ignore_thresh >= best_iou)"),
]  # fmt: skip


def changed(excerpt, before, after):
    assert before in excerpt
    return excerpt.replace(before, after, 1)


# Another judge: the compiled excerpt, and differences of the cost


PRELUDE = """#include <math.h>
#define float double
typedef struct { float x, y, w, h; } box;
typedef struct { float *delta, *output, ignore_thresh, truth_thresh; } layer;
static box get_yolo_box(float *x, float *biases, int n, int index, int i, int j, int lw, int lh, int w, int h, int stride)
{ box b = {0, 0, 1, 1}; return b; }
static float box_iou(box a, box b) { return 0.25; }
"""
HEADS = {
    ONE: "void {}(float *output, float *delta, int index, int class_id, int stride, int n)",
    OBJECT: "void {}(layer l, int obj_index, float best_iou)",
}
SIZE = 100  # of an array, in the middle of which the entries stand
real, pointer = ctypes.c_double, ctypes.POINTER(ctypes.c_double)


class Box(ctypes.Structure):
    _fields_ = [(k, real) for k in "xywh"]


class Layer(ctypes.Structure):
    _fields_ = [("delta", pointer), ("output", pointer), ("ignore_thresh", real), ("truth_thresh", real)]


def compiled(folder, excerpts):
    """The functions that (kind, text) pairs become, kind being the excerpt that a text is a version of."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None and not os.environ.get("BACKDERIVE_CI"):
        pytest.skip("there is no C compiler")
    text = PRELUDE
    for n, (kind, excerpt) in enumerate(excerpts):
        head = HEADS[kind].format(f"f{n}") if kind in HEADS else None
        text += f"{head} {{\n{excerpt}\n}}\n" if head else re.sub(r"\bdelta_yolo_\w+", f"f{n}", excerpt, count=1)
    name = f"excerpts{len(list(folder.iterdir()))}"  # a library of the same name would not be loaded again
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(text, encoding="utf-8")
    subprocess.run([compiler, "-w", "-O0", "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
    functions = ctypes.CDLL(str(library))
    return [getattr(functions, f"f{n}") for n in range(len(excerpts))]


def array(values):
    return (real * len(values))(*values)


def logistic(z):
    return 1 / (1 + exp(-z))


def cross_entropy(t, y):
    return -t * log(y) - (1 - t) * log(1 - y)


def slope(cost, z):
    return (cost(z + 1e-5) - cost(z - 1e-5)) / 2e-5


def class_slope(output, target):
    return slope(lambda z: cross_entropy(target, logistic(z)), log(output / (1 - output)))


def box_slope(k, x, target, scale):
    """By the raw input of x, y (k = 0, 1), w or h (k = 2, 3), where x is the output."""
    if k < 2:
        return scale * class_slope(x, target)
    return scale * slope(lambda z: (z - target) ** 2 / 2, x)


def errors(kind, function):
    """How far what is left stands from minus the slope, and from the slope, over some scenes."""
    source = random.Random(1)
    gaps = [0.0, 0.0]

    def compare(left, right):
        gaps[0], gaps[1] = max(gaps[0], abs(left + right)), max(gaps[1], abs(left - right))

    def compare_untouched(delta, places):
        if any(delta[k] for k in set(range(len(delta))) - set(places)):
            gaps[:] = [inf, inf]

    for _ in range(4):
        output, delta = [source.uniform(0.1, 0.9) for _ in range(SIZE)], array([0.0] * SIZE)
        index, stride, classes = 40 + source.randrange(3), source.randrange(2, 4), source.randrange(3, 5)
        places = [index + stride * k for k in range(classes)]
        if kind == ONE:
            for n in range(classes):
                for label in range(classes):
                    function(array(output), delta, index, label, stride, n)
                    compare(delta[places[n]], class_slope(output[places[n]], n == label))
            compare_untouched(delta, places)
        elif kind == CLASS:
            for truths in ([0], [1], [classes - 1], [0, 1], [1, 0], [1, 2], [2, 1, 0], [1, 1]):
                delta = array([0.0] * SIZE)
                for label in truths:
                    function(array(output), delta, index, label, classes, stride, None)
                for n in range(classes):
                    compare(delta[places[n]], class_slope(output[places[n]], n in truths))
                compare_untouched(delta, places)
        elif kind == OBJECT:
            for best, ignore, truth in (
                (0.2, 0.5, 0.9),
                (0.6, 0.5, 0.9),
                (0.95, 0.5, 0.9),
                (0.6, 0.7, 0.4),
                (0.3, 0.5, 0.2),
            ):
                function(Layer(delta, array(output), ignore, truth), index, real(best))
                weight, target = (1, 1) if best > truth else (0, 0) if best > ignore else (1, 0)
                compare(delta[index], weight * class_slope(output[index], target))
            compare_untouched(delta, [index])
        else:
            n, i, j, lw, lh, w, h = source.randrange(2, 4), 1, 2, 3, 5, 7, 11
            truth, scale = Box(1.6 / 3, 2.7 / 5, source.uniform(0.2, 0.8), source.uniform(0.2, 0.8)), 1.7
            biases = [source.uniform(1, 3) for _ in range(20)]
            function(truth, array(output), array(biases), n, index, i, j, lw, lh, w, h, delta, real(scale), stride)
            goals = (
                truth.x * lw - i,
                truth.y * lh - j,
                log(truth.w * w / biases[2 * n]),
                log(truth.h * h / biases[2 * n + 1]),
            )
            for k, goal in enumerate(goals):
                compare(delta[index + k * stride], box_slope(k, output[index + k * stride], goal, scale))
            compare_untouched(delta, [index + k * stride for k in range(4)])
    return gaps


def is_right(kind, function):
    return min(errors(kind, function)) < 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("excerpts")


@cache
def claims(text):
    return judge_excerpt(text)


def verdicts(text):
    return [claim.verdict for claim in claims(text)]


# The note's excerpts


def test_the_notes_excerpts_hold_statement_by_statement():
    assert verdicts(ONE) == ["conditional"]
    assert verdicts(BOX) == ["proved"] + ["conditional"] * 4
    assert verdicts(CLASS) == ["conditional"] * 2
    assert verdicts(OBJECT) == ["conditional"] * 3
    for excerpt in EXCERPTS:
        for claim in claims(excerpt):
            assert claim.scope == "all sizes"
            assert claim.source in excerpt or all(line in excerpt for line in claim.source.splitlines())
            assert (
                excerpt[claim.at :].startswith(claim.source.splitlines()[0][-10:])
                or claim.source.startswith(excerpt[claim.at :][:9])
                or (claim.system == "yolo")
            )


def test_the_readings_name_the_sign_the_outputs_and_the_targets():
    (one,), (_, x, y, w, h), (early, loop) = claims(ONE), claims(BOX), claims(CLASS)
    for claim in (one, x, y, w, h, early, loop, *claims(OBJECT)):
        assert "`delta` is minus the derivative of the cost by the raw input" in claim.reading
    assert "target 1 where `n == class_id` and 0 elsewhere" in one.reading
    for claim in (x, y):
        assert "a logistic output" in claim.reading
        assert "logistic cross-entropy" in claim.reading
        assert "under half the squared error of the output the factor `(1 - x[index + " in claim.reading
    for claim in (w, h):
        assert "the raw input itself; its cost is half the squared error" in claim.reading
    assert "a `delta` that is not 0 marks an earlier truth, since outputs lie strictly between 0 and 1" in early.reading
    assert all("the definitions leave targets and weights to the data" in claim.reading for claim in claims(OBJECT))


def test_the_targets_are_where_the_decoded_box_is_the_truth():
    decoding = claims(BOX)[0]
    assert (decoding.verdict, decoding.system, decoding.reading) == ("proved", "yolo", None)
    assert decoding.source.splitlines() == [line.strip() for line in BOX.splitlines() if "float t" in line]
    assert any(r"\mathrm{truth.w}" in latex for _, latex in decoding.steps)


def test_another_sign_or_cost_is_a_reading_of_the_whole_excerpt():
    positive = re.sub(r"\((t.) - (x\[.*?\])\)", r"(\2 - \1)", BOX)
    assert verdicts(positive) == verdicts(BOX)
    assert all("`delta` is the derivative of the cost" in claim.reading for claim in claims(positive)[1:])
    squared = re.sub(r"(t[xy]) - (x\[.*?\])\)", r"\1 - \2) * \2 * (1 - \2)", BOX)
    assert verdicts(squared) == verdicts(BOX)
    assert all("its cost is half the squared error" in claim.reading for claim in claims(squared)[1:3])


def test_every_step_can_be_shown():
    for excerpt in EXCERPTS:
        for claim in claims(excerpt):
            assert claim.steps
            assert all(heading and convert(latex) for heading, latex in claim.steps)


def test_the_steps_say_only_the_conditions_that_matter():
    for excerpt in EXCERPTS:
        left = [latex for claim in claims(excerpt) for heading, latex in claim.steps if heading.startswith("What")]
        for conditions in (latex.partition(r"\qquad ")[2].split(", ") for latex in left):
            assert len(set(conditions)) == len(conditions)
            assert all(len(set(re.split(r" (?:=|<|>|\\le|\\ge|\\ne) ", c))) == 2 for c in conditions if c), conditions
    ((one,), latex) = claims(ONE), r"\mathrm{class\_id} = n, \mathrm{classes} > n"
    assert next(step for heading, step in one.steps if heading.startswith("What")).partition(r"\qquad ")[2] == latex


def test_nothing_of_it_is_imported_before_there_is_an_excerpt():
    said = "import sys, derive.audit.audit; print(sorted({'pycparser', 'derive.forward.yolo'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True).stdout == "[]\n"


# Wrong and equivalent versions


def test_wrong_versions_are_wrong_and_refuted(folder):
    assert len(WRONG) > 50
    versions = [(kind, changed(kind, before, after)) for kind, before, after in WRONG]
    for (kind, version), function in zip(versions, compiled(folder, versions), strict=True):
        assert not is_right(kind, function), version
        refuted = [claim for claim in claims(version) if claim.verdict == "refuted"]
        assert refuted, version
        assert all(claim.correction and claim.counterexample for claim in refuted), version


def test_corrections_are_right(folder):
    """Where one statement is refuted, the excerpt with its correction in its place is right."""
    versions = []
    for kind, before, after in WRONG:
        text = changed(kind, before, after)
        refuted = [claim for claim in claims(text) if claim.verdict == "refuted"]
        if (
            all(claim.source.endswith(";") for claim in refuted)
            and kind != OBJECT
            and "earlier truth" not in str([c.reason for c in refuted])
        ):
            for claim in refuted:
                old = claim.source
                if claim.system == "yolo":
                    old = next(line for line in old.splitlines() if f"{claim.correction[:2]} = " in line)
                    text = text.replace(old, f"float {claim.correction}")
                elif not any(c.system == "yolo" for c in refuted):
                    text = text.replace(old, claim.correction)
            versions.append((kind, text))
    assert len(versions) > 25
    for (kind, text), function in zip(versions, compiled(folder, versions), strict=True):
        assert is_right(kind, function) or "<= classes" in text, text
        assert "refuted" not in verdicts(text) or "<= classes" in text, text


def test_equivalent_versions_are_right_and_hold(folder):
    assert len(SAME) > 15
    versions = [(kind, changed(kind, before, after)) for kind, before, after in SAME]
    for (kind, version), function in zip(versions, compiled(folder, versions), strict=True):
        assert is_right(kind, function), version
        assert set(verdicts(version)) <= {"proved", "conditional"}, (version, claims(version))


def test_one_truth_to_a_cell_hides_that_the_return_is_missing(folder):
    without = changed(CLASS, "        return;\n", "")
    early, loop = claims(without)
    assert (early.verdict, loop.verdict) == ("conditional", "refuted")
    assert "replaced by a later statement" in early.reading
    assert "where an earlier truth was assigned" in loop.reason
    assert verdicts(changed(CLASS, EARLY, "")) == ["conditional"]  # a loop alone says nothing of several truths


def test_the_thresholds_are_a_matter_of_names():
    for after in ("best_iou < l.truth", "best_iou < l.ignore"):
        wrong = changed(OBJECT, f"best_iou > {after.split()[-1]}", after)
        assert any(
            "the definitions leave targets and weights to the data: by the names" in (c.reason or "")
            for c in claims(wrong)
        )
    assert "refuted" not in verdicts(changed(OBJECT, "best_iou > l.truth", "best_iou >= l.truth"))


def test_nothing_wrong_hides():
    """Behind a pointer, in a block, at the threshold itself, behind a name for the marker, in a turn of a loop."""
    behind = changed(CLASS, "    int n;\n", "    int n;\n    *delta = 5;\n")
    assert verdicts(behind) == ["unread"]
    block = changed(changed(BOX, "    float tx", "    { float tx"), "    return iou;\n", "    }\n    return iou;\n")
    assert "proved" not in verdicts(block)
    at_itself = OBJECT + "if (best_iou == l.truth_thresh) l.delta[obj_index] = 5;\n"
    assert verdicts(at_itself) == ["conditional"] * 3 + ["refuted"]
    assert claims(at_itself)[-1].counterexample.left == "5"
    assert "refuted" not in verdicts(at_itself.replace("5", "1 - l.output[obj_index]"))
    named = changed(CLASS, "if (delta[index])", "float d = delta[index];\n    if (d)")
    assert verdicts(named) == verdicts(CLASS)
    assert "refuted" in verdicts(named.replace("        return;\n", ""))
    once = changed(CLASS, "++n){\n", "++n){\n        if (n == 2) continue;\n")
    assert "refuted" in verdicts(once)


def test_nothing_is_accepted_that_is_not_looked_at():
    skipped = LOOP.replace("stride*n", "2*stride*n").replace("(n == class)", "(2*n == class)")
    assert verdicts(changed(CLASS, EARLY + LOOP, skipped)) == ["unread"]
    perhaps = claims(changed(CLASS, EARLY, "").replace("        delta[", "        if (mystery(n)) delta["))
    assert [claim.verdict for claim in perhaps] == ["unread", "conditional"]
    beyond = claims("if (n >= classes) delta[index + stride*n] = 5;\nelse " + ONE.replace("class_id", "class"))
    assert [claim.verdict for claim in beyond] == ["unread", "conditional"]
    assert "only where what is taken for granted is not so" in beyond[0].reason
    elsewhere = changed(
        BOX, "    return iou", "    for (int k = 4; k < lw; ++k) delta[index + k*stride] = 5;\n    return iou"
    )
    assert verdicts(elsewhere) == [*verdicts(BOX), "unread"]


def test_corrections_are_c():
    weighed = (
        BOX.replace("scale * ", "(1.5 + truth.w*truth.w) * ").replace("float scale, ", "").replace("(th - x", "(tw - x")
    )
    (refuted,) = (claim for claim in claims(weighed) if claim.verdict == "refuted")
    assert "pow(truth.w, 2)" in refuted.correction
    assert "**" not in refuted.correction
    assert not re.search(r"(?<![\w.])3/2", refuted.correction)
    unrolled = "for (int k = 0; k < 2; k++) delta[index + k*stride] = scale*(tx - x[index + k*stride]);"
    (claim,) = claims(unrolled)
    assert claim.correction.startswith("delta[index + 1*stride]")


def test_functions_stand_beside_each_other():
    helper = "box get_yolo_box(float *x, int n)\n{\n    box b;\n    b.x = x[n];\n    return b;\n}\n\n"
    assert verdicts(helper + BOX + CLASS) == verdicts(BOX) + verdicts(CLASS)
    for alone, among in zip(claims(BOX), claims(helper + BOX), strict=True):
        assert among.at == alone.at + len(helper)
    other = "void f(float *delta, int index)\n{\n    fill(delta);\n    delta[index] = 1;\n}\n"
    assert verdicts(CLASS + other) == [*verdicts(CLASS), "unread"]
    assert claims(CLASS + other)[-1].source == "void f(float *delta, int index)"


def test_the_weight_may_be_written_out():
    weighed = BOX.replace("scale * ", "(2 - truth.w*truth.h) * ").replace("float scale, ", "")
    assert verdicts(weighed) == verdicts(BOX)
    assert "its weight is `2 - truth.h*truth.w`" in claims(weighed)[1].reading
    assert "refuted" in verdicts(changed(weighed, "(2 - truth.w*truth.h) * (th", "(th"))


# Counterexamples


def replayed(kind, function, claim):
    """What the compiled excerpt leaves in the counterexample, and minus the slope there."""
    shown = claim.counterexample
    sizes = {name: int(value) for name, value in shown.sizes.items()}
    values = {name: float(eval(value)) for name, value in shown.values.items()}

    def memory(name, default):
        return array([values.get(f"{name}[{k}]", default) for k in range(SIZE)])

    index, stride = sizes.get("index", 0), sizes.get("stride", 1)
    output, delta = (
        memory("x" if kind == BOX else "l.output" if kind == OBJECT else "output", 0.5),
        memory("delta", 0.0),
    )
    if kind == BOX:
        k = (
            "xywh".index(claim.correction[1])
            if claim.system == "yolo"
            else int(re.search(r"\+ (\d)\*stride", claim.correction)[1])
        )
        truth = Box(*(values.get(f"truth.{name}", 0.5) for name in "xywh"))
        n, i, j, lw, lh, w, h = (
            sizes.get(name, default)
            for name, default in zip(("n", "i", "j", "lw", "lh", "w", "h"), (0, 0, 0, 1, 1, 1, 1), strict=True)
        )
        biases, scale = memory("biases", 1.0), values.get("scale", 1.0)
        function(truth, output, biases, n, index, i, j, lw, lh, w, h, delta, real(scale), stride)
        place = index + k * stride
        if claim.system == "yolo":
            raw = delta[place] / scale + output[place]
            decoded = (
                lambda: (i + raw) / lw,
                lambda: (j + raw) / lh,
                lambda: biases[2 * n] * exp(raw) / w,
                lambda: biases[2 * n + 1] * exp(raw) / h,
            )
            return decoded[k](), (truth.x, truth.y, truth.w, truth.h)[k]
        goals = (
            truth.x * lw - i,
            truth.y * lh - j,
            log(truth.w * w / biases[2 * n]),
            log(truth.h * h / biases[2 * n + 1]),
        )
        return delta[place], -box_slope(k, output[place], goals[k], scale)
    if kind == OBJECT:
        named = {name.removeprefix("l."): value for name, value in values.items()}
        best, ignore, truth = (named.get(name, 0.5) for name in ("best_iou", "ignore_thresh", "truth_thresh"))
        function(Layer(delta, output, ignore, truth), sizes.get("obj_index", 0), real(best))
        place = sizes.get("obj_index", 0)
        weight, target = (1, 1) if best > truth else (0, 0) if best > ignore else (1, 0)
        return delta[place], -weight * class_slope(output[place], target)
    n, label, classes = sizes["n"], sizes.get("class", sizes.get("class_id")), sizes["classes"]
    place = index + stride * n
    before = delta[place]
    if kind == ONE:
        function(output, delta, index, label, stride, n)
    else:
        function(output, delta, index, label, classes, stride, None)
    target = 1 if n == label else round(before + output[place]) if before else 0
    return delta[place], -class_slope(output[place], target) if n < classes else before


def test_counterexamples_are_confirmed_by_running_them(folder):
    versions = [(kind, changed(kind, before, after)) for kind, before, after in WRONG]
    count = 0
    for (kind, version), function in zip(versions, compiled(folder, versions), strict=True):
        for claim in claims(version):
            if claim.verdict == "refuted":
                told = [
                    float(eval(side, {"log": log, "exp": exp}))
                    for side in (claim.counterexample.left, claim.counterexample.right)
                ]
                assert replayed(kind, function, claim) == pytest.approx(told, abs=1e-8), (version, claim)
                assert told[0] != told[1]
                count += 1
    assert count >= len(WRONG)


def test_counterexamples_are_small():
    (claim,) = claims(changed(ONE, "output[index + stride*n]", "output[index + n]"))
    shown = claim.counterexample
    assert shown.sizes == {"class_id": "0", "classes": "2", "index": "0", "n": "1", "stride": "2"}
    assert (shown.values, shown.left, shown.right) == ({"output[1]": "1/2", "output[2]": "1/4"}, "-1/2", "-1/4")


# What is not read


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "there is no statement"),
        ("x = 1;", 1, "nothing is assigned to `delta`"),
        ("delta[index] = 1 -", 1, "not C"),
        ("\n\nfor (;;) delta[index + stride*class] = 0;", 3, "count one int"),
        ("while (1) delta[index + stride*class] = 0;", 1, "While is not read"),
        ("delta[index + stride*class] = mystery - output[index + stride*class];", 1, "`mystery` is not in the vocabulary"),
        ("delta[index + stride*class] = 1 - gain(class)*output[index + stride*class];", 1, "`gain(...)` is not known"),
        ("fill(delta, 0);\ndelta[index + stride*class] = 1;", 1, "handed `delta`"),
        ("delta[index + stride*7] = 0 - output[index + stride*7];", 1, "nothing says whose sensitivity"),
        ("delta[stride + index*n] = 0; class;", 1, "cannot be told apart"),
        ("delta[index + truth.x] = 0;", 1, "the address is not read"),
        ("float *d = delta;\ndelta[index + stride*class] = 0;", 1, "the declaration of `d` is not read"),
        ("int k = 1/classes;\ndelta[index + stride*class] = k;", 1, "a division of integers"),
        ("int k = scale;\ndelta[index + stride*class] = k;", 1, "cut to an integer"),
        ("int k;\ndelta[index + stride*class] = k;", 2, "read before it has a value"),
        ("int k;\nfor (k = 0; k < classes; ++k)\n  delta[index + stride*k] = 1 - output[index + stride*(k - 1)] + delta[index + stride*(k - 1)];", 2,
         "another one wrote"),
        ("int k;\nfor (k = 0; k < classes; ++k) delta[index] = k;", 2, "the same place"),
        ("int k;\nfloat s = 0;\nfor (k = 0; k < classes; ++k) { delta[index + stride*k] = s - output[index + stride*k]; s = 1; }", 3,
         "handed from turn to turn"),
        ("#include <math.h>\ndelta[index + stride*class] = 0;", 1, "directive"),
        ("delta[index + stride*class] = truth.x;", 1, "both a box and classes"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_unread_with_its_line(text, line, words):
    claim = next(claim for claim in claims(text) if claim.verdict == "unread")
    assert claim.reason.startswith(f"line {line}: "), claim.reason
    assert words in claim.reason, claim.reason
    assert "proved" not in verdicts(text) and "refuted" not in verdicts(text)


def test_nothing_grows_without_bound():
    for text in (
        "int k = 3;\n" + "k = k*k;\n" * 60 + "delta[index + stride*class] = k;",
        "float v = output[index];\n" + "v = v + log(v);\n" * 60 + "delta[index + stride*class] = v;",
        "float v = output[index];\n" + "v = (v + scale)*(v - best_iou);\n" * 7 + "delta[index + stride*class] = v;",
        "".join(f"if (output[index + {k}]) delta[index + stride*{k}] = 0;\n" for k in range(20)) + "class;",
        "delta[index + stride*class] = " + "(" * 3000 + "1" + ")" * 3000 + ";",
        "delta[index + stride*class] = " + "1 + " * 3000 + "1;",
    ):
        start = time.monotonic()
        assert "unread" in verdicts(text), text
        assert time.monotonic() - start < 10


TOKENS = re.findall(
    r"\S+",
    "delta output x index stride n class classes i j ( ) [ ] { } ; + - * / = == != < > ? : 0 1 2 if else for return int "
    'float log( exp( , ++n += -= ! && || scale tx truth.w l.delta obj_index best_iou /* // # " \\ é',
)


@settings(max_examples=60, deadline=10_000)
@given(st.data())
def test_broken_excerpts_are_judged_without_failing(data):
    text = data.draw(st.sampled_from(EXCERPTS))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(TOKENS)) + text[at + data.draw(st.integers(0, 4)) :]
    text = text[: data.draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))]
    found = judge_excerpt(text)
    assert found
    for claim in found:
        assert claim.verdict in ("proved", "conditional", "refuted", "unread")
        assert (claim.verdict == "unread") == bool(claim.reason and claim.counterexample is None)


# Changes at random, that still compile


ALIKE = "i j|lw lh w h|tx ty tw th|truth.x truth.y truth.w truth.h|0 1 2 3|+ -|== !=|< <= > >=|n class classes"
SWAPS = {a: [b for b in group.split() if b != a] for group in ALIKE.split("|") for a in group.split()}


def at_random(count, seed):
    """Versions with one or two tokens swapped for others of their kind; loops end, and no variable is read too early."""
    source = random.Random(seed)
    found = set()
    while len(found) < count:
        kind = text = source.choice((BOX, BOX, CLASS, CLASS, ONE, OBJECT))
        body = kind.index("{") if kind in (BOX, CLASS) else 0
        fixed = [m.span() for m in re.finditer(r"for\(.*?\)|\+[+=]|(int|float|box) \w+|//.*", kind)]
        tokens = [
            m
            for m in re.finditer(r"[A-Za-z_][\w.]*|\d|[<>=!]=|\S", kind)
            if m[0] in SWAPS and m.start() > body and not any(a <= m.start() < b for a, b in fixed)
        ]
        for token in sorted(source.sample(tokens, source.choice((1, 1, 2))), key=lambda m: -m.start()):
            text = text[: token.start()] + source.choice(SWAPS[token[0]]) + text[token.end() :]
        early = text[body : text.find("for(")] if kind == CLASS else ""
        if not (kind in (ONE, BOX) and re.search(r"\bclass(es)?\b", text)) and not re.search(r"\bn\b(?!;)", early):
            found.add((kind, text))
    return sorted(found)


@pytest.mark.parametrize("seed", [0])
def test_versions_made_at_random_are_judged_as_the_compiler_does(folder, seed):
    versions = at_random(40, seed)
    for (kind, text), function in zip(versions, compiled(folder, versions), strict=True):
        if "unread" not in verdicts(text):
            assert is_right(kind, function) == ("refuted" not in verdicts(text)), text
