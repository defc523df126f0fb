"""Formulas are found in documents, named, and placed; documents that cannot be audited say why in one line."""

import pytest

from derive.audit.audit import audit, audit_text
from derive.audit.document import DocumentError, formulas_in

WRONG = r"z^l = w^l a^{l-1} - b^l"


def only(text):
    (found,) = audit_text(text)
    return found


def test_formulas_are_found_in_order_with_their_lines():
    found = formulas_in("Text\n\n$$a = b$$\n\nand $c = d$, then\n$$\ne = f\n$$\n")
    assert [(f.id, f.line, f.latex) for f in found] == [
        ("eq-3", 3, "a = b"),
        ("eq-5", 5, "c = d"),
        ("eq-7", 7, "e = f"),
    ]


@pytest.mark.parametrize(
    ("latex", "name"),
    [
        (r"a = b \tag{FC-1}", "FC-1"),
        (r"a = b \quad (\text{FC-4; Conv-4})", "FC-4; Conv-4"),
        (r"a = b \quad (P1)", "P1"),
        (r"\begin{aligned} a &= b \\ &= c \quad (\text{BN 2.1}) \end{aligned}", "BN 2.1"),
        (r"\begin{aligned} a &= b \end{aligned} \quad (\text{BN 2.2})", "BN 2.2"),
        (r"a = b (c)", "eq-1"),
        (r"a = \sigma(\text{in})", "eq-1"),
    ],
)
def test_a_tag_names_its_formula(latex, name):
    (found,) = formulas_in(f"$${latex}$$")
    assert found.id == name
    assert found.latex == latex
    assert len(found.source) == len(latex)


def test_formulas_of_one_line_or_tag_are_told_apart():
    found = formulas_in("$a = b$ and $c = d$\n\n" + r"$$a = b \tag{1}$$ $$a = b \tag{1}$$")
    assert [f.id for f in found] == ["eq-1", "eq-1.2", "1", "1.2"]


def test_inline_mathematics_without_a_relation_only_names_things():
    assert formulas_in(r"The weights $w^l$ of layer $l-1$ and $\frac{\partial C}{\partial w}$, at \$5 = five.") == []


def test_code_and_comments_hold_no_formulas():
    text = "```\n$$a = b$$\n```\n`$c = d$` <!-- $$e = f$$ -->\n~~~\n$$open\n~~~\n"
    assert formulas_in(text) == []


def test_an_aligned_derivation_is_judged_line_by_line_and_has_its_worst_verdict():
    found = audit_text(
        "$$\\begin{aligned}\na^l &= \\sigma(z^l) \\\\\n &= \\sigma(w^l a^{l-1} - b^l) \\\\\n"
        " &= \\sigma(w^l a^{l-1} + b^l) \\quad (\\text{BN 2.1})\n\\end{aligned}$$"
    )
    assert [(v.id, v.verdict) for v in found] == [
        ("BN 2.1", "refuted"), ("BN 2.1/1", "proved"), ("BN 2.1/2", "refuted"), ("BN 2.1/3", "refuted"),
    ]  # fmt: skip
    assert (
        found[2].correction
        == r"\sigma\left(z_{j}^{l}\right) = \sigma\left(b_{j}^{l} + \sum_{k} a_{k}^{l-1} w_{j k}^{l}\right)"
    )
    assert found[2].latex == r"\sigma(z^l) = \sigma(w^l a^{l-1} - b^l)"


def test_a_chain_of_equalities_is_judged_one_by_one():
    found = audit_text(r"$$a^l = \sigma(z^l) = \sigma(w^l a^{l-1} + b^l) = \sigma(w^l a^l + b^l)$$")
    assert [v.verdict for v in found] == ["refuted", "proved", "proved", "refuted"]


def test_several_tags_in_one_block_name_its_rows():
    found = audit_text(r"$$\begin{align} a^l &= \sigma(z^l) \tag{1} \\ z^l &= w^l a^{l-1} + b^l \tag{2} \end{align}$$")
    assert [v.id for v in found] == ["eq-1", "1", "2"]
    assert {v.verdict for v in found} == {"proved"}


def test_an_unread_formula_says_why_and_where():
    found = only("One\n\n$$a^l = \\sigma(z^l) \\quad\n  b = \\foo$$")
    assert found.verdict == "unread"
    assert found.reason == r"`\foo` is not understood (line 4, column 7)"


def test_an_unbound_symbol_says_where_it_stands():
    assert only("  $$z^l = w^l q^{l-1} + b^l$$").reason == "the symbol `q` is not known here (line 1, column 15)"


def test_a_document_may_mark_a_formula_as_an_erratum():
    assert not only(f"$${WRONG}$$").erratum
    assert only(f"$${WRONG}$$ <!-- erratum -->").erratum
    assert only(f"<!-- erratum -->\n$${WRONG}$$").erratum
    first, second = audit_text(f"$${WRONG}$$ <!-- erratum -->\n$${WRONG}$$")
    assert first.erratum
    assert not second.erratum


def test_a_cost_defined_before_is_meant_from_there_on():
    error = r"$$\delta^L = 2 (a^L - y) \odot \sigma'(z^L)$$"
    *_, quadratic = audit_text(r"$$C = \frac{1}{2} \sum_j (y_j - a_j^L)^2$$" + "\n\n" + error)
    *_, squared = audit_text(r"$$C = \sum_j (y_j - a_j^L)^2$$" + "\n\n" + error)
    assert quadratic.verdict == "refuted"
    assert (squared.verdict, squared.reading) == ("conditional", "C is the squared error cost of line 1")


def test_a_range_holds_if_what_it_governs_has_its_layers():
    step = r"compute $\delta^l = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^l)$."
    right, _ = audit_text(rf"For $l = L - 1, L - 2, \dots, 2$ {step}")
    beyond, _ = audit_text(rf"For $l = L, L - 1, \dots, 2$ {step}")
    below, _ = audit_text(rf"For $l = L - 1, \dots, 1$ {step}")
    alone = only(r"For $l = 2, 3, \dots, L$ do nothing.")
    assert right.verdict == "proved"
    assert (beyond.verdict, beyond.counterexample["right"]) == ("refuted", "there is no layer 3")
    assert beyond.correction == below.correction == r"l = L - 1, \dots, 2"
    assert below.verdict == "refuted"
    assert alone.verdict == "unread"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the document is empty"),
        (b" \n", "the document is empty"),
        (b"Words only.", "no formula"),
        (b"One\n$$a = b\n\nTwo", ":2: the `$$` opened here is not closed"),
        (b"$$a = b$$\n\n$$c = d\n\ntext $$e = f$$", ":3: the `$$` opened here is not closed"),
        (b"$$ $$", ":1: there is nothing between the `$$` marks"),
        (b"ok\n\xff\xfe", ":2: this is not text in UTF-8"),
    ],
)
def test_a_document_that_cannot_be_audited_says_why(tmp_path, content, said):
    path = tmp_path / "note.md"
    path.write_bytes(content)
    with pytest.raises(DocumentError) as error:
        audit(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_document_or_a_folder_is_named(tmp_path):
    with pytest.raises(DocumentError, match="there is no such file"):
        audit(tmp_path / "none.md")
    with pytest.raises(DocumentError, match="this is a folder"):
        audit(tmp_path)
