"""`derive detect`: what it prints, draws and writes, with a stand-in for the network; bad input is one line."""

import json
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image

import derive.detection.detect as command
from derive.detection.boxes import Detection, detections
from derive.detection.drawing import colour_of
from derive.detection.names import class_names


class StandIn:
    """A detector that finds a class 1 in the left half of the network's input, and next to nothing else."""

    layers = (("convolution", (21, 1), {}), ("yolo", (2,), {"anchors": [(10, 10)], "mask": [0]}))
    inputs = (3, 32, 64)
    is_detector = True

    def predictions(self, X):
        assert X.shape == (1, *self.inputs) and X.dtype == np.float32 and X.min() >= 0 and X.max() <= 1
        self.seen = X
        rows = [
            [0.25, 0.5, 0.5, 1, 0.9, 0.1, 0.8],
            [0.26, 0.5, 0.5, 1, 0.9, 0.1, 0.7],
            [0.5, 0.5, 0.1, 0.1, 0.4, 1, 0.1],
        ]
        return np.array([rows], np.float32)


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "read_detector", lambda *_: StandIn())
    Image.new("RGB", (128, 64)).save("a.png")
    Image.new("RGB", (64, 64)).save("b.jpg")
    Path("two.names").write_text("cat\ndog\n")
    return tmp_path


def run(capsys, *arguments) -> tuple[int, str, str]:
    return commands.run(capsys, "detect", "x.cfg", "x.weights", *arguments)


def test_detections_are_printed_drawn_and_written(work, capsys):
    code, out, err = run(capsys, "a.png", "b.jpg")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("a.png: 128 x 64 pixels, 1 found in ")
    assert lines[1] == "  dog: 72%  columns    0 to   64, rows    0 to   64"
    assert lines[3] == "  dog: 72%  columns    0 to   32, rows    0 to   64"  # of the letterbox's middle, its left half
    assert sorted(p.name for p in Path("derive-detect").iterdir()) == ["a.png", "b.jpg", "detections.json"]
    drawn = np.asarray(Image.open("derive-detect/a.png"))
    assert tuple(drawn[40, 0]) == colour_of(1) and not drawn[40, 70:].any()
    first, second = json.loads(Path("derive-detect/detections.json").read_text())
    assert (first["picture"], first["columns"], first["rows"], first["drawing"]) == (
        "a.png",
        128,
        64,
        "derive-detect/a.png",
    )
    (thing,) = first["detections"]
    assert (thing["name"], thing["class"], thing["pixels"]) == ("dog", 1, [0, 0, 64, 64])
    assert thing["probability"] == pytest.approx(0.72) and [thing[k] for k in "xywh"] == pytest.approx(
        [0.25, 0.5, 0.5, 1]
    )
    assert [second["detections"][0][k] for k in "xywh"] == pytest.approx([0, 0.5, 1, 1])


def test_json_is_all_there_is_on_standard_output_where_it_was_asked_for(work, capsys):
    code, out, _ = run(capsys, "a.png", "--format", "json", "--output", "there")
    assert code == 0 and out == Path("there/detections.json").read_text() and len(json.loads(out)) == 1


def test_threshold_and_suppression_are_as_asked(work, capsys):
    def count(*more):
        return len(json.loads(run(capsys, "a.png", "--format", "json", *more)[1])[0]["detections"])

    assert (count(), count("--threshold", 0.65), count("--threshold", 0.73)) == (1, 1, 0)
    assert (count("--nms", 1), count("--threshold", 0.01)) == (2, 4)
    assert "a.png: 128 x 64 pixels, nothing found in" in run(capsys, "a.png", "--threshold", 0.73)[1]


def test_folders_stand_for_their_pictures_and_equal_names_are_numbered(work, capsys):
    Path("more").mkdir()
    for name in ("a.png", "c.gif"):
        Image.new("RGB", (64, 32)).save(Path("more", name))
    assert run(capsys, "a.png", "more")[0] == 0
    assert sorted(p.name for p in Path("derive-detect").iterdir()) == ["a-2.png", "a.png", "c.png", "detections.json"]


def test_names_are_those_given_or_beside_the_network_or_numbers(tmp_path):
    (tmp_path / "near").mkdir()
    near = tmp_path / "near/two.names"
    near.write_text("cat\ndog\n")
    (tmp_path / "three.names").write_text("a\nb\nc\n")
    places = (tmp_path / "x.weights", tmp_path / "near/x.cfg")
    assert class_names(StandIn(), None, places) == ("cat", "dog")
    assert class_names(StandIn(), None, places[:1]) == ("0", "1")
    assert class_names(StandIn(), None, (tmp_path / "near",)) == ("cat", "dog")  # a folder itself
    (tmp_path / "near/other.names").write_text("dog\ncat\n")  # nobody can tell which
    assert class_names(StandIn(), None, places) == ("0", "1")
    assert class_names(StandIn(), near, places) == ("cat", "dog")
    with pytest.raises(ValueError, match=r"three.names: 3 names; the network tells 2 classes apart"):
        class_names(StandIn(), tmp_path / "three.names", places)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "missing.png: No such file"),
        (["two.names"], "two.names: not an image that can be read"),
        (["a.png", "--threshold", "2"], "'2' is not a number from 0 to 1"),
        (["a.png", "--nms", "nan"], "'nan' is not a number from 0 to 1"),
        (["a.png", "--output", "two.names"], "two.names: this is a file; give --output a folder"),
        (["a.png", "--output", "."], "a.png: a picture with boxes would be written over a picture"),
        (["empty"], "empty: no images lie in this folder"),
        ([], "IMAGE"),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_pictures_alone(work, capsys, arguments, message):
    Path("empty").mkdir()
    before = Path("a.png").read_bytes()
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err
    assert Path("a.png").read_bytes() == before


def test_predictions_that_are_not_finite_are_no_detections():
    rows = np.array([[[0.5, 0.5, np.inf, 0.1, 1, 1], [np.nan, 0.5, 0.1, 0.1, 1, 1], [0.5, 0.5, 0.1, 0.1, 1, np.nan]]])
    from derive.detection.pictures import Place

    assert detections(rows, [Place(0, 0, 9, 9, 9, 9)], 0.0) == [[]]
    assert Detection(0, 1, 0.5, 0.5, 1e300, 1e300).pixels(30, 20) == (0, 0, 30, 20)
