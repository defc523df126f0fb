"""Formulas are found in documents, named, and placed; documents that cannot be audited say why in one line."""

import time
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.audit.audit import audit, audit_text
from derive.audit.source.document import DocumentError, Formula, formulas_in, read_document

WRONG = r"z^l = w^l a^{l-1} - b^l"


OURS = (files("derive") / "documents" / "backpropagation.md").read_text(encoding="utf-8")


def latex(text, name="document"):
    return [f.latex for f in formulas_in(text, name)]


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


# Marks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\[ a = b \]", ["a = b"]),
        (r"\[ \begin{aligned} a &= b \\[2pt] &= c \end{aligned} \]", [r"\begin{aligned} a &= b \\[2pt] &= c \end{aligned}"]),
        (r"\begin{equation} a = b \end{equation}", ["a = b"]),
        (r"\begin{align*} a &= b \end{align*}", [r"\begin{align*} a &= b \end{align*}"]),
        (r"Let \(a = b\), not \(c\), nor \(d.", ["a = b"]),
        (r"\\[ a = b \\] and \\(c = d\\)", ["a = b", "c = d"]),  # as Markdown escapes the backslash
        ("```math\na = b\n```", ["a = b"]),
        ("so $`a = b`$", ["a = b"]),
        ("$a =\nb$ and $c\n= d$", ["a =\nb", "c\n= d"]),
        ("$a =\n\nb$", []),
        ("It costs $5 and $a = b$; $c = d$ costs 5$.", ["a = b", "c = d"]),
        (r"$\sum_{i=1}^n x_i$ but $y = \sum_{i=1}^n x_i$", [r"y = \sum_{i=1}^n x_i"]),
        ("> $$\n> a\n> = b\n> $$", ["a\n= b"]),
        ("A `$$` and ``a ` $$ b``, $$a = b$$", ["a = b"]),
        ("- ```\n  $$a = b$$\n  ```\n- $$c = d$$", ["c = d"]),
        ("````\n```\n$$a = b$$\n````\n$$c = d$$", ["c = d"]),
    ],
)  # fmt: skip
def test_every_mark_for_a_formula_is_known(text, found):
    assert latex(text) == found


def test_a_display_formula_that_states_nothing_is_listed_too():
    assert latex(r"$$a + b$$ \[c\]") == ["a + b", "c"]


def test_an_erratum_mark_between_formulas_is_that_of_the_next_line():
    text = "$a = b$ <!-- erratum -->\n$c = d$\n\nWith $w$: <!-- erratum -->\n$$e = f$$\n"
    assert [f.erratum for f in formulas_in(text)] == [True, False, True]


def test_a_quoted_formula_keeps_its_places():
    (found,) = formulas_in("> $$\n> a\n> = b\n> $$")
    assert (found.line, found.column) == (2, 3)
    assert found.place(found.latex.index("b")) == "line 3, column 5"


# Labels


def test_a_label_names_a_formula_without_a_tag():
    equation = r"\begin{equation}\label{eq:3} a = b \end{equation}"
    tagged = r"\begin{equation}\label{eq:3} a = b \tag{BP1} \end{equation}"
    rows = r"\begin{align} a &= b \label{eq:1} \\ c &= d \tag{2} \label{eq:2} \\ e &= f \end{align}"
    first, second, third = formulas_in("\n".join([equation, tagged, rows]))
    assert (first.id, second.id) == ("eq:3", "BP1")
    assert first.source.strip() == second.source.strip() == "a = b"
    assert [tag for _, tag in third.tags] == ["eq:1", "2"]
    assert len(third.source) == len(third.latex)


def test_the_older_way_to_number_a_formula_is_a_tag():
    assert [f.id for f in formulas_in(r"$$a = b \eqno(3)$$ $$a = b \eqno{(4a)}$$")] == ["3", "4a"]


def test_alignments_of_other_names_are_read_as_those_that_are_known():
    for begins, ends in ((r"\begin{alignat}{2}", r"\end{alignat}"), (r"\begin{flalign*}", r"\end{flalign*}")):
        (found,) = formulas_in(f"{begins} a &= b {ends}")
        assert found.latex == f"{begins} a &= b {ends}"
        assert found.source.split() == [r"\begin{align}", "a", "&=", "b", r"\end{align}"]
    (found,) = formulas_in(r"\begin{multline} a = b \\ + c \end{multline}")
    assert found.source.split() == ["a", "=", "b", "+", "c"]


# Sections


def test_headings_open_sections_and_say_of_which_system_they_speak():
    text = """# Notes on convolutional networks
        $a = b$
        ## Fully connected
        $a = b$
        ## Convolution
        $a = b$
        ### Bias
        $a = b$
        ## Average pooling
        $a = b$
        ## 池化
        最大 $a = b$
        ## Pooling
        the max or the mean $a = b$
        ## BN层
        $a = b$
        ## Weight decay after batch normalization
        $a = b$
        ## 交叉熵
        $a = b$"""
    found = [f.section for f in formulas_in(text.replace("\n        ", "\n"))]
    assert [(s.number, s.system) for s in found] == [
        (1, "convolution"), (2, None), (3, "convolution"), (4, "convolution"), (5, "average_pooling"),
        (6, "max_pooling"), (7, None), (8, "batch_norm"), (9, "momentum"), (10, "logistic_cross_entropy"),
    ]  # fmt: skip
    assert found[1].title == "Fully connected"
    assert [(s.number, s.title, s.system) for s in (f.section for f in formulas_in("$a = b$"))] == [(0, "", None)]


# Code


EXCERPT = "void backward(float *delta, int n)\n{\n    for (int i = 0; i < n; ++i) { delta[i] = t[i] - y[i]; }\n}"


def test_excerpts_of_c_that_assign_to_delta_are_claims():
    first, second = formulas_in(f"Text\n\n```c\n{EXCERPT}\n```\n\n```C++\n  l.delta[i] -= 1;\n```")
    assert (first.kind, first.id, first.line, first.latex) == ("code", "backward", 4, EXCERPT)
    assert (second.kind, second.id, second.latex) == ("code", "eq-11", "  l.delta[i] -= 1;")
    assert first.place(first.latex.index("delta[i]")) == "line 6, column 35"


@pytest.mark.parametrize(
    "fence",
    [
        "```\ndelta = 1;\n```",
        "```python\ndelta = 1\n```",
        "```c\nx = delta;\n```",
        "```c\nif (delta[0] == 1) x();\n```",
    ],
)
def test_other_code_is_passed_over(fence):
    assert formulas_in(f"## YOLO\n{fence}") == []


def test_an_excerpt_is_marked_as_an_erratum_above_its_fence():
    (found,) = formulas_in(f"<!-- erratum -->\n```c\n{EXCERPT}\n```")
    assert found.erratum


# Manuscripts


PAPER = r"""\documentclass{article} % $$not = this$$
\newcommand{\w}{\mathbf{w}}
\newcommand{\at}[2][l]{#2^{#1}}
\DeclareMathOperator{\diag}{diag}
\def\pd#1#2{\frac{\partial #1}{\partial #2}}
\let\eps\varepsilon
\newcommand{\be}{\begin{equation}}
\newcommand{\ee}{\end{equation}}
\newenvironment{rows}{\begin{align}}{\end{align}}
$$nor = this$$
\begin{document}
\section[Short]{Convolution}
We have $x = 5\%$ % $y = 2$
\be\label{eq:1}
  \at\w = \at[l-1]{\w} % a comment
  % $$ and one more $$
  + \diag(\eps) \ee
\subsection{Bias}
\begin{rows} \pd{C}{b} &= \delta \label{eq:2} \\ a &= b \end{rows}
\begin{verbatim} $$nor = this$$ \end{verbatim}
\verb|$x = y$| and \(a
= b\) and $x \text{ if $t = 1$} = y$
% <!-- erratum -->
$$c = d$$
\end{document}
$$nor = this$$
"""


def test_a_manuscript_is_read_as_tex_reads_it():
    found = formulas_in(PAPER, "paper.tex")
    assert [(f.line, f.latex) for f in found] == [
        (13, r"x = 5\%"),
        (14, "\\label{eq:1}\n  \\mathbf{w}^{l} = \\mathbf{w}^{l-1} + \\operatorname{diag}(\\varepsilon)"),
        (19, r"\begin{align} \frac{\partial C}{\partial b} &= \delta \label{eq:2} \\ a &= b \end{align}"),
        (21, "a\n= b"),
        (22, r"x \text{ if $t = 1$} = y"),
        (24, "c = d"),
    ]
    assert [f.id for f in found] == ["eq-13", "eq:1", "eq:2", "eq-21", "eq-22", "eq-24"]
    assert [f.erratum for f in found] == [False] * 5 + [True]
    assert [f.section.title for f in found] == ["Convolution"] * 2 + ["Bias"] * 4
    assert {f.section.system for f in found} == {"convolution"}
    assert found == formulas_in(PAPER)  # \documentclass says what it is
    assert latex(f"Write\n```\n{PAPER}```\n$$a = b$$") == ["a = b"]


def test_what_a_macro_makes_stands_where_the_macro_is_used():
    found = formulas_in(PAPER, "paper.tex")[1]
    assert found.place(found.latex.index(r"\mathbf")) == "line 15, column 6"
    assert found.place(found.latex.index("l-1")) == "line 15, column 15"
    assert found.place(found.latex.index(r"\operatorname")) == "line 17, column 5"
    assert found.place(10_000) == "line 17, column 16"


@pytest.mark.parametrize(
    ("definition", "use", "made"),
    [
        (r"\newcommand\w{v}", r"\w = \w^2", "v = v^2"),
        (r"\newcommand{\w}[1]{\hat#1}", r"\w w = \w{\w{x}}", r"\hat w = \hat\hat x"),
        (r"\newcommand*{\w}[1]{#1\cdot}", r"\w{a}b = 1", r"a\cdot b = 1"),
        (r"\newcommand{\w}[2][l]{#2^{#1}}", r"\w{a} = \w[L]{b}", "a^{l} = b^{L}"),
        (r"\newcommand{\w}[2]{#2 = #1}", r"\w{\w ab}c", "c = b = a"),
        (r"\newcommand{\w}{v}\renewcommand{\w}{u}\providecommand{\w}{t}", r"\w = 1", "u = 1"),
        (r"\let\old\sigma\renewcommand{\sigma}{\old_1}", r"\sigma = 1", r"\sigma_1 = 1"),
        (r"\newcommand{\w}{\v}\newcommand{\v}{u}", r"\w = 1", "u = 1"),
        (r"\newcommand{\w}{\ensuremath{v}\xspace}", r"\w = 1", "v = 1"),
        (r"\def\w(#1){v}", r"\w(x) = 1", r"\w(x) = 1"),  # delimited: the reader will refuse it
        (r"\newcommand{\w}[1]{v}", r"1 = \w", r"1 = \w"),
    ],
)
def test_macros_are_expanded(definition, use, made):
    assert latex(f"{definition} $${use}$$", "a.tex") == [made]
    assert latex(f"$${definition}$$\n\n$${use}$$") == [made]  # as documents for MathJax have it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x\n\\[ a = b", ":2: the `\\[` opened here is not closed"),
        ("\\[ a\n\n= b \\]", ":1: the `\\[` opened here is not closed"),
        ("x\n\\begin{align} a \\end{align*}", ":2: the `\\begin{align}` opened here is not closed"),
        ("x\n\n= b \\end{align}", ":3: `\\end{align}` without its `\\begin{align}`"),
        ("x\n= b \\]", ":2: `\\]` without its `\\[`"),
        ("\\begin{equation}\n\\end{equation}", ":1: there is nothing in the `equation` that begins here"),
        ("\\[ \\]", ":1: there is nothing between the `\\[` marks"),
        ("x\n\\( a = b", ":2: the `\\(` opened here is not closed"),
        ("\n\\begin{verbatim} a", ":2: the `\\begin{verbatim}` opened here is not closed"),
        ("\\begin{document} a", ":1: the `\\begin{document}` opened here is not closed"),
        ("\\newcommand{\\w}{\\w}\n$\\w = 1$", ":2: the macro `\\w` does not come to an end"),
        ("\\def\\w{\\v\\v}\\def\\v{\\w}\n$\\w = 1$", ":2: the macro `\\"),
        ("%\n% $a = b$\n$$c = d", ":3: the `$$` opened here is not closed"),
    ],
)
def test_a_manuscript_that_cannot_be_read_says_where(text, said):
    with pytest.raises(DocumentError) as error:
        formulas_in(text, "paper.tex")
    assert str(error.value).startswith(f"paper.tex{said}")


def test_macros_that_grow_without_bound_are_stopped():
    names = [rf"\{letter}" for letter in "abcdefghx"]
    definitions = "".join(r"\def" + a + "{" + 10 * b + "}" for a, b in pairwise(names))
    for last in ("", "1"):
        with pytest.raises(DocumentError, match="does not come to an end"):
            formulas_in(rf"{definitions}\def\x{{{last}}} $\a = 1$", "paper.tex")


# Whatever comes


PIECES = [
    "$$", "$", r"\[", r"\]", r"\(", r"\)", r"\begin{align}", r"\end{align}", r"\begin{equation}", r"\end{equation}", "`",
    "```", "```c\n", "\n", "\n\n", " ", "a = b", "{", "}", "_{", "^", "\\", "\\\\", "%", "<!--", "-->", "# ", "- ", ">",
    r"\newcommand{\x}", r"\x", "[1]", "{#1}", r"\def\x", r"\let\x\y", r"\begin{verbatim}", r"\verb|", r"\tag{1}",
    r"\label{a}", r"\section{", r"\item", r"\text{", "\t", r"\newenvironment{x}", r"\begin{x}", r"\end{document}",
    r"\begin{document}", "delta = 1;", "\r\n", "\u00a0",
]  # fmt: skip


def read_or_refused(text, name):
    began = time.perf_counter()
    try:
        found = formulas_in(text, name)
    except DocumentError as error:
        assert "\n" not in str(error)
    else:
        for formula in found:
            assert isinstance(formula, Formula)
            assert formula.latex.strip()
            assert len(formula.source) == len(formula.latex)
            assert 1 <= formula.line <= text.count("\n") + 1
            assert formula.place(0) == f"line {formula.line}, column {formula.column}"
    assert time.perf_counter() - began < 10


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["a.md", "a.tex"]))
def test_any_text_is_read_or_refused(pieces, name):
    read_or_refused("".join(pieces), name)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_cut_of_a_document_is_read_or_refused(data):
    text, name = data.draw(st.sampled_from([(OURS, "a.md"), (OURS, "a.tex"), (PAPER, "a.tex"), (PAPER, "a.md")]))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    read_or_refused(text[start:stop] + data.draw(st.sampled_from(["", *PIECES])), name)


@pytest.mark.parametrize("name", ["a.md", "a.tex"])
@pytest.mark.parametrize("piece", [*PIECES, "$a", r"\( ", "$ {", r"\x{", r"\x[", r"\newcommand{\x}[1][", "{_"])
def test_a_long_text_takes_no_long_time(piece, name):
    read_or_refused(r"\newcommand{\x}[1][d]{#1}" + piece * (30_000 // len(piece)), name)


def test_a_document_with_a_byte_that_is_no_text_or_with_other_line_ends_is_read_or_refused(tmp_path):
    path = tmp_path / "note.md"
    path.write_bytes(b"One\r\n\r\n$$a\r\n= b$$\r\n")
    assert [(f.line, f.latex) for f in read_document(path)] == [(3, "a\n= b")]
