"""Reports: a table for people, JSON for programs, a page that needs nothing else; written whole or not at all."""

import html
import html.parser
import json
import os
import subprocess
import sys

import pytest

from derive.audit.audit import audit
from derive.audit.document import DocumentError
from derive.audit.report import run
from derive.audit.verdict import Verdict

KEYS = {
    "id", "line", "latex", "system", "verdict", "scope", "reading", "counterexample", "correction", "reason", "erratum",
}  # fmt: skip
NOTE = r"""
$$z^l = w^l a^{l-1} + b^l \tag{good}$$

$$z^l = w^l a^{l-1} - b^l \tag{<bad> & ugly}$$

$$\delta^l = \text{rot180}(w) \foo$$

$$a^l = \sigma(z^l) = \sigma(w^l a^{l-1} + b^l) \tag{chain}$$
"""


@pytest.fixture
def note(tmp_path):
    path = tmp_path / "note.md"
    path.write_text(NOTE, encoding="utf-8")
    return path


def test_a_refuted_formula_makes_the_exit_code_one_and_an_erratum_does_not(note, capsys):
    assert run([note]) == 1
    note.write_text(NOTE.replace("ugly}$$", "ugly}$$ <!-- erratum -->"), encoding="utf-8")
    assert run([note]) == 0
    assert "erratum" in capsys.readouterr().out


def test_our_own_document_has_nothing_refuted(capsys):
    assert run() == 0
    assert "0 refuted, 0 unread" in capsys.readouterr().out


def test_the_table_fits_eighty_columns_and_shows_what_a_verdict_rests_on(note, capsys):
    run([note])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 or len(str(note)) > 80
    assert "4 formulas: 2 proved, 0 conditional, 1 refuted, 1 unread" in shown
    for word in ("counterexample:", "correction:", "reason:", "good", "chain", "/2"):
        assert word in shown


def test_json_is_one_array_with_the_promised_keys_and_nothing_else(note, capsys):
    run([note], format="json")
    rows = json.loads(capsys.readouterr().out)
    assert [set(row) for row in rows] == [KEYS] * 6
    assert [row["verdict"] for row in rows] == ["proved", "refuted", "unread", "proved", "proved", "proved"]
    assert rows == [v.as_dict() for v in audit(note)]


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_one_well_formed_page_that_loads_nothing(note, tmp_path):
    run([note], format="html", output=tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    assert not page.open
    assert page.tags.count("article") == 6
    assert not {"script", "link", "img"} & set(page.tags)
    assert "http" not in source
    assert "<bad> & ugly" in page.text


def page_of(path, latex, capsys):
    path.write_text(f"$${latex}$$", encoding="utf-8")
    run([path], format="html")
    return capsys.readouterr().out


def test_html_shows_formulas_and_corrections_as_mathml_and_keeps_their_latex(note, capsys):
    body = page_of(note, r"\frac{\partial C}{\partial b_j^l} = -\delta_j^l \tag{3}", capsys)
    formula, correction = body.split("counterexample</dt>")
    for shown in (formula, correction):
        assert '<math display="block"><mrow><mfrac>' in shown
    assert r"<code>\frac{\partial C}{\partial b_j^l} = -\delta_j^l \tag{3}</code>" in formula
    assert r"<code>\frac{\partial C}{\partial b_{j}^{l}} = \delta_{j}^{l}</code>" in correction
    assert '<math display="inline"><mrow><msubsup><mi>a</mi>' in correction  # a value of the counterexample


def test_html_leaves_tags_and_alignment_marks_out_of_what_it_shows(note, capsys):
    body = page_of(note, r"\begin{aligned} a^l &= \sigma(z^l) \end{aligned} \quad (\text{FC-7})", capsys)
    shown = body[body.index("<math") : body.index("</math>")]
    assert "mtable" in shown
    assert "FC-7" not in shown
    assert "amp" not in shown
    assert "<strong>FC-7</strong>" in body


def test_html_shows_a_formula_that_it_cannot_set_as_its_latex(note, capsys):
    for latex in (r"a = \foo", "a_b_c = d", "a = {", r"a = b \\ c = d", "a & = b"):
        whole = page_of(note, latex, capsys).split("</article>")[0]
        assert f'<div class="formula"><code>{html.escape(latex)}</code></div>' in whole
        assert "<math" not in whole


@pytest.mark.parametrize(
    "latex",
    [
        r"a = \text{<img src=x onerror=run()>}",
        r"a = \href{javascript:run()}{b}",
        r"a = \style{background:url(//x)}{b}",
        r"a = \text{&lt;img src=x&gt;}",
        r"a = <script>run()</script>",
    ],
)
def test_a_document_cannot_put_markup_of_its_own_on_the_page(note, capsys, latex):
    page = Page()
    page.feed(page_of(note, latex, capsys))
    assert not {"img", "script"} & set(page.tags)
    assert not {"href", "style", "onerror", "src"} & page.attributes


def test_markdown_names_every_formula(note, capsys):
    run([note], format="markdown")
    shown = capsys.readouterr().out
    assert "### good: proved" in shown
    assert "### chain/2: proved" in shown


def test_an_output_is_written_whole_or_not_at_all(note, tmp_path, monkeypatch):
    target = tmp_path / "deep" / "report.json"
    run([note], format="json", output=target)
    before = target.read_text(encoding="utf-8")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DocumentError, match="cannot be written: No space left"):
        run([note], output=target)
    assert target.read_text(encoding="utf-8") == before
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]


def test_a_format_that_does_not_exist_is_named(note):
    with pytest.raises(DocumentError, match="'pdf': choose one of text, json, html, markdown"):
        run([note], format="pdf")


def test_a_verdict_is_plain_data():
    assert set(Verdict("1", 1, "a = b", None, "unread").as_dict()) == KEYS


def test_a_report_is_the_same_to_the_byte_whatever_the_hash_seed(note):
    command = "import sys; from derive.audit.report import run; run(sys.argv[1:], 'json')"
    said = [
        subprocess.run(
            [sys.executable, "-c", command, str(note)], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0]
    assert said[0] == said[1]
