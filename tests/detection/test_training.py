"""Training of detectors: what the network sees, that it goes on to the bit, that it learns, that it is measured right."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands import run, stored
from PIL import Image
from squares import CFG, voc_folder

import derive.detection.examples as examples_module
from derive.detection.augmentation import boxes_in
from derive.detection.examples import read_examples
from derive.detection.pictures import letterbox, letterbox_place, read_picture
from derive.detection.truths import read_truths
from derive.training.folder import Settings
from generated import Network
from generated.configuration import read_configuration


def train(capsys, *more, output="run") -> tuple[int, str, str]:
    return run(capsys, "train", "squares.cfg", "--data", "voc", "--output", output, *more)


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder with a network and data, where the commands run."""
    monkeypatch.chdir(tmp_path)
    Path("squares.cfg").write_text(CFG)
    voc_folder(tmp_path / "voc")
    return tmp_path


def settings_of(**more) -> Settings:
    return Settings(**{
        "data": "voc", "epochs": 1, "batch_size": 4, "subdivisions": 1, "learning_rate": 0.01, "momentum": 0.9,
        "weight_decay": 0.0, "schedule": "constant", "augment": (), "normalisation": "batch_norm_darknet", "seed": 0, **more,
    })  # fmt: skip


# What the network sees ------------------------------------------------------------------------------------------------


def test_without_augmentation_the_network_sees_the_letterbox(work):
    examples, warnings = read_examples("voc", read_configuration("squares.cfg"))
    assert warnings == [] and (len(examples), examples.held_out) == (22, 7)
    X, y = examples.changed(np.array([5, 2]), settings_of(), 3)
    for sample, truths, one in zip(X, y, [read_truths("voc").train[n] for n in (5, 2)], strict=True):
        np.testing.assert_allclose(sample, letterbox(read_picture(one.path), 48, 32), atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(truths, boxes_in(one.boxes, letterbox_place(60, 40, 48, 32)))


def test_augmentation_is_new_each_epoch_and_each_kind_can_be_asked_for_alone(work):
    examples, _ = read_examples("voc", read_configuration("squares.cfg"))
    rows = np.arange(22)
    plain, truths = examples.changed(rows, settings_of(), 0)
    for kinds in (("flip",), ("jitter",), ("colour",), ("flip", "jitter", "colour")):
        (X, y), (again, _), (later, _) = (
            examples.changed(rows, settings_of(augment=kinds), epoch) for epoch in (0, 0, 1)
        )
        np.testing.assert_array_equal(X, again)
        assert (later != X).any() and (plain != X).any()
        same = [np.array_equal(a, b) for a, b in zip(y, truths, strict=True)]
        assert all(same) if kinds == ("colour",) else not all(same)
        if kinds == ("flip",):
            mirrored = [np.array_equal(a, b[..., ::-1]) for a, b in zip(X, plain, strict=True)]
            untouched = [np.array_equal(a, b) for a, b in zip(X, plain, strict=True)]
            assert all(a != b for a, b in zip(mirrored, untouched, strict=True)) and 3 < sum(mirrored) < 19


def test_an_epoch_shows_every_picture_once_with_the_rates_of_its_steps(work, monkeypatch):
    monkeypatch.setattr(examples_module, "PART_BYTES", 8 * 12 * 32 * 48)  # parts of 8 pictures
    examples, _ = read_examples("voc", read_configuration("squares.cfg"))
    seen, rates = [], []

    def partial_fit(self, X, y, *, learning_rate, batch_size, shuffle, **more):
        assert not shuffle and batch_size == 3 and len(learning_rate) == -(-len(X) // 3)
        seen.extend(X)
        rates.extend(learning_rate)
        self.history_.setdefault("loss", []).append(float(len(X)))

    monkeypatch.setattr(Network, "partial_fit", partial_fit)
    monkeypatch.setattr(examples, "test", [])
    network = read_configuration("squares.cfg").network(random_state=0)
    orders = []
    for epoch in (0, 1):
        seen.clear(), rates.clear()
        line = examples_module.ProgressLine(2, False)
        examples.epoch(network, epoch, settings_of(batch_size=3), line, batch_size=3, learning_rate=np.arange(8.0))
        plain, _ = examples.changed(np.arange(22), settings_of(), 0)
        orders.append([next(n for n, b in enumerate(plain) if np.array_equal(a, b)) for a in seen])
        assert sorted(orders[-1]) == list(range(22)) and rates == list(range(8))
    assert orders[0] != orders[1]
    assert network.history_["loss"] == [(6 * 6 * 3 + 4 * 4) / 22] * 2 and len(network.history_["seconds"]) == 2


# Training -------------------------------------------------------------------------------------------------------------


def test_training_learns_leaves_its_files_and_is_measured(work, capsys):
    code, out, err = train(capsys, "--epochs", 50, "--schedule", "cosine")
    assert code == 0 and "22 samples to learn from, 7 held out" in err
    assert sorted(p.name for p in Path("run").iterdir()) == [
        "classes.names",
        "history.csv",
        "network.npz",
        "settings.json",
    ]
    assert Path("run/classes.names").read_text() == "blue\nred\n"
    with open("run/history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "seconds", "test_loss", "test_map"] and len(rows) == 50
    assert float(rows[-1]["test_map"]) > 0.9 and float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 4
    assert f"mAP@0.5 {float(rows[-1]['test_map']):.2%}" in out
    assert json.loads(Path("run/settings.json").read_text())["augment"] == ["flip", "jitter", "colour"]

    code, out, _ = run(capsys, "evaluate", "run", "--data", "voc", "--format", "json")
    about = json.loads(out)
    assert code == 0 and about["map"] == pytest.approx(float(rows[-1]["test_map"]), abs=1e-8)
    assert about["loss"] == pytest.approx(float(rows[-1]["test_loss"]), rel=1e-6)
    assert (about["epochs"], about["pictures"], about["held_out"]) == (50, 7, True)
    assert [one["name"] for one in about["classes"]] == ["blue", "red"]
    assert np.mean([one["average_precision"] for one in about["classes"]]) == pytest.approx(about["map"])
    truths = read_truths("voc").held_out
    assert [one["truths"] for one in about["classes"]] == [
        sum((t.boxes[:, 0] == k).sum() for t in truths) for k in (0, 1)
    ]
    code, out, _ = run(capsys, "evaluate", "run/network.npz", "--data", "voc")
    assert code == 0 and f"mAP@0.5   {about['map']:.2%}" in out and "7 held-out pictures" in out

    picture = truths[0].path
    code, out, _ = run(capsys, "detect", "squares.cfg", "run", picture, "--format", "json")
    (found,) = json.loads(out)
    assert code == 0 and len(found["detections"]) == len(truths[0].boxes)
    for one in found["detections"]:
        assert one["name"] == ["blue", "red"][one["class"]]
        assert any(
            one["class"] == row[0] and abs(np.array([one[k] for k in "xywh"]) - row[1:]).max() < 0.1
            for row in truths[0].boxes
        )
    code, _, err = run(capsys, "predict", "run", picture)
    assert code == 2 and "run: a detector; derive detect says what is in pictures" in err
    Path("other.cfg").write_text(CFG.replace("filters=8", "filters=9"))
    code, _, err = run(capsys, "detect", "other.cfg", "run", picture)
    assert code == 2 and "run/network.npz is not the network of other.cfg" in err


def test_training_goes_on_to_the_bit_whatever_interrupts_it(work, capsys, monkeypatch):
    monkeypatch.setattr(examples_module, "PART_BYTES", 8 * 12 * 32 * 48)  # three parts an epoch
    assert train(capsys, "--epochs", 4)[0] == 0
    whole = stored("run/network.npz")
    assert train(capsys, "--epochs", 2, output="parts")[0] == 0
    fit, calls = Network.partial_fit, []

    def interrupted(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *arguments, **more)

    monkeypatch.setattr(Network, "partial_fit", interrupted)
    code, _, err = run(capsys, "train", "squares.cfg", "--resume", "--output", "parts", "--epochs", 4)
    assert code == 130 and "2 of 4 epochs, all whole" in err
    monkeypatch.setattr(Network, "partial_fit", fit)
    assert run(capsys, "train", "squares.cfg", "--resume", "--output", "parts")[0] == 0
    assert stored("parts/network.npz") == whole
    with open("run/history.csv", newline="") as one, open("parts/history.csv", newline="") as other:
        assert [{**row, "seconds": 0} for row in csv.DictReader(one)] == [
            {**row, "seconds": 0} for row in csv.DictReader(other)
        ]
    monkeypatch.setattr(examples_module, "PART_BYTES", 64 << 20)  # nor does it matter how an epoch is cut
    assert train(capsys, "--epochs", 4, output="uncut")[0] == 0
    uncut = stored("uncut/network.npz")
    assert {k: v for k, v in uncut.items() if k != "about"} == {k: v for k, v in whole.items() if k != "about"}


def test_names_say_the_order_of_the_classes(work, capsys):
    Path("my.names").write_text("red\nblue\n")
    assert train(capsys, "--epochs", 1, "--names", "my.names", "--augment", "none")[0] == 0
    assert Path("run/classes.names").read_text() == "red\nblue\n"
    assert json.loads(Path("run/settings.json").read_text())["augment"] == []
    _, out, _ = run(capsys, "evaluate", "run", "--data", "voc", "--format", "json")
    assert [one["name"] for one in json.loads(out)["classes"]] == ["red", "blue"]
    Path("my.names").write_text("blue\nred\n")
    code, _, err = run(capsys, "train", "squares.cfg", "--resume", "--output", "run", "--names", "my.names")
    assert code == 2 and "the classes of this training are those of run/classes.names" in err


def test_difficult_things_are_not_learned_and_do_not_count(work):
    file = Path("voc/Annotations/000.xml")
    before = read_examples("voc", read_configuration("squares.cfg"))[0].train[0]
    file.write_text(file.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>", 1))
    examples, _ = read_examples("voc", read_configuration("squares.cfg"))
    assert len(examples.train[0].learned) == len(before.learned) - 1
    assert len(examples.changed(np.array([0]), settings_of(), 0)[1][0]) == len(before.learned) - 1


def test_label_files_give_the_same_pictures_and_boxes_as_a_voc_folder(work):
    truths = read_truths("voc")
    Path("voc/labels").mkdir()
    for name, part in (("train", truths.train), ("valid", truths.held_out)):
        Path(f"{name}.txt").write_text("".join(f"voc/JPEGImages/{one.path.name}\n" for one in part))
        for one in part:
            lines = [f"{int(row[0])} {' '.join(map(repr, row[1:].tolist()))}\n" for row in one.boxes]
            Path(f"voc/labels/{one.path.stem}.txt").write_text("".join(lines))
    Path("squares.data").write_text("classes = 2\ntrain = train.txt\nvalid = valid.txt\n")
    configuration = read_configuration("squares.cfg")
    (voc, _), (labels, warnings) = (read_examples(source, configuration) for source in ("voc", "squares.data"))
    assert warnings == [] and labels.classes == ("0", "1")
    for one, other in zip([*voc.train, *voc.test], [*labels.train, *labels.test], strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-12)


def _other_size(work):
    Image.new("RGB", (40, 60)).save("voc/JPEGImages/003.png")


def _three_classes(work):
    file = Path("voc/Annotations/003.xml")
    file.write_text(file.read_text().replace("<name>red", "<name>green").replace("<name>blue", "<name>green"))


def _cut_short(work):
    file = Path("voc/JPEGImages/003.png")
    file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (_other_size, (), "003.png: a picture of 40 x 60 pixels; its truths are of one of 60 x 40"),
        (_three_classes, (), "it has 3 classes, blue, green, red; the network tells 2 apart"),
        (_cut_short, (), "003.png: not an image that can be read"),
        (lambda _: None, ("--augment", "shift"), "--augment shift: for voc there are flip, jitter, colour, or none"),
        (lambda _: None, ("--augment", "twirl"), "write none, or flip, shift, jitter, colour"),
        (lambda _: Path("voc/ImageSets/Main/trainval.txt").unlink(), (), "there is no picture"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(work, capsys, change, more, message):
    change(work)
    code, out, err = train(capsys, *more)
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err, err
    assert not Path("run").exists()


def test_names_are_for_detectors_alone(work, capsys):
    Path("rows.cfg").write_text("[net]\ninputs=64\n[connected]\noutput=10\nactivation=linear\n[softmax]\n")
    code, _, err = run(capsys, "train", "rows.cfg", "--data", "digits", "--names", "my.names")
    assert code == 2 and "--names is for detectors; rows.cfg is none" in err
