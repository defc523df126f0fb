"""The commands: exit code 0, 1 or 2, one line for bad input, nothing but JSON where JSON was asked for."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from commands import run

from derive.cli import parser

COMMANDS = ("audit", "show", "generate", "demo", "train", "evaluate", "predict", "detect")
RIGHT = "Words.\n\n$$z^l_j = \\sum_k w^l_{jk} a^{l-1}_k + b^l_j \\tag{Z}$$\n"
WRONG = RIGHT.replace("+ b^l_j", "- b^l_j")


def test_every_command_has_help_with_an_example(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(name in out for name in COMMANDS)
    for name in COMMANDS:
        code, out, err = run(capsys, name, "--help")
        assert (code, err) == (0, "")
        example = out.split("example:")[1].split()
        assert example[:2] == ["derive", name]
        parser().parse_args(example[1:])  # a command line that stands


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["show"], ["shoe"], ["audit", "--format", "pdf"], ["show", "dense", "relu"], ["generate", "--chek"],
        ["demo", "--seed", "x"], ["audit", "--output"], ["--version-of-nothing"], ["audit", "--jobs", "0"],
        ["audit", "--jobs", "-1"], ["audit", "--jobs", "many"], ["audit", "--errata", "--format", "json"],
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_exit_code_2(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("derive") and "--help" in err


def bad(tmp_path, capsys, message: str, *arguments: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1, (code, out, err)
    assert err.startswith(f"derive {arguments[0]}: ") and message in err, err


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    right, empty, binary = tmp_path / "right.md", tmp_path / "empty.md", tmp_path / "binary.md"
    right.write_text(RIGHT)
    empty.write_text("")
    binary.write_bytes(bytes(range(256)))
    nowhere = right / "report.html"
    cases = [
        ("missing.md", "audit", str(tmp_path / "missing.md")),
        (str(tmp_path), "audit", str(tmp_path)),
        ("empty.md", "audit", str(empty)),
        ("binary.md", "audit", str(binary)),
        ("right.md", "audit", str(right), "--output", str(nowhere)),
        (str(tmp_path), "audit", str(right), "--output", str(tmp_path)),
        ("no definition named 'sigmoid'; there are adam, ", "show", "sigmoid"),
        ("no definition named ''", "show", ""),
        ("no definition named 'mse'", "show", "softmax+mse"),
        ("no definition named ''", "show", "softmax+"),
        ("", "show", "quadratic+softmax"),
        ("", "show", "dense+adam"),
        ("F(0, 3): outputs and taps must be 1 or more", "show", "F(0, 3)"),
        ("F(40, 3): there are no 41 points to interpolate at", "show", "F(40,3)"),
        ("no definition named 'F(4, x)'", "show", "F(4, x)"),
        (str(right), "generate", "--output", str(right)),
        (str(right), "demo", "--output", str(right)),
    ]
    for message, *arguments in cases:
        bad(tmp_path, capsys, message, *arguments)


def test_an_audit_says_no_by_exit_code_1(tmp_path, capsys):
    right, wrong = tmp_path / "right.md", tmp_path / "wrong.md"
    right.write_text(RIGHT)
    wrong.write_text(WRONG)
    assert run(capsys, "audit", str(right))[0] == 0
    assert run(capsys, "audit", str(wrong))[0] == 1
    assert run(capsys, "audit", str(right), str(wrong))[0] == 1


def test_json_is_all_there_is_on_standard_output(tmp_path, capsys):
    (tmp_path / "wrong.md").write_text(WRONG)
    code, out, err = run(capsys, "audit", str(tmp_path / "wrong.md"), "--format", "json")
    (verdict,) = json.loads(out)
    assert (code, err) == (1, "") and out.startswith("[") and out.endswith("]\n")
    keys = ["id", "line", "latex", "system", "verdict", "scope", "reading", "counterexample", "correction"]
    assert set(keys) <= set(verdict)
    assert (verdict["id"], verdict["verdict"], verdict["system"]) == ("Z", "refuted", "dense")
    report = tmp_path / "report.json"
    code, out, err = run(capsys, "audit", str(tmp_path / "wrong.md"), "--format", "json", "--output", str(report))
    assert code == 1 and json.loads(report.read_text()) == [verdict]


def test_errata_are_only_what_is_wrong_or_needs_a_reading(tmp_path, capsys):
    (tmp_path / "both.md").write_text(RIGHT + WRONG.replace("{Z}", "{W}"))
    code, out, err = run(capsys, "audit", str(tmp_path / "both.md"), "--errata", "--jobs", "all")
    assert (code, err) == (1, "") and out.startswith("# Errata of both.md\n")
    assert "### W (line 6)" in out and "### Z" not in out
    written = tmp_path / "ERRATA.md"
    code, nothing, err = run(capsys, "audit", str(tmp_path / "both.md"), "--errata", "--output", str(written))
    assert (code, nothing, err) == (1, "", "") and written.read_text() == out


@pytest.mark.parametrize("form", ["text", "latex", "html"])
@pytest.mark.parametrize(
    "name",
    ["dense", "softmax", "adam", "weight_decay", "objective", "logistic+logistic_cross_entropy", "winograd", "F(3, 3)"],
)
def test_every_kind_of_definition_is_shown_in_every_format(capsys, name, form):
    code, out, err = run(capsys, "show", name, "--format", form)
    assert (code, err) == (0, "") and out.endswith("\n")
    if form == "html":
        HTMLParser().feed(out)
        assert out.startswith("<!doctype html>") and "<math" in out
    if form == "latex":
        assert out.count("\\begin{align*}") == out.count("\\end{align*}") > 0


def test_show_prints_the_derivation_to_its_end(capsys):
    _, out, _ = run(capsys, "show", "dense")
    for line in (
        "z[n, j] = b[j] + sum_k a[n, k]*w[j, k]",
        "delta_a[n, k] = sum_j delta_z[n, j]*w[j, k]",
        "nabla_w[j, k] = sum_n a[n, k]*delta_z[n, j]",
        "nabla_b[j] = sum_n delta_z[n, j]",
    ):
        assert line in out
    _, out, _ = run(capsys, "show", "softmax+softmax_cross_entropy")
    assert "delta_z[n, j] = (a[n, j] - t[n, j])/N" in out


def test_show_winograd_prints_matrices_proofs_gradients_and_the_growth_of_errors(capsys):
    code, out, err = run(capsys, "show", "winograd")
    assert (code, err) == (0, "")
    titles = [line for line, under in pairwise(out.splitlines()) if line and under == "=" * len(line)]
    assert titles == ["Minimal filtering", "F(2, 2)", "F(2, 3)", "F(2, 5)", "F(3, 2)", "F(4, 3)", "F(6, 3)"]
    for line in (
        "delta_d[i] = sum_e B[e, i]*delta_v[e]",
        "Matrices, interpolated at 0, 1, -1, infinity",
        "y[5] = d[5]*g[0] + d[6]*g[1] + d[7]*g[2]",
        "nabla_g[2] = d[2]*delta_y[0] + d[3]*delta_y[1]",
        "Nested for two dimensions: proved for all 64 d and 9 g",
    ):
        assert line in out
    table = [line.split() for line in out[out.index("point by point") :].splitlines()[1:6]]
    assert [row[0] for row in table] == ["point", "0", "1", "infinity", "all"]
    assert sum(float(row[4]) ** 2 for row in table[1:4]) == pytest.approx(float(table[4][1]) ** 2, abs=2e-3)


def test_show_of_one_filter_prints_that_one(capsys):
    code, out, err = run(capsys, "show", "F(4,3)")
    assert (code, err) == (0, "") and "\nF(4, 3)\n=======\n" in out and "F(2, 3)" not in out


@pytest.mark.parametrize("name", ["yolo", "yolo_cost", "yolo+yolo_cost"])
def test_show_recovers_the_cost_that_a_document_states_by_its_sensitivities(capsys, name):
    code, out, err = run(capsys, "show", name)
    assert (code, err) == (0, "")
    section = out[out.index("\nRecovered cost") :]
    for line in (
        "line 316: delta[index + 0*stride] = scale * (tx - x[index + 0*stride]);",
        "d C[n] / d x[n, p] = (x[n, p] - x_true[n, p])*scale[n, p]/((1 - x[n, p])*x[n, p])",
        "its integral over w[n, p]: (w_true[n, p] - w[n, p])**2*scale[n, p]/2",
        "cross-entropy: x, y, o, c; half the squared error: w, h",
        "proved: C[n] is that of yolo_cost, term by term, for all sizes",
        "delta_yolo_box (lines 316, 317, 318, 319), eq-347 (lines 347, 350, 353), delta_yolo_class (lines 332, 337)",
    ):
        assert line in section
    assert "not proved" not in section


@pytest.mark.parametrize("form", ["latex", "html"])
def test_the_recovered_cost_is_shown_in_every_format(capsys, form):
    code, out, err = run(capsys, "show", "yolo", "--format", form)
    assert (code, err) == (0, "") and out.count("Recovered cost") == 8
    if form == "latex":
        section = out[out.index(r"\paragraph{Recovered cost") :]
        assert r"\texttt{delta[index + 0*stride] = scale * (tx - x[index + 0*stride]);}" in section
        assert r"\texttt{best\_iou \textgreater{} l.truth\_thresh}" in section
        assert section.count(r"\begin{align*}") == section.count(r"\end{align*}") == 8
        assert section.count("{") == section.count("}")
    else:
        HTMLParser().feed(out)
        assert "<code>best_iou &gt; l.truth_thresh</code>" in out and out.count("<math") == out.count("</math>") > 0


def test_what_no_excerpt_speaks_of_has_no_recovered_cost(capsys):
    for name in ("dense", "logistic+logistic_cross_entropy"):
        assert "Recovered" not in run(capsys, "show", name)[1]


def command(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "derive", *arguments], capture_output=True, text=True, **options)


def test_python_m_derive_is_the_same_command():
    run = command("show", "linear")
    assert run.returncode == 0 and "a[n, j] = z[n, j]" in run.stdout and run.stderr == ""
    run = command("show", "nothing")
    assert run.returncode == 2 and run.stdout == "" and run.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        run = subprocess.run([sys.executable, "-m", "derive", "show", "softmax"], stdout=closed, stderr=subprocess.PIPE)
    assert run.stderr == b"" and run.returncode == 0
