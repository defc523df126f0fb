"""The cost that a document's excerpts state: recovered from the text as it stands, so that another text is another cost.

The oracle of what is right and wrong is that of `test_excerpts`, whose excerpts were run after a C compiler.
"""

from functools import cache

import pytest
import sympy as sp
from test_excerpts import BOX, CLASS, OBJECT, SAME, WRONG, changed

from derive.audit.audit import our_documents
from derive.audit.excerpt.account import account
from derive.audit.excerpt.recovery import KINDS, excerpts, recovered_cost
from derive.calculus.equation import tensor

(DOCUMENT,) = our_documents()
CROSS_ENTROPY, SQUARED = KINDS
FENCES = {BOX: "float delta_yolo_box", CLASS: "void delta_yolo_class", OBJECT: "l.delta[obj_index] = 0 - "}
n, p, k = sp.symbols("n p k", integer=True)
x, y, w, h, o, c = (tensor(name)[(n, p, k) if name == "c" else (n, p)] for name in "xywhoc")
true = {a: tensor(f"{a.base.name}_true")[a.indices] for a in (x, y, w, h, o, c)}
scale, weight_o, weight_c = (tensor(name)[n, p] for name in ("scale", "weight_o", "weight_c"))


def entropy(a):
    return -true[a] * sp.log(a) - (1 - true[a]) * sp.log(1 - a)


def squared(a):
    return (true[a] - a) ** 2 / 2


SUMMANDS = {  # written out by hand
    "x": scale * entropy(x), "y": scale * entropy(y), "w": scale * squared(w), "h": scale * squared(h),
    "o": weight_o * entropy(o), "c": weight_c * entropy(c),
}  # fmt: skip


def document_with(tmp_path, excerpt, text):
    """The cost that our document states with one of its excerpts replaced."""
    whole = DOCUMENT.read_text(encoding="utf-8")
    start = whole.index(FENCES[excerpt])
    end = whole.index("```", start)
    path = tmp_path / "changed.md"
    path.write_text(f"{whole[:start]}{text.strip()}\n{whole[end:]}", encoding="utf-8")
    return recovered_cost(excerpts(path), path.name)


@cache
def ours():
    return recovered_cost(excerpts(DOCUMENT), DOCUMENT.name)


def term(cost, entry):
    (found,) = (t for t in cost.terms if t.entry == entry)
    return found


def told(cost):
    return "\n".join("".join(piece.text for piece in line) for _, line in account(cost))


# The document as it stands


def test_the_three_excerpts_state_one_cost_and_it_is_that_of_the_definition():
    cost = ours()
    assert {part.excerpt for part in cost.parts} == {formula.id for formula in excerpts(DOCUMENT)}
    assert len({part.excerpt for part in cost.parts}) == 3
    assert cost.proved and cost.is_defined and cost.is_gradient and cost.decodes and not cost.unread
    assert "not proved" not in told(cost) and told(cost).count("proved: ") == 5


def test_places_objectness_and_classes_are_cross_entropies_width_and_height_squared():
    kinds = {t.entry: t.kind for t in ours().terms}
    assert kinds == {**dict.fromkeys("xyoc", CROSS_ENTROPY), **dict.fromkeys("wh", SQUARED)}


@pytest.mark.parametrize("entry", SUMMANDS)
def test_each_term_sums_what_was_worked_out_by_hand_over_all_predictions_and_classes(entry):
    equation = term(ours(), entry).equation
    (found,) = equation.terms
    assert sp.expand(found.body - SUMMANDS[entry]) == 0
    assert [i for i, *_ in found.over] == [p, k][: 2 if entry == "c" else 1]
    assert equation.target == tensor(f"C_{entry}")[n]


def test_the_cost_is_the_sum_of_its_terms():
    assert ours().total.target == tensor("C")[n]
    assert sp.expand(ours().total.expression() - sum(tensor(f"C_{e}")[n] for e in SUMMANDS)) == 0


def test_every_part_names_its_statement_and_line():
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for part in ours().parts:
        if part.line:
            assert part.source in lines[part.line - 1]
        else:  # where an earlier truth was assigned, the other classes are left as they are
            assert part.excerpt == "delta_yolo_class" and part.later and part.where == ("k != class",)


def test_targets_and_weights_are_those_of_the_excerpts():
    found = {e: [(part.target, part.weight) for part in term(ours(), e).parts] for e in SUMMANDS}
    assert found["x"] == [("lw*truth.x - i", "scale")] and found["w"] == [("log(truth.w*w/biases[2*n])", "scale")]
    assert found["o"] == [("1", "1"), ("0", "0"), ("0", "1")]
    assert found["c"] == [("1", "1"), ("0", "1"), ("1", "1"), ("t[k]", "1")]
    conditions = [part.where for part in term(ours(), "o").parts]
    assert conditions[0] == ("best_iou > l.truth_thresh",)
    assert conditions[1] == ("best_iou <= l.truth_thresh", "best_iou > l.ignore_thresh")


def test_the_constant_that_no_sensitivity_tells_is_the_entropy_of_the_targets():
    for entry in "xy":
        (part,) = term(ours(), entry).parts
        assert (
            sp.expand(part.general.least - SUMMANDS[entry].xreplace({part.general.of.output: part.general.target})) == 0
        )
    assert all(part.general.least == 0 for e in "wh" for part in term(ours(), e).parts)
    assert "the entropy of its target: that is 0 for a target of 0 or 1" in told(ours())


# Another text is another cost


@pytest.mark.parametrize(
    ("before", "after", "entry", "name", "weight"),
    [
        ("(tx - x[index + 0*stride])", "(x[index + 0*stride] - tx)", "x", f"minus {CROSS_ENTROPY}", "-scale"),
        ("scale * (ty", "(ty", "y", CROSS_ENTROPY, "1"),
        ("scale * (tw", "2 * scale * (tw", "w", SQUARED, "2*scale"),
        (
            "scale * (tx - x[index + 0*stride])",
            "scale * (tx - x[index + 0*stride]) * x[index + 0*stride] * (1 - x[index + 0*stride])",
            "x", SQUARED, "scale",
        ),
        ("(th - x[index + 3*stride])", "(th - x[index + 3*stride]) * (th - x[index + 3*stride])", "h", None, "0"),
    ],
)  # fmt: skip
def test_a_sign_a_scale_or_a_factor_changes_the_term_and_the_proof(tmp_path, before, after, entry, name, weight):
    cost = document_with(tmp_path, BOX, changed(BOX, before, after))
    (part,) = term(cost, entry).parts
    assert (part.found.name, part.weight) == (name, weight)
    assert not cost.is_defined and not part.intended and not cost.proved
    assert told(cost).count("not proved: ") == 2
    others = set(SUMMANDS) - {entry}
    assert all(term(cost, e).is_defined for e in others)


def test_without_the_scale_in_all_four_the_cost_is_the_same_for_the_weight_one(tmp_path):
    cost = document_with(tmp_path, BOX, BOX.replace("scale * ", ""))
    assert cost.is_defined and {part.weight for e in "xywh" for part in term(cost, e).parts} == {"1"}
    assert "is the caller's" in told(ours()) and "is the caller's" not in told(cost)


def test_a_target_that_decodes_to_something_else_is_named(tmp_path):
    cost = document_with(tmp_path, BOX, changed(BOX, "lw - i", "lw + i"))
    assert cost.is_defined and not cost.decodes and not cost.proved
    assert "not proved: i + lw*truth.x is decoded to truth.x" in told(cost)


@pytest.mark.parametrize(
    ("excerpt", "before", "after", "entry", "why"),
    [
        (BOX, "tx - x[index + 0*stride]", "tx - x[index + 1*stride]", "x", "it is no gradient: of the sensitivity of t_x[n, p], the derivative by t_y[n, p] is"),
        (BOX, "x[index + 2*stride])", "x[index + 3*stride])", "w", "it is no gradient"),
        (CLASS, "1 : 0) - output[index + stride*n]", "1 : 0) - output[index]", "c", "it is no gradient"),
        (CLASS, "n < classes", "n <= classes", "c", "it writes beyond the classes"),
        (OBJECT, "0 - l.output[obj_index]", "0 - best_iou / l.output[index]", "o", "is no output of which it has a sensitivity"),
        (OBJECT, "= 0;", "= other(l);", "o", "`other(...)` is not known"),
        (OBJECT, "0 - l.output[obj_index]", "exp(l.output[obj_index]) / l.output[obj_index]", "o", "has no closed form"),
        (BOX, "scale * (tw - x[index + 2*stride])", "scale / (tw - x[index + 2*stride])", "w", "which an output may be"),
    ],
)  # fmt: skip
def test_what_states_no_cost_is_refused_with_its_place(tmp_path, excerpt, before, after, entry, why):
    cost = document_with(tmp_path, excerpt, changed(excerpt, before, after))
    found = term(cost, entry)
    assert why in found.reason and "(line " in found.reason and found.reason in told(cost)
    assert found.equation is None and cost.total is None and not cost.proved


def test_width_and_height_that_read_one_another_alike_are_a_gradient_but_no_sum(tmp_path):
    both = "scale * (tw - x[index + 2*stride] - x[index + 3*stride])"
    text = changed(BOX, "scale * (tw - x[index + 2*stride])", both)
    text = changed(text, "scale * (th - x[index + 3*stride])", both.replace("tw", "th"))
    cost = document_with(tmp_path, BOX, text)
    assert "a gradient, but of a cost that is no sum of terms" in term(cost, "w").reason
    assert not cost.proved


@pytest.mark.parametrize("excerpt", [BOX, CLASS, OBJECT], ids=["box", "class", "objectness"])
def test_an_excerpt_that_is_not_there_or_cannot_be_read_leaves_its_terms_out(tmp_path, excerpt):
    without = document_with(tmp_path, excerpt, "int nothing;\n")
    broken = document_with(tmp_path, excerpt, f"{FENCES[excerpt]} {{ delta[")
    for cost in (without, broken):
        missing = [t.entry for t in cost.terms if t.reason == "no excerpt says what its sensitivity is"]
        assert missing == list({BOX: "xywh", CLASS: "c", OBJECT: "o"}[excerpt])
        assert cost.total is None and not cost.proved
    assert broken.unread and "not read: " in told(broken)


@pytest.mark.parametrize(("excerpt", "before", "after"), [each for each in WRONG if each[0] in FENCES])
def test_what_a_compiler_shows_to_be_wrong_is_never_proved(tmp_path, excerpt, before, after):
    cost = document_with(tmp_path, excerpt, changed(excerpt, before, after))
    assert not cost.proved and "not proved: " in told(cost)


@pytest.mark.parametrize(("excerpt", "before", "after"), [each for each in SAME if each[0] in FENCES])
def test_what_a_compiler_shows_to_be_the_same_states_the_same_cost(tmp_path, excerpt, before, after):
    cost = document_with(tmp_path, excerpt, changed(excerpt, before, after))
    assert cost.proved and [t.equation for t in cost.terms] == [t.equation for t in ours().terms]
