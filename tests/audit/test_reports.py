"""Reports: a table for people, JSON for programs, a page that needs nothing else, errata; written whole or not at all."""

import html
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.audit.audit import ERRATA, audit, judged, our_documents
from derive.audit.judging.counterexample import Counterexample
from derive.audit.judging.judge import Outcome
from derive.audit.reports.errata import errata
from derive.audit.reports.finding import Document, continued, details, examined, gathered, our_findings
from derive.audit.reports.mathml import mathml
from derive.audit.reports.page import page
from derive.audit.reports.report import columns, run, text
from derive.audit.source.document import DocumentError, formulas_in
from derive.audit.verdict import KINDS, WORST_FIRST, Verdict

KEYS = {
    "id", "line", "latex", "system", "verdict", "scope", "reading", "counterexample", "correction", "reason", "erratum",
}  # fmt: skip
NOTE = r"""
# Note

$$z^l = w^l a^{l-1} + b^l \tag{good}$$

$$z^l = w^l a^{l-1} - b^l \tag{<bad> & ugly}$$

$$\delta^l = \text{rot180}(w) \foo$$

$$a^l = \sigma(z^l) = \sigma(w^l a^{l-1} + b^l) \tag{chain}$$

$$w^l = w^l - \eta \frac{\partial C}{\partial w^l} \tag{assigned}$$

$$b^l = b^l - \eta \frac{\partial C}{\partial b^l}$$
"""
EXCERPT = """
## Logistic output

```c
void f(float *output, float *delta, int n, int class)
{
    if (n < class) delta[n] = 1 - output[n]; // 对于IoU大于预定义阈值（默认值0.5）的其它先验框，不会产生任何代价。
}
```
"""


@pytest.fixture
def note(tmp_path):
    path = tmp_path / "note.md"
    path.write_text(NOTE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ours():
    """Our document as it was judged once for all tests of a process."""
    (document,) = our_findings()
    return document


def of_text(said: str, name: str = "document.md") -> Document:
    formulas = formulas_in(said)
    return Document(name, tuple(gathered(formulas, judged(formulas))))


def verdicts_alone(*verdicts: Verdict, code: bool = False) -> Document:
    """A document whose formulas have the verdicts that are given."""
    formulas = formulas_in("\n\n".join(f"$$a_{n} = b$$" for n in range(len(verdicts))))
    if code:
        formulas = formulas_in("\n".join("```c\ndelta[0] = 1;\n```" for _ in verdicts))
    found = []
    for formula, verdict in zip(formulas, verdicts, strict=True):
        (one,) = gathered(
            [formula],
            [(Verdict(**vars(verdict) | {"id": formula.id, "latex": formula.latex}), Outcome(verdict.verdict))],
        )
        found.append(type(one)(formula, verdict, one.outcome))
    return Document("document.md", tuple(found))


def test_a_refuted_formula_makes_the_exit_code_one_and_an_erratum_does_not(note, capsys):
    assert run([note]) == 1
    note.write_text(NOTE.replace("ugly}$$", "ugly}$$ <!-- erratum -->"), encoding="utf-8")
    assert run([note]) == 0
    assert "erratum" in capsys.readouterr().out


def test_findings_hold_each_formula_with_its_parts(note):
    found = examined(note)
    assert [len(each.parts) for each in found.findings] == [0, 0, 0, 2, 0, 0]
    assert [v.id for v in found.verdicts] == [v.id for v in audit(note)]
    assert all(each.formula.id == each.verdict.id for each in found.findings)
    assert found.summary() == "6 formulas: 2 proved, 2 conditional, 1 refuted, 1 unread"


def test_parts_that_have_tags_of_their_own_belong_to_their_formula():
    found = of_text(
        r"$$\begin{align} z^l &= w^l a^{l-1} + b^l \tag{A} \\ a^l &= \sigma(z^l) \tag{B} \end{align}$$ $$z^l = w^l a^{l-1} \tag{A}$$"
    )
    first, second = found.findings
    assert [part.id for part, _ in first.parts] == ["A", "B"]
    assert (second.verdict.id, second.parts) == ("A", ())
    assert found.summary() == "2 formulas: 1 proved, 0 conditional, 1 refuted, 0 unread"


def test_the_table_fits_eighty_columns_and_shows_what_a_verdict_rests_on(note, capsys):
    run([note])
    shown = capsys.readouterr().out
    assert max(map(columns, shown.splitlines()[1:])) <= 80
    assert shown.endswith("refuted: <bad> & ugly\nunread: eq-8\n")
    for word in ("counterexample: left ", "correction: z_{j}^{l} = b_{j}^{l}", "reason: ", "\ngood  ", "\n  /2  "):
        assert word in shown
    assert shown.count("= \\sigma(w^l a^{l-1} + b^l)") == 1  # a chain's second part without what it repeats
    assert "    = \\sigma(w^l a^{l-1} + b^l)\n" in shown


def test_the_table_lists_each_reading_once(note, capsys):
    run([note])
    rows, readings = capsys.readouterr().out.split("\nreadings\n")
    assert rows.count("[1]") == 2
    assert readings.count("assigns") == 1
    assert "assigns" not in rows
    assert " ".join(readings.split()).startswith("[1] " + audit(note)[-1].reading)


def test_the_table_of_our_document_loses_nothing_and_fits(ours):
    shown = text([ours])
    assert max(map(columns, shown.splitlines())) <= 80
    flat = re.sub(r"\s", "", shown)
    for finding in ours.findings:
        before = ""
        for verdict, outcome in finding.statements:
            assert re.sub(r"\s", "", continued(before, verdict.latex).split(r"\tag")[0].split(r"\quad (")[0]) in flat
            for _, said in details(verdict, outcome):
                assert re.sub(r"\s", "", said) in flat
            before = verdict.latex


def test_what_would_steer_a_terminal_is_not_printed():
    shown = text([of_text("$$a = \\text{\x1b[31m\x07} \\tag{\x1b[2J}$$", "x\x1b[0m.md")])
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_code_keeps_its_lines_and_wide_characters_take_two_columns(capsys):
    shown = text([of_text(EXCERPT)])
    assert max(map(columns, shown.splitlines())) <= 80
    assert columns("对o\N{COMBINING ACUTE ACCENT}") == 3
    assert re.sub(r"\s", "", "delta[n] = 1 - output[n];") in re.sub(r"\s", "", shown)


def test_what_a_statement_adds_to_the_one_before():
    assert continued("a = b", "b = c") == "= c"
    assert continued("a = b = c", r"c \equiv d") == r"\equiv d"
    assert continued("", "a = b") == "a = b"
    assert continued("a = b", r"b \odot c = d") == r"b \odot c = d"
    assert continued("a =", "= b") == "= b"


def test_json_is_one_array_with_the_promised_keys_and_nothing_else(note, capsys):
    run([note], format="json")
    rows = json.loads(capsys.readouterr().out)
    assert [set(row) for row in rows] == [KEYS] * 8
    assert [row["verdict"] for row in rows] == ["proved", "refuted", "unread", *["proved"] * 3, *["conditional"] * 2]
    assert rows == [v.as_dict() for v in audit(note)]


def test_json_names_the_document_where_there_are_several(note, tmp_path, capsys):
    other = tmp_path / "other.md"
    other.write_text("$$a^l = \\sigma(z^l)$$", encoding="utf-8")
    run([note, other], format="json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["document"] for row in rows] == [str(note)] * 8 + [str(other)]


def test_several_processes_say_the_same(tmp_path, capsys):
    path = tmp_path / "note.md"
    path.write_text(NOTE + EXCERPT + "\n## Momentum\n\n$$v_t = \\gamma v_{t-1} \\tag{still}$$\n", encoding="utf-8")
    run([path], format="json")
    one = capsys.readouterr().out
    run([path], format="json", jobs=2)
    assert capsys.readouterr().out == one
    assert {"dense", "momentum"} <= {row["system"] for row in json.loads(one)}


class Page(html.parser.HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.text, self.attributes, self.ids, self.links = [], [], "", set(), [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_one_well_formed_page_that_loads_nothing(note, tmp_path):
    run([note], format="html", output=tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = Page(source)
    assert not found.open
    assert found.tags.count("article") == 8
    assert not {"script", "link", "img"} & set(found.tags)
    assert "http" not in source
    assert "<bad> & ugly" in found.text


def test_html_begins_with_counts_and_links_to_what_is_refuted(note):
    found = Page(page([examined(note), examined(note)]))
    assert len(found.links) == 4
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids) == 12
    assert "2proved2conditional1refuted1unread" in found.text


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=20), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_any_id_any_system_any_word_makes_a_page_a_table_and_errata(words):
    verdicts = [
        Verdict(word, 1, word, word, kind, word, word, Counterexample({word: word}, {"x": word}, word, word).as_dict(), word, word)
        for word in words
        for kind in KINDS
    ]  # fmt: skip
    for code in (False, True):
        document = verdicts_alone(*verdicts, code=code)
        found = Page(page([document]))
        assert not found.open
        assert not {"script", "img"} & set(found.tags)
        assert len(set(found.ids)) == len(verdicts)
        assert max(map(columns, text([document]).splitlines())) <= 80
        assert errata([document]).startswith("# Errata of document.md\n")


def page_of(latex: str) -> str:
    return page([of_text(f"$${latex}$$")])


def test_html_shows_formulas_and_corrections_as_mathml_and_keeps_their_latex():
    body = page_of(r"\frac{\partial C}{\partial b_j^l} = -\delta_j^l \tag{3}")
    formula, correction = body.split("counterexample</dt>")
    for shown in (formula, correction):
        assert '<math display="block"><mrow><mfrac>' in shown
    assert r"<code>\frac{\partial C}{\partial b_j^l} = -\delta_j^l \tag{3}</code>" in correction
    assert '<math display="inline"><mrow><msubsup><mi>a</mi>' in correction  # a value of the counterexample


def test_html_folds_the_derivation_of_each_statement():
    body = page_of(r"a^l = \sigma(z^l) = \sigma(w^l a^{l-1} + b^l)")
    assert body.count("<summary>The proof, step by step</summary>") == 2
    assert "<details open" not in body
    (finding,) = of_text(r"$$a^l = \sigma(z^l) = \sigma(w^l a^{l-1} + b^l)$$").findings
    for _, outcome in finding.parts:
        for heading, latex in outcome.steps:
            assert mathml(latex) in body
            assert f"<h4>{html.escape(heading.replace('`', ''))}</h4>" in re.sub("</?code>", "", body)


def test_html_shows_code_as_code(ours):
    found = of_text(EXCERPT)
    (finding,) = found.findings
    assert f"<pre><code>{html.escape(finding.verdict.latex)}</code></pre>" in page([found])
    assert "<pre><code>float delta_yolo_box(" in page([ours])


def test_html_leaves_tags_and_alignment_marks_out_of_what_it_shows():
    body = page_of(r"\begin{aligned} a^l &= \sigma(z^l) \end{aligned} \quad (\text{FC-7})")
    shown = body[body.index("<math") : body.index("</math>")]
    assert "mtable" in shown
    assert "FC-7" not in shown
    assert "amp" not in shown
    assert "<strong>FC-7</strong>" in body


def test_words_keep_their_code_and_their_formulas():
    said = "`*` is meant, and $a_b$ & <i>; not $a_b_c$"
    body = page([verdicts_alone(Verdict("x", 1, "a = b", None, "conditional", "all sizes", said))])
    assert (
        "<dd><code>*</code> is meant, and " + mathml("a_b", "inline") + " &amp; &lt;i&gt;; not <code>a_b_c</code></dd>"
        in body
    )


def test_a_formula_that_cannot_be_set_is_shown_as_its_latex():
    for latex in (r"a = \foo", "a_b_c = d", "a = {", "a & = b"):
        assert mathml(latex) is None
        whole = page_of(latex)
        assert f'<div class="formula"><code>{html.escape(latex)}</code></div>' in whole
        assert "<math" not in whole


def test_all_of_our_document_is_set(ours):
    for finding in ours.findings:
        for verdict, outcome in ((finding.verdict, finding.outcome), *finding.parts):
            formulas = [latex for _, latex in outcome.steps]
            if not finding.is_code:
                formulas += [verdict.latex, verdict.correction or "a"]
            for latex in formulas:
                assert mathml(latex) or len(latex) > 5000, latex
                ElementTree.fromstring(mathml(latex) or "<a/>")


def test_mathml_has_scripts_on_whole_matrices_limits_below_and_no_stray_marks():
    matrix = ElementTree.fromstring(mathml(r"\begin{bmatrix} 1 & 2 \end{bmatrix}^{l-1}"))
    (sup,) = matrix.iter("msup")
    assert len(sup) == 2
    assert sup[0].find("mtable") is not None
    assert '<munder><mo movablelimits="true">∑</mo>' in mathml(r"\left(\sum_k a_k\right)")
    assert '<mo movablelimits="true">arg\N{NO-BREAK SPACE}max</mo>' in mathml(r"\arg\max_{u, v} a")
    assert "<mtext>class_id</mtext>" in mathml(r"\mathrm{class\_id}_n")
    assert "<mtext>loss_derivative</mtext>" in mathml(r"\text{loss\_derivative}")
    assert mathml(r"a = b \\ c = d").count("<mtr>") == 2
    assert mathml(r"\begin{flalign} a &= b \nonumber \end{flalign}")
    assert "negative" not in mathml(r"a \! b")
    assert '<mo form="prefix">−</mo>' in mathml("a = -b")
    assert "form" not in mathml("(a) - b")


@pytest.mark.parametrize(
    "latex",
    [
        "{" * 5000 + "}" * 5000, r"\frac{a}{" * 900 + "b" + "}" * 900, r"\left(" * 900 + "a" + r"\right)" * 900, "a^" * 5000,
        "_" * 9000, "\\" * 9000, "&" * 9000, "'" * 9000, r"\begin{aligned}" * 500, r"\sqrt" * 3000, "a + " * 4000 + "b",
        r"\begin{bmatrix}" * 300, r"\text{" * 2000, r"\arg\max" * 2000, "a" * 10**6,
    ],
    ids=lambda latex: latex[:12],
)  # fmt: skip
def test_huge_formulas_are_set_or_shown_within_seconds(latex):
    began = time.perf_counter()
    assert mathml(latex) is None or ElementTree.fromstring(mathml(latex)) is not None
    assert time.perf_counter() - began < 10


PIECES = [
    "\\", *"{}[]()_^&'=+-*abz1~%$#<> ", r"\\", r"\frac", r"\sqrt", r"\sum", r"\max", r"\hat", r"\text{", r"\left(", r"\right)",
    r"\begin{bmatrix}", r"\end{bmatrix}", r"\begin{aligned}", r"\end{aligned}", r"\begin{cases}", r"\end{cases}", r"\label",
    r"\tag{", r"\arg", r"\_", r"\operatorname{", r"\sigma", r"\quad",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(max_examples=300, deadline=None)
def test_whatever_is_set_is_well_formed(latex):
    for display in ("block", "inline"):
        found = mathml(latex, display)
        if found is not None:
            for node in ElementTree.fromstring(found).iter():
                assert len(node) in {"mfrac": [2], "msup": [2], "msubsup": [3]}.get(node.tag, range(10**6))


@pytest.mark.parametrize(
    "latex",
    [
        r"a = \text{<img src=x onerror=run()>}",
        r"a = \href{javascript:run()}{b}",
        r"a = \style{background:url(//x)}{b}",
        r"a = \text{&lt;img src=x&gt;}",
        r"a = <script>run()</script>",
        r"a = b \tag{\"><img src=x>}",
    ],
)
def test_a_document_cannot_put_markup_of_its_own_on_the_page(latex):
    found = Page(page_of(latex))
    assert not {"img", "script"} & set(found.tags)
    assert not {"style", "onerror", "src"} & found.attributes
    assert all(link.startswith("#") for link in found.links)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MEASURE = """<body style="margin:0"><iframe srcdoc="{page}" style="width:390px;height:2000px;border:0" onload="
  const whole = this.contentDocument;
  const boxes = [...whole.querySelectorAll('.formula, pre')].filter(box => box.scrollWidth > box.clientWidth);
  document.body.dataset.said = [whole.documentElement.scrollWidth, whole.querySelectorAll('math').length, boxes.length].join(' ');
"></iframe></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_on_a_phone_long_formulas_scroll_and_the_page_does_not(ours, tmp_path):
    source = page([ours]).replace("<details>", "<details open>")
    (tmp_path / "phone.html").write_text(MEASURE.format(page=html.escape(source)), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += [
        "--disable-quic",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command = [CHROMIUM, *options, "--window-size=800,2000", "--dump-dom", (tmp_path / "phone.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    width, formulas, scrolling = map(int, re.search(r'data-said="([\d ]+)"', shown)[1].split())
    assert width <= 390
    assert formulas > 300
    assert scrolling > 20


def test_errata_say_what_is_wrong_why_and_what_is_right(note, capsys):
    assert run([note], format="errata") == 1
    shown = capsys.readouterr().out
    wrong, readings = shown.split("## What is true only under a reading")
    assert wrong.startswith("# Errata of note.md\n")
    assert "### \\<bad\\> & ugly (line 6)\n\n$$z^l = w^l a^{l-1} - b^l$$\n" in wrong
    (verdict,) = (v for v in audit(note) if v.verdict == "refuted")
    assert f"Left ${verdict.counterexample['left']}$, right ${verdict.counterexample['right']}$, at $L = 2$" in wrong
    assert f"Instead:\n\n$${verdict.correction}$$" in wrong
    assert "good" not in shown
    assert readings.count("**`=` assigns") == 1
    assert "- assigned, line 12: $w^l = w^l - \\eta \\frac{\\partial C}{\\partial w^l}$\n- eq-14, line 14: " in readings


def test_errata_name_the_line_of_a_derivation_that_is_wrong_and_the_one_that_is_right():
    found = of_text(
        r"""$$\begin{aligned}
        \frac{\partial C}{\partial b_j^l} &= \frac{\partial C}{\partial z_j^l} \\
        &= -\delta_j^l \\
        &= \delta_j^l
        \end{aligned} \tag{slip}$$"""
    )
    shown = errata([found])
    assert "A line before is wrong, but its last line is right.\n" in shown
    assert "Statement 2 of 3 is wrong:\n\n$$\\frac{\\partial C}{\\partial z_j^l} = -\\delta_j^l$$" in shown
    assert (
        "Statement 3 of 3: the line before is wrong; what stands here is right:\n\n$$\\frac{\\partial C}{\\partial b_j^l} = \\delta_j^l$$"
        in shown
    )
    assert "Statement 1" not in shown


def test_errata_of_code_are_code():
    wrong = "delta[index + stride*n] = ((n == class_id) ? 1 : 0) + output[index + stride*n];"
    (verdict,) = (found := of_text(f"```c\n{wrong}\n```")).verdicts
    shown = errata([found])
    assert f"```c\n{wrong}\n```" in shown
    assert f"Instead:\n\n```c\n{verdict.correction}\n```" in shown
    assert "at `" in shown
    assert "$" not in shown.split("## What is wrong")[1]


def test_errata_show_the_run_of_numbers_of_a_recurrence():
    found = of_text("## Momentum\n\n$$v_t = \\gamma v_{t-1}$$")
    (verdict,) = found.verdicts
    assert "the formula gives the velocities 0, 0, 0; momentum gives 1/2, 3/4, " in verdict.reason
    assert verdict.reason[1:] in errata([found])


def test_our_errata_are_what_the_command_writes(ours):
    (path,) = our_documents()
    assert path.with_name(ERRATA).read_text(encoding="utf-8") == errata([ours])


def test_our_document_marks_each_formula_of_it_that_is_refuted(ours):
    assert not ours.says_no()
    assert len(ours.of_kind("refuted")) >= 5


def test_a_document_without_mistakes_has_errata_that_say_so():
    shown = errata([of_text(r"$$a^l = \sigma(z^l)$$")])
    assert shown.endswith("## What is wrong\n\nNothing is refuted.\n")


def test_an_output_is_written_whole_or_not_at_all(note, tmp_path, monkeypatch):
    target = tmp_path / "deep" / "report.json"
    run([note], format="json", output=target)
    before = target.read_text(encoding="utf-8")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ValueError, match="cannot be written: No space left"):
        run([note], output=target)
    assert target.read_text(encoding="utf-8") == before
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]


def test_a_format_that_does_not_exist_is_named(note):
    with pytest.raises(DocumentError, match="'pdf': choose one of text, json, html, errata"):
        run([note], format="pdf")


def test_a_verdict_is_plain_data():
    assert set(Verdict("1", 1, "a = b", None, "unread").as_dict()) == KEYS
    assert set(KINDS) == set(WORST_FIRST)


def test_a_report_is_the_same_to_the_byte_whatever_the_hash_seed(note):
    command = "import sys; from derive.audit.reports.report import run; [run(sys.argv[1:], f) for f in ('json', 'html', 'errata')]"
    said = [
        subprocess.run(
            [sys.executable, "-c", command, str(note)], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0]
    assert said[0] == said[1]
