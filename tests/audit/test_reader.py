"""The reader takes in what the field writes, in its usual spellings, and refuses all else with reason and place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import EQUIVALENT, TRUE

from derive.audit.audit import audit_text
from derive.audit.document import DocumentError
from derive.audit.formula import Application, Hadamard, Name, Number, Product, Range, Scripted, Summation
from derive.audit.reader import Unreadable, read
from derive.audit.verdict import WORST_FIRST

PIECES = r"""
\delta \sigma ' w a z b C E x l L T 1 2 1/2 ^ _ { } ( ) [ ] + - = \odot \sum_k \frac \partial \nabla \quad \rightarrow
\longrightarrow \text{in} \text{and} \begin{bmatrix} \end{bmatrix} \begin{aligned} \end{aligned} \\ & , . \left \right
\top \cdot * / \foo \dots \mathbf ^{l-1} _{jk} ^{x,l} m \eta \hat y é ∂ δ \tag{1} % # output
"""
PIECES = [*PIECES.split(), " ", "\n", "\x00"]


def sides(latex):
    (clause,) = read(latex)
    (relation,) = clause.relations
    return relation.left, relation.right


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"a^l = \sigma \left(z^l \right)", r"a^l=\sigma(z^l)"),
        (r"\mathbf{a}^l = \sigma(\boldsymbol{z}^l)", r"a^l = \sigma(z^l)"),
        (r"a = \dfrac{1}{2} b", r"a = \frac{1}{2} b"),
        (r"a = \frac12 b", r"a = \frac{1}{2} b"),
        (r"w_{jk}^l = w^l_{jk}", r"w^l_{jk} = w_{jk}^l"),
        (r"(w)^\top = b", r"(w)^T = b"),
        (r"(w)^{\mathrm{T}} = b", r"(w)^T = b"),
        (r"a = \sigma^{\prime}(z)", r"a = \sigma'(z)"),
        (r"s \circ t = b", r"s \odot t = b"),
        (r"a \, = \; b", r"a = b"),
        (r"a := b", r"a \equiv b"),
        ("δ = ∂C / ∂z", r"\delta = \frac{\partial C}{\partial z}"),
        (r"\partial C / \partial a_j^L = b", r"\frac{\partial C}{\partial a_j^L} = b"),
        (r"a = {b}", r"a = b"),
    ],
)
def test_usual_spellings_read_alike(one, other):
    assert sides(one) == sides(other)


def test_a_product_binds_closer_than_the_elementwise_one():
    _, right = sides(r"d = w e \odot s")
    assert isinstance(right, Hadamard)
    assert right.left == Product(Name("w"), Name("e"))


def test_a_sum_ends_at_the_next_plus():
    _, right = sides(r"z = \sum_k w_k a_k + b")
    (_, first), (_, second) = right.terms
    assert isinstance(first, Summation)
    assert second == Name("b")


def test_a_function_takes_the_brackets_behind_it():
    _, right = sides(r"a = \sigma'(z)^2")
    assert isinstance(right, Scripted)
    assert isinstance(right.base, Application)
    assert right.sup == (Number(2),)


def test_letters_side_by_side_are_factors_and_known_words_are_words():
    assert sides("a = ouT")[1] == Product(Product(Name("o"), Name("u")), Name("T"))
    assert type(sides("a = output")[1]).__name__ == "Word"


def test_a_chain_is_one_relation_for_each_sign():
    (clause,) = read("a = b = c")
    assert [r.source for r in clause.relations] == ["a = b", "b = c"]


def test_a_row_that_starts_with_a_sign_goes_on_from_the_row_above():
    first, second = read(r"\begin{aligned} a_{i=1} &= b \\ &= c \end{aligned}".replace("_{i=1}", ""))
    assert [r.source for c in (first, second) for r in c.relations] == ["a = b", "b = c"]


def test_what_follows_an_arrow_rests_on_what_stands_before():
    first, second = read(r"C = a \quad \longrightarrow \quad b = c")
    assert not first.follows
    assert second.follows


def test_a_list_with_dots_is_a_range():
    (found,) = read(r"l = L - 1, L - 2, \dots, 2")
    assert isinstance(found, Range)
    assert len(found.values) == 4


@pytest.mark.parametrize(
    ("latex", "reason", "at"),
    [
        (r"a = \foo b", r"`\foo` is not understood", 4),
        ("a = b +", "it ends too early", 7),
        ("a = (b", "it ends too early", 6),
        ("a = b)", "`)` is not expected here", 5),
        ("a b", "an expression is no statement", 0),
        ("a = 1/2 b", "what the slash divides by is not clear", 8),
        ("a = b^12", "put a script of several digits in braces", 6),
        ("a = 2 3", "two numbers side by side", 6),
        ("a_j_k = b", "two scripts of one kind", 4),
        (r"\begin{aligned} a &= b", r"\begin{aligned} without its \end", 22),
        (r"a = b \odot", "lacks a side", 6),
        ("a & b = c", "outside of an alignment", 2),
        ("", "there is nothing in it", 0),
        ("a = " + "(" * 60 + "b" + ")" * 60, "nested deeper", 44),
        ("a = b % c", "`%` is not understood", 6),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(latex, reason, at):
    with pytest.raises(Unreadable) as refusal:
        read(latex)
    assert reason in refusal.value.reason
    assert refusal.value.at == at


def test_nothing_behind_a_term_is_dropped():
    assert read("a = b c") != read("a = b")
    with pytest.raises(Unreadable):
        read("a = {g}_{k} ?")


@settings(max_examples=400, deadline=5000, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_sequence_of_pieces_is_read_or_refused(pieces):
    text = "".join(pieces)
    try:
        read(text)
    except Unreadable as refusal:
        assert refusal.reason
        assert 0 <= refusal.at <= len(text)


@settings(max_examples=150, deadline=10_000, derandomize=True)
@given(st.sampled_from(TRUE + EQUIVALENT), st.data())
def test_a_damaged_formula_still_gets_a_verdict(latex, data):
    start = data.draw(st.integers(0, len(latex) - 1))
    stop = data.draw(st.integers(start, len(latex)))
    piece = data.draw(st.sampled_from(["", *PIECES]))
    damaged = (latex[:start] + piece + latex[stop:]).replace("$", "")
    try:
        found = audit_text(f"$${damaged}$$")
    except DocumentError:
        assert not damaged.strip()
        return
    assert found
    for verdict in found:
        assert verdict.verdict in WORST_FIRST
        assert verdict.verdict != "unread" or verdict.reason
        assert verdict.verdict != "refuted" or verdict.counterexample
        assert verdict.verdict != "proved" or verdict.scope == "all sizes"
