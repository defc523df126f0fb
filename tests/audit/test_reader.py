"""The reader takes in what the field writes, in its usual spellings, and refuses all else with reason and place."""

import re
from importlib.resources import files
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import EQUIVALENT, TRUE

from derive.audit.audit import audit_text
from derive.audit.source.document import DocumentError, formulas_in
from derive.audit.syntax import formula as f
from derive.audit.syntax.formula import Application, Clause, Hadamard, Name, Number, Product, Range, Scripted, Summation
from derive.audit.syntax.reader import Unreadable, parser, read
from derive.audit.syntax.shape import Shape
from derive.audit.verdict import WORST_FIRST

PIECES = r"""
\delta \sigma ' w a z b C E x l L T 1 2 1/2 ^ _ { } ( ) [ ] + - = \odot \sum_k \frac \partial \nabla \quad \rightarrow
\longrightarrow \text{in} \text{and} \begin{bmatrix} \end{bmatrix} \begin{aligned} \end{aligned} \\ & , . \left \right
\top \cdot * / \foo \dots \mathbf ^{l-1} _{jk} ^{x,l} m \eta \hat y é ∂ δ \tag{1} % # output \| || | \mid P( \max \log
\sqrt \begin{cases} \end{cases} \text{if} \underbrace{ }_{ \boxed{ \color{red} \left\{ \right. \right\} \text{rot}180 \star > 180
\arg\max_k {} \newline \hspace{1cm} \phantom{ \label{ \norm \dot ~ \; \begin{array}{rcl} \end{array} \rm \stackrel Σ
"""
PIECES = [*PIECES.split(), " ", "\n", "\x00", "\ufdd0", "\ufdd2"]

DOCUMENT = (files("derive") / "documents" / "backpropagation.md").read_text(encoding="utf-8")
WILD = [
    r"\begin{eqnarray} \delta^L_j & = & \sum_k \frac{\partial C}{\partial a^L_k} \frac{\partial a^L_k}{\partial z^L_j} \\"
    r" & = & \frac{\partial C}{\partial a^L_j} \sigma'(z^L_j). \end{eqnarray}",
    r"\begin{align*} \mu_j &= \frac1m \sum_{i=1}^m x_{i,j} & \sigma_j^2 &= \frac1m \sum_{i=1}^m (x_{i,j} - \mu_j)^2 \\"
    r" \hat{x}_{i,j} &= \frac{x_{i,j} - \mu_j}{\sqrt{\sigma_j^2 + \epsilon}} \end{align*}",
    r"\boldsymbol{\delta}^{(l)} = \left[\mathbf{W}^{(l+1)\top} \boldsymbol{\delta}^{(l+1)}\right] \circ \dot{\sigma}(\bm{z}^{(l)})",
    r"\frac{\partial \mathcal{L}}{\partial X} = \frac{\partial \mathcal{L}}{\partial Y} \star \operatorname{rot180}(W)",
    r"f(z) = \begin{cases} z, & \text{if } z > 0 \\ 0, & \text{otherwise} \end{cases}",
    r"y_{i,j} = \max_{u,v} x_{s i + u, s j + v}, \quad k = \operatorname{arg\,max}_{k'} p_{k'}".replace("{k'}", "k"),
    r"C = \frac{1}{2n} \sum_x \| y^x - a^{x,L} \|^2 = \frac{1}{2n} \sum_x \sum_j (y_j^x - a_j^{x,L})^2",
    r"E = -\frac{1}{N} \sum_{i=1}^{N} \left[ t_i \log y_i + (1 - t_i) \log(1 - y_i) \right]",
    r"P(t = 1 \mid z) = \sigma(z) = \frac{1}{1 + e^{-z}} \quad \Rightarrow \quad \xi(t, y) = -\ln y",
    r"\delta^{l-1} = \delta^l * \text{rot}180(w^l) \odot \sigma'(z^{l-1})",
    r"\frac{\partial C}{\partial \mu} = \sum_{i=1}^m \left\{ \frac{\hat{z}_i}{\partial \mu} \frac{-\mathbf{1}}{\sqrt{\sigma_B^2"
    r" + \varepsilon}} g(y_i^l)' \right\}",
    r"W \leftarrow W - \eta\, \partial C/\partial W, \quad b \leftarrow b - \eta \nabla_b C.",
    r"w_k \rightarrow w_k' = w_k - \frac{\eta}{m} \sum_j \frac{\partial C_{x_j}}{\partial w_k}".replace("x_j", "x"),
    r"\operatorname{diag}(\sigma'(z^l)) {w^{l+1}}^T \delta^{l+1} = \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}^{l-1}",
]
REAL = [*(formula.source for formula in formulas_in(DOCUMENT) if formula.kind == "formula"), *WILD]

TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|\S")
LAYOUT = {  # alone, they say nothing; `delta` and `rot180` are the same words without `\text`
    r"\left", r"\right", r"\mathbf", r"\boldsymbol", r"\bm", r"\mathcal", r"\text", r"\operatorname",
    r"\quad", r"\,", r"\;", "\\ ", "&",
}  # fmt: skip
SEPARATOR = re.compile(r"[.,]\s*(?=\\(quad|\\|end)|&|$)")


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
        (r"\bm{w}^l = \vec{b} \mathrm{T}", r"w^l = b T"),
        (r"w_{ij}^{l} = {\mathbf{w}}^l_{ij}", r"w_{ij}^l = w_{ij}^l"),
        (r"w^{(l)\top} a = {w}^{(l)T} a", r"w^{(l), T} a = w^{(l), T} a"),
        (r"w^{l\top} = w^{l\intercal}", r"w^{l,T} = w^{l,T}"),
        (r"w^{\mathsf{T}} = w^\text{T}", r"w^T = w^T"),
        (r"\mathbf{z^l} = {\boldsymbol{b}}", r"z^l = b"),
        (r"\hat{z_i^l} = \hat{\mathbf{z}}_i^l", r"\hat z_i^l = \hat z_i^l"),
        (r"a = \dot{\sigma}(z) \dot f(z)", r"a = \sigma'(z) f'(z)"),
        (r"a = \sigma \bigl( z \bigr) \Big[ b \Big]", r"a = \sigma(z) [b]"),
        (r"a = \frac1m \frac1{2 m} \frac ab \frac{1}2", r"a = \frac{1}{m} \frac{1}{2 m} \frac{a}{b} \frac{1}{2}"),
        (
            r"\frac{\partial{C}}{\partial{w^l}} = {\partial C}/{\partial b}",
            r"\partial C/\partial w^l = \partial C/\partial b",
        ),
        (r"{\delta}^L = {\nabla}_a{C}", r"\delta^L = \nabla_a C"),
        (r"a = \mathcal{L} \mathscr{L}", r"a = L L"),
        (r"a = \sum\limits_{i=1}^m b_i", r"a = \sum_{i=1}^m b_i"),
        (r"a = \mathop{\sum}_i b_i", r"a = \sum_i b_i"),
        (r"a = \underbrace{b}_{\text{a word, 误差} + (1} + \overbrace{c}^{x = 1}", r"a = b + c"),
        (r"a = \underbrace{b c}_\text{label} d", r"a = {b c} d"),
        (r"a = \boxed{b} + \color{red}{c} + \textcolor[rgb]{1,0,0}{d}", r"a = b + c + d"),
        (r"a = \phantom{x} b \hspace{2pt} c \nonumber", r"a = b c"),
        (r"a = {}-b {}+ c \label{eq} \tag{1}", r"a = -b + c"),
        (
            "Σ_k a_k = ∑_k a_k − b·c × d ∗ e ⊗ f ⋆ g",
            r"\sum_k a_k = \sum_k a_k - b \cdot c \times d \ast e \otimes f \star g",
        ),
        ("ε ϕ Δ = ∇C ⊙ σ′(z) ∘ s", r"\varepsilon \phi \Delta = \nabla C \odot \sigma'(z) \odot s"),
        (r"a = \| b \| \left\| c \right\|_2", r"a = \norm{b} \lVert c \rVert"),
        (r"a = || b + (\| c \|) ||^2", r"a = \left\| b + (\|c\|) \right\|^2"),
        (r"a = \text{rot}180(w)", r"a = rot180(w)"),
        (r"a = \mathrm{rot}_{180}(w)", r"a = \text{rot180}(w)"),
        (r"a = \operatorname{rot180}(w)", r"a = \text{flip}(w)"),
        (r"a = \text{rot}_{180^\circ}(w)", r"a = \text{ROT180}(w)"),
        (r"a = \text{ReLU}(z)", r"a = \mathrm{relu}(z)"),
        (r"k = \operatorname*{arg\,max}_{k} z_k", r"k = \arg\max\limits_k z_k"),
        (r"k = \underset{k}{\mathrm{argmax}} z_k", r"k = \arg\max_k z_k"),
        (r"a = \max \{0, z\}", r"a = max(0, z)"),
        (r"a_{\rm in} = w^{\rm T} a_{\rm{out}}", r"a_{\text{in}} = w^T a_{\text{out}}"),
        (r"a = P(t=1|z)", r"a = \Pr \left( t = \mathbf{1} \mid z \right)"),
        (
            r"f(z) = \begin{cases} z & if z > 0 \\ 0 & otherwise \end{cases}",
            r"f(z) = \left\{ \begin{array}{ll} z, & \text{for } z > 0, \\ 0 & \end{array} \right.",
        ),
        (r"{a = b}", r"\boxed{a = b}"),
        (r"\color{red} a = b.", r"{\color{red} a = b},"),
        (r"a \stackrel{\text{def}}{=} b", r"a \overset{(1)}{=} b"),
        (r"\left\{ \begin{aligned} a = b \end{aligned} \right.", r"\boxed{\begin{split} a &= b \end{split}}"),
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


def right(latex):
    return sides(f"a = {latex}")[1]


ZERO, ONE, TWO = map(Number, range(3))
B, C, K, L, P, S, T, U, V, W, X, Y, Z = map(Name, "bCkLpstuvwxyz")
SIGMA, DELTA = Name("sigma"), Name("delta")


@pytest.mark.parametrize(
    ("latex", "node"),
    [
        (r"\sqrt{x}", f.Root(X)),
        (r"\sqrt 2", f.Root(TWO)),
        (r"\xi(t, y)", f.Call(Name("xi"), (T, Y))),
        (r"\max(0, z)", f.Call(Name("max"), (ZERO, Z))),
        (r"\partial \xi(t, y)", f.Differential(f.Call(Name("xi"), (T, Y)))),
        (r"(u, v)", f.Listing((U, V))),
        (r"[u, v]", f.Group(f.Listing((U, V)), "[")),
        (r"P(t = 1 \mid z)", f.Probability(f.Relation("equation", T, ONE), Z)),
        (r"P(t = 1)", f.Probability(f.Relation("equation", T, ONE), None)),
        (r"p(z > 0 | x, w)", f.Probability(f.Relation("other", Z, ZERO, ">"), f.Listing((X, W)))),
        (
            r"\begin{cases} z & \text{if } z > 0 \\ 0 & \text{otherwise} \end{cases}",
            f.Cases(((Z, f.Relation("other", Z, ZERO, ">")), (ZERO, None))),
        ),
        (r"\max_{u,v} x", f.Extremum("max", (U, V), X)),
        (r"\min_k y z", f.Extremum("min", (K,), Product(Y, Z))),
        (r"\arg\max_k z", f.Extremum("argmax", (K,), Z)),
        (r"\| x \|_2^2", Scripted(f.Norm(X), (), (TWO,))),
        (r"\text{rot}180(w)", Application(Name("rot180"), W)),
        (r"\operatorname{diag}(s)", Application(Name("diag"), S)),
        (r"\text{softmax}(z)_k", Scripted(Application(Name("softmax"), Z), (K,))),
        (r"\log y", Application(Name("log"), Y)),
        (r"t \ln \sigma(z)", Product(T, Application(Name("ln"), Application(SIGMA, Z)))),
        (r"\log \sum_k z", Application(Name("log"), Summation((K,), Z))),
        (r"\exp(z)^2", Scripted(Application(Name("exp"), Z), (), (TWO,))),
        (r"g(y)'", Scripted(Application(Name("g"), Y), primes=1)),
        (r"\frac{\hat{z}}{\partial x}", f.Quotient(Name("hat z"), f.Differential(X))),
        (r"\frac{\partial C}{\sqrt{x}}", f.Quotient(f.Differential(C), f.Root(X))),
        (r"\frac{\partial \sigma(z)}{\partial z}", f.Derivative(Application(SIGMA, Z), Z)),
        (r"\sum_k^p x", Summation((K,), X, None, P)),
        (r"\begin{bmatrix} x & y \\[2pt] z & 1 \end{bmatrix}^L", Scripted(f.Matrix(((X, Y), (Z, ONE))), (), (L,))),
        (r"\left( \begin{array}{cc} x & y \end{array} \right)", f.Group(f.Matrix(((X, Y),)), "(")),
        (r"e^{-z}", Scripted(Name("e"), (), (f.Addition(((-1, Z),)),))),
        (r"\text{loss_derivative}", f.Word("loss_derivative")),
        (r"\mathrm{loss\_derivative}", f.Word("loss_derivative")),
        (r"z_{\max}", Scripted(Z, (f.Word("max"),))),
        (r"\mathbb{E}", Name("mathbb E")),
    ],
)
def test_a_construction_has_its_node(latex, node):
    assert right(latex) == node


@pytest.mark.parametrize(
    ("written", "operator"),
    [
        ("", ""), (r"\cdot", "cdot"), (r"\times", "times"), ("*", "*"), (r"\ast", "*"), (r"\star", "star"),
        (r"\otimes", "otimes"), (r"\circledast", "circledast"),
    ],
)  # fmt: skip
def test_every_product_binds_closer_than_the_elementwise_one(written, operator):
    assert right(rf"x {written} y \odot z") == Hadamard(Product(X, Y, operator), Z)


def test_the_convolution_of_the_note():
    rotated = Application(Name("rot180"), Scripted(W, (), (Name("l"),)))
    assert right(r"\delta * \text{rot}180(w^l) \odot s") == Hadamard(Product(DELTA, rotated, "*"), S)


@pytest.mark.parametrize(
    ("latex", "statements"),
    [
        (r"\begin{eqnarray} a & = & b \\ & = & c \nonumber \\ & = & d \end{eqnarray}", ["a = b", "b = c", "c = d"]),
        (r"\begin{align} a &= b \label{a} \\&= c \tag{2} \end{align}", ["a = b", "b = c"]),
        (r"\begin{align*} a &= b & c &= d \\ x &= y && z &= w \end{align*}", ["a = b", "c = d", "x = y", "z = w"]),
        (r"\begin{alignat}{2} a &= b, &\quad c &= d \end{alignat}", ["a = b", "c = d"]),
        (r"\begin{gather*} a = b \\ c = d \end{gather*}", ["a = b", "c = d"]),
        (r"\begin{equation} \begin{split} a &= b \\ &= c \end{split} \end{equation}", ["a = b", "b = c"]),
        (r"\begin{multline} a = b + \\ c \\ + d \end{multline}", ["a = b + c + d"]),
        (r"\begin{aligned} a &= b \\ &\quad + c \\ &= d - \\ & c \end{aligned}", ["a = b + c", "b + c = d - c"]),
        (r"\begin{aligned} a &= b \\ -c &= d \end{aligned}", ["a = b", "-c = d"]),
        (r"\begin{array}{rcl} a & = & b \\ & = & c \end{array}", ["a = b", "b = c"]),
        (r"\boxed{\begin{aligned} a &= b \\ c &= d \end{aligned}}", ["a = b", "c = d"]),
        (r"\left\{ \begin{aligned} a &= b \\ c &= d \end{aligned} \right.", ["a = b", "c = d"]),
        (r"\begin{aligned} a &= b \end{aligned} \quad \begin{aligned} c &= d \end{aligned}", ["a = b", "c = d"]),
        (r"a = b \newline c = d", ["a = b", "c = d"]),
        (r"a = b \hspace{1cm} c = d \ \ \ x = y", ["a = b", "c = d", "x = y"]),
        (r"\boxed{a = b}, \quad {c = d}.", ["a = b", "c = d"]),
        (r"a \equiv b = c \leq d", [r"a \equiv b", "b = c", r"c \leq d"]),
        (r"a = \underbrace{b}_{x} \ \qquad \Rightarrow c = \|d\|", [r"a = \underbrace{b}_{x}", r"c = \|d\|"]),
    ],
)
def test_statements_are_told_apart_and_keep_their_source(latex, statements):
    assert [r.source for clause in read(latex) for r in clause.relations] == statements


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
        ("a = |b|", "`|` is not expected here", 4),
        (r"a = y \log b c", "where what the function takes ends is not clear", 13),
        (r"a = \log b / c", "where what the function takes ends is not clear", 11),
        (r"a = \log^2 y", "scripts between a function and what it takes", 4),
        (r"a = \log", "a function of nothing", 4),
        (r"a = \sin y", r"`\sin` is not understood", 4),
        (r"a = \text{softmax} z", "must stand in brackets", 4),
        (r"a = \max z", "must stand in brackets", 4),
        (r"a = \max_{k \in B} z", r"`\max` takes one subscript, its indices", 4),
        (r"a = \text{rot}180 w", "a rotation of nothing", 4),
        (r"a = f(t = 1)", "a relation in brackets", 6),
        (r"a = \| b \|_1", "only the Euclidean norm is understood", 12),
        (r"a = \mathbb{1} b", r"`\mathbb` around more than a letter", 4),
        (r"a = \nabla C(w)", "the gradient takes the brackets", 4),
        (r"a = \partial \partial C", "a derivative of a derivative", 13),
        (r"a = 1e-5", "write a power of ten as", 4),
        (r"a = b \text{ if } c = d", "a sentence in words", 6),
        (r"a = \hat{(b c)}", "an accent over more than a letter", 4),
        (r"a = \left. b \right|_c", "`.` is not expected here", 9),
        (r"a_{} = b", "`=` is not expected here", 5),
        (r"a = \begin{bmatrix} 1 & & 2 \end{bmatrix}", "an entry of a matrix that is no expression", 4),
        (r"a = \begin{cases} b & 0 < c < 1 \end{cases}", "a case's condition must be one relation", 22),
        (r"\begin{cases} a = b \end{cases}", "a case begins with its value", 14),
        (r"\begin{aligned} a &= b \\ & - c = d \end{aligned}", "whether this row goes on from the one above", 28),
        (r"\begin{aligned} a &= b \end{aligned} c", "an expression is no statement", 37),
        (r"\sqrt{\begin{aligned} a &= b \end{aligned}}", "an alignment inside of braces", 6),
        (r"\boxed{\begin{aligned} a &= b \end{aligned}", "a brace is not closed", 43),
        (r"a \\ b = (c \\ d)", "it ends too early", 11),
        ("a = b \ufdd0", "a character that no text may hold", 6),
        ("a = " + "b" * 200, "nested deeper than 100", 104),
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


@pytest.mark.parametrize("latex", REAL)
def test_real_formulas_are_read(latex):
    assert read(latex)


@pytest.mark.parametrize("latex", REAL)
def test_no_token_of_a_real_formula_is_dropped(latex):
    """Take any one away, and another formula is read, or none. Of long formulas, some 200 are tried."""
    whole = read(latex)
    separators = {m.start() for m in SEPARATOR.finditer(latex)}
    tokens = list(TOKEN.finditer(latex))
    for token in tokens[:: 1 + len(tokens) // 200]:
        if token[0] in LAYOUT or token.start() in separators:
            continue
        try:
            assert read(latex[: token.start()] + latex[token.end() :]) != whole, token
        except Unreadable:
            continue


def test_every_rule_of_the_grammar_has_its_method():
    rules = {rule.alias or rule.origin.name for rule in parser().rules if not rule.origin.name.startswith("_")}
    assert {name for name in rules if name not in vars(Shape)} <= {"factor", "atom"}  # these pass on what they hold


def checked(text):
    """What is read of a text, if it is; each relation's source must say the same alone."""
    try:
        statements = read(text)
    except Unreadable as refusal:
        assert refusal.reason
        assert 0 <= refusal.at <= len(text)
        return
    assert repr(statements)
    assert hash(statements) == hash(read(text))
    for statement in statements:
        for relation in statement.relations if isinstance(statement, Clause) else ():
            (alone,) = read(relation.source)
            assert alone.relations == (relation,)


@settings(max_examples=400, deadline=5000, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_sequence_of_pieces_is_read_or_refused(pieces):
    checked("".join(pieces))


@settings(max_examples=100, deadline=5000, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    checked(text)


@settings(max_examples=600, deadline=5000, derandomize=True)
@given(st.sampled_from(REAL), st.sampled_from(REAL), st.sampled_from(["", *PIECES]), st.data())
def test_truncated_and_spliced_formulas_are_read_or_refused(one, other, piece, data):
    stop = data.draw(st.integers(0, len(one)))
    start = data.draw(st.integers(0, len(other)))
    checked(one[:stop] + piece)
    checked(piece + other[start:])
    checked(one[:stop] + piece + other[start:])


LONG = [  # what comes before, what is repeated until the text is as long as one may be, what comes behind
    ("a = b", "'", ""), ("a = b^{", "'", "}"), ("a = ", "b", ""), ("a = ", "b+", "b"), ("a", "=a", ""), ("a = ", "b/", "b"),
    ("a = b", r"\to a=a", ""), ("", r"\left", ""), ("a = ", r"\left(", ""), ("a = b", "_{b", ""), ("a = b", "_b", ""),
    ("a = ", r"\sum_k ", "b"), ("a = ", r"\max ", "b"), ("a = ", r"\partial ", "b"), ("a = ", r"\nabla ", "b"),
    ("a = ", r"\log ", "b"), ("a = ", r"\sigma(", ""), ("", r"\begin{bmatrix}", ""), ("", r"\begin{aligned}", ""),
    ("", r"\end{aligned}", ""), ("", r"a=b\\", ""), ("a=b", r"\\+c", ""), (r"\begin{aligned}", r"a&=b\\", r"\end{aligned}"),
    (r"\begin{aligned} a", "&", r"\end{aligned}"), (r"a=\begin{bmatrix}a", "&a", r"\end{bmatrix}"), ("a =", " ", "b"),
    ("a = b", "~  ", ""), (r"a = \text{", " ,", "x}"), ("", r"\label{", ""), ("a = ", r"\|", ""), ("a = ", r"\|b\|", ""),
    ("a = ", r"\underbrace{b}_{c}", ""), ("a = ", r"\underbrace{b}_", ""), ("", r"\boxed{", ""), ("", r"\color{red}", ""),
    (r"a = \hspace{", "1.", "cm}"), (r"a = b \\[", "1", "pt]"), ("a = ", "1", ""), ("a = ", "1.", ""), ("a = ", r"\frac", ""),
    ("a = ", r"\frac12", ""), (r"a \stackrel{", "{a}", "}{=} b"), ("a = b", ",", ""), ("a = b", r"\quad", ""), ("a = (", "b,", "b)"),
    (r"a = \begin{cases}", r"a & b > 0 \\", r"\end{cases}"), ("", r"\left\{\begin{aligned}", ""), ("a = rot", " ", "180(b)"),
    (r"a = \arg", r"\,", r"\max"), ("a = ", "{}", ""), ("a = ", "={}", ""), ("a = ", "{b}", ""), ("", "}", ""),
    ("a = ", "P(a=b)", ""), ("a = ", r"\odot ", ""), ("a = b", r"\odot b", ""), ("a = ", r"\partial a/\partial b ", ""),
    ("a = ", ".", ""), ("a = ", r"\mathbf", ""), ("a = ", r"\hat{", ""), ("a = b", r"\newline ", ""), ("a = ", r"\phantom{a}", "b"),
    (f"{REAL[0]}", rf"\quad {REAL[0]}", ""), ("l = 2, ", "b", r", \dots, L"),
]  # fmt: skip


@pytest.mark.parametrize("parts", LONG, ids="".join)
def test_the_longest_text_is_read_or_refused_at_once(parts):
    before, repeated, behind = parts
    times = (20_000 - len(before) - len(behind)) // len(repeated)
    text = before + repeated * times + behind
    start = perf_counter()
    try:
        statements = read(text)
    except Unreadable as refusal:
        assert 0 <= refusal.at <= len(text)
    else:
        assert repr(statements)  # those who call themselves to read it come back
    assert perf_counter() - start < 4


def test_a_usual_formula_is_read_in_milliseconds():
    latex = " = ".join(
        [r"\sum_{i=1}^m \frac{\partial C}{\partial z_i^{l+1}} \frac{\partial z_i^{l+1}}{\partial a_i^l}"] * 3
    )
    assert 250 < len(latex) < 350
    read(latex)
    durations = []
    for _ in range(10):
        start = perf_counter()
        read(latex)
        durations.append(perf_counter() - start)
    assert min(durations) < 0.03


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
