"""Reading guides: the original note is read as it stands, and guides that do not fit their document say why."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

from derive.audit.source.document import DocumentError, formulas_in, read_document
from derive.audit.source.guide import guide_of, our_guides, read_guide
from derive.audit.source.sections import SYSTEMS

DOCUMENTS = Path(str(files("derive") / "documents"))
OURS = DOCUMENTS / "backpropagation.md"


def original() -> Path:
    """The note in its original, which lies in the folder `seed` beside the data."""
    data = os.environ.get("BACKDERIVE_DATA")
    if not data:
        pytest.skip("BACKDERIVE_DATA is not set: the original note lies beside the data")
    notes = [p for p in sorted((Path(data).parent / "seed").glob("*.txt")) if guide_of(p.read_text(encoding="utf-8"))]
    if not notes:
        pytest.skip(f"the original note is not in {Path(data).parent / 'seed'}")
    return notes[0]


def test_the_original_note_and_our_document_hold_the_same_formulas():
    theirs, ours = read_document(original()), read_document(OURS)
    for their, our in zip(theirs, ours, strict=True):
        assert (their.latex, their.source, their.kind, their.section) == (our.latex, our.source, our.kind, our.section)
        assert their.tags == our.tags
        assert their.id == our.id or (their.id.startswith("eq-") and our.id.startswith("eq-"))


def test_nothing_of_the_original_note_is_typed_a_second_time():
    note = original().read_text(encoding="utf-8")
    retyped = [f for f in formulas_in(note) if f.latex not in note]
    assert [f.id for f in retyped] == [
        "figure forward", "figure filter", "figure backward", "max pooling", "average pooling",
    ]  # fmt: skip
    for formula in retyped[:3]:
        cells = formula.latex.replace(r"\begin{bmatrix}", "&").replace(r"\end{bmatrix}", "&").replace(r"\\", "&")
        for cell in cells.split("&"):
            if "delta" in cell or "W_{" in cell:
                assert f"${cell.strip()}$" in note


def test_the_formulas_of_a_figure_know_where_their_cells_stand():
    note = original().read_text(encoding="utf-8")
    (forward,) = [f for f in formulas_in(note) if f.id == "figure forward"]
    line = note[: note.index("W_{2,1}")].count("\n") + 1
    assert forward.place(forward.latex.index("W_{2,1}")) == f"line {line}, column 2"
    assert forward.place(forward.latex.index("W_b")) == f"line {note[: note.index('W_b')].count(chr(10)) + 1}, column 1"


def test_every_section_of_our_document_speaks_of_a_system():
    found = read_document(OURS)
    assert {f.section.system for f in found} == set(SYSTEMS)
    assert [f.kind for f in found].count("code") == 4
    assert [f.id for f in found if f.kind == "code"][1:3] == ["delta_yolo_box", "delta_yolo_class"]


def test_our_guides_guide_what_they_name():
    assert len(our_guides()) == 2
    assert guide_of(OURS.read_text(encoding="utf-8"), OURS).path.endswith("backpropagation.guide.toml")
    assert guide_of("some text") is None


DOCUMENT = """A note

Bias:
$b = 1$

An example
$x_1$\t$x_2$
\t$x_3$\t$x_4$\t

input
 2x2

$w_1$
$w_2$
W_b

filter

$y_1$

output

The max goes to the winner.

Then pooling: $c = d$
```
delta[0] = 1;
```
"""
GUIDE = r"""
document = "A note"
[[section]]
opens = "Bias:"
title = "The bias"
[[section]]
opens = "Then pooling"
title = "Pooling"
system = "yolo"
[[figure]]
opens = "An example"
claims = { one = '{output}^{l} = {input} * {filter} + {bias}', two = '\text{rot}180({filter}) = 1' }
[[rule]]
words = "The max goes"
formula = 'e = f'
tag = "rule"
"""


@pytest.fixture
def note(tmp_path):
    def written(guide, document=DOCUMENT):
        (tmp_path / "note.md").write_text(document, encoding="utf-8")
        (tmp_path / "note.guide.toml").write_text(guide, encoding="utf-8")
        return tmp_path / "note.md"

    return written


def test_a_guide_beside_a_document_says_how_to_read_it(note):
    found = read_document(note(GUIDE))
    assert [(f.id, f.line, f.latex, f.section.system) for f in found] == [
        ("eq-4", 4, "b = 1", None),
        (
            "one",
            6,
            r"\begin{bmatrix} y_1 \end{bmatrix}^{l} = \begin{bmatrix} x_1 & x_2 \\ x_3 & x_4 \end{bmatrix}"
            r" * \begin{bmatrix} w_1 \\ w_2 \end{bmatrix} + W_b \tag{one}",
            None,
        ),
        ("two", 6, r"\text{rot}180(\begin{bmatrix} w_1 \\ w_2 \end{bmatrix}) = 1 \tag{two}", None),
        ("rule", 23, r"e = f \tag{rule}", None),
        ("eq-25", 25, "c = d", "yolo"),
        ("eq-27", 27, "delta[0] = 1;", "yolo"),
    ]
    assert found[0].section.title == "The bias"
    assert found[1].place(found[1].latex.index("x_3")) == "line 8, column 3"


def test_a_guide_replaces_the_sections_of_the_headings(note):
    assert read_document(note("", "# Convolution\n$a = b$"))[0].section.system is None
    assert formulas_in("# Convolution\n$a = b$")[0].section.system == "convolution"


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ('title = "The bias"', 'titel = "The bias"', "`section[1].titel`: there is no such key: opens, title, system"),
        ('title = "The bias"', "", "`section[1].title`: it is missing"),
        ('title = "The bias"', "title = 1", "`section[1].title`: a text is expected"),
        ('system = "yolo"', 'system = "yolov3"', "`section[2].system`: 'yolov3' is none of dense, convolution,"),
        ('opens = "Bias:"', 'opens = "Bais:"', "`section[1].opens`: 'Bais:' is not in"),
        ('opens = "Then pooling"', 'opens = "A note"', "`section[2].opens`: 'A note' comes before that of section[1] in"),
        ('opens = "An example"', 'opens = "An exmaple"', "`figure[1].opens`: 'An exmaple' is not in"),
        ("{output}", "{ouput}", "`figure[1].claims`: no table is captioned 'ouput': input, filter, bias, output"),
        ("claims = {", "claim = {", "`figure[1].claim`: there is no such key: opens"),
        ("claims = { one =", "claims = { one = 1, three =", "`figure[1].claims`: a formula for each tag is expected"),
        ('words = "The max goes"', 'words = "Max"', "`rule[1].words`: 'Max' is not in"),
        ('tag = "rule"', "", "`rule[1].tag`: it is missing"),
        ('document = "A note"', 'document = "Another"', "`document`: no line of"),
        ('document = "A note"', 'dokument = "A note"', "`dokument`: there is no such key: document, section, figure, rule"),
        ("[[rule]]", "[rule]", "`rule`: write `[[rule]]`"),
        ("[[rule]]", "[[rule]", "this is no reading guide: "),
        ("$w_2$", "$w_2$\t$w_3$", "`figure[1]`: a table's rows are not of one length in"),
    ],
)  # fmt: skip
def test_a_guide_that_does_not_fit_names_its_key(note, written, instead, said):
    assert written in GUIDE + DOCUMENT
    path = note(GUIDE.replace(written, instead), DOCUMENT.replace(written, instead))
    with pytest.raises(DocumentError) as error:
        read_document(path)
    assert str(error.value).startswith(f"{path.with_suffix('.guide.toml')}: {said}")
    assert "\n" not in str(error.value)


def test_a_guide_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.guide.toml").write_bytes(b"\xff")
    for path in (tmp_path / "x.guide.toml", tmp_path / "none.guide.toml"):
        with pytest.raises(DocumentError, match="this is no reading guide"):
            read_guide(path)
