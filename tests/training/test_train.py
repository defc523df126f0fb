"""The commands that train: what they leave, that an interrupted training goes on to the bit, that bad input is one line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from derive.training.augmentation import SHIFT, augmented
from derive.training.folder import Settings, read_settings
from derive.training.train import rates_of
from generated import load
from generated import network as network_module
from generated.policies import Policy

CFG = """[net]
inputs=20
batch=16
learning_rate=0.1
[connected]
output=12
activation=relu
[connected]
output=3
activation=linear
[softmax]
"""
FILES = ["history.csv", "network.npz", "settings.json"]


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 4 x 5 bytes, of three kinds."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=count)
    planes = random.integers(0, 120, (count, 4, 5)) + 100 * np.eye(3)[y][:, :, np.newaxis].repeat(5, 2)[:, [0, 1, 2, 0]]
    return planes.astype(np.uint8), y


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder with a network and data, where the commands run."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.cfg").write_text(CFG)
    (X, y), (X_test, y_test) = blobs(120, 0), blobs(40, 1)
    np.savez("data.npz", X=X, y=y, X_test=X_test, y_test=y_test)
    np.savez("names.npz", X=X, y=np.array(["ash", "birch", "cedar"])[y])
    return tmp_path


def train(capsys, *more, network="tiny.cfg", data="data.npz") -> tuple[int, str, str]:
    return run(capsys, "train", network, "--data", data, "--epochs", 3, "--output", "run", *more)


def rows(path: str | Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def columns_without_seconds(path: str | Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(path)]


# What training leaves -------------------------------------------------------------------------------------------------


def test_training_leaves_network_history_and_settings(work, capsys):
    code, out, err = train(capsys)
    assert code == 0 and sorted(p.name for p in Path("run").iterdir()) == FILES
    network, history = load("run/network.npz"), rows("run/history.csv")
    assert list(history[0]) == ["epoch", "loss", "seconds", "test_loss", "test_accuracy"]
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    for name, column in (("loss", "loss"), ("validation_loss", "test_loss"), ("validation_score", "test_accuracy")):
        assert [float(row[column]) for row in history] == pytest.approx(network.history_[name], rel=1e-8)
    assert "3 epochs in " in out and f"accuracy {network.history_['validation_score'][-1]:.2%}" in out
    assert "run/network.npz" in out
    assert "tiny.cfg: 4 layers, 291 parameters" in err and "120 samples to learn from, 40 held out" in err
    assert [line[:9] for line in err.splitlines()[-3:]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    about = json.loads(Path("run/settings.json").read_text())
    assert (about["data"], about["epochs"], about["batch_size"], about["learning_rate"]) == ("data.npz", 3, 16, 0.1)
    assert (about["momentum"], about["weight_decay"], about["seed"]) == (0.9, 0.0001, 0)


def test_what_the_command_line_says_counts_before_the_file(work, capsys):
    train(
        capsys, "--batch-size", 7, "--learning-rate", 0.25, "--momentum", 0, "--weight-decay", 0.5, "--seed", 9,
        "--schedule", "cosine", "--subdivisions", 2, "--normalisation", "batch_norm", "--accuracy", "direct",
    )  # fmt: skip
    about = json.loads(Path("run/settings.json").read_text())
    assert about == {
        "data": "data.npz", "epochs": 3, "batch_size": 7, "subdivisions": 2, "learning_rate": 0.25, "momentum": 0.0,
        "weight_decay": 0.5, "schedule": "cosine", "augment": [], "normalisation": "batch_norm", "seed": 9,
        "accuracy": "direct",
    }  # fmt: skip
    network = load("run/network.npz")
    assert network.random_state == 9 and network.accuracy == "direct"


def test_max_batches_says_how_many_epochs_if_nobody_else_does(work, capsys):
    Path("tiny.cfg").write_text(CFG.replace("batch=16", "batch=16\nmax_batches=30"))
    run(capsys, "train", "tiny.cfg", "--data", "data.npz", "--output", "run")
    assert len(rows("run/history.csv")) == 4  # 30 batches of 16, of 120 samples
    Path("tiny.cfg").write_text(CFG)
    run(capsys, "train", "tiny.cfg", "--data", "data.npz")
    assert len(rows("derive-train/tiny/history.csv")) == 10


def test_adam_is_trained_as_the_file_says(work, capsys):
    Path("tiny.cfg").write_text(CFG.replace("learning_rate=0.1", "adam=1"))
    assert train(capsys)[0] == 0
    assert list(load("run/network.npz")._states) == ["adam"]


def test_training_without_held_out_samples(work, capsys):
    code, out, err = train(capsys, data="names.npz")
    assert code == 0 and "none held out" in err and "accuracy" not in out + err
    assert [row["test_loss"] for row in rows("run/history.csv")] == ["", "", ""]
    assert load("run/network.npz").classes_.tolist() == ["ash", "birch", "cedar"]


def test_numbers_as_targets_have_a_score_that_is_no_accuracy(work, capsys):
    X = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
    np.savez("numbers.npz", X=X, y=X[:, :3], X_test=X, y_test=X[:, :3])
    Path("tiny.cfg").write_text(CFG.replace("learning_rate=0.1", "learning_rate=0.01").replace("[softmax]", "[cost]"))
    code, out, err = train(capsys, data="numbers.npz")
    assert code == 0 and "R^2 0." in out and "accuracy" not in out + err
    assert "test_score" in rows("run/history.csv")[0]
    assert "R^2       0." in run(capsys, "evaluate", "run", "--data", "numbers.npz")[1]
    code, out, _ = run(capsys, "predict", "run", "numbers.npz", "--output", "p.json")
    assert code == 0 and list(json.loads(Path("p.json").read_text())[0]) == ["input", "outputs"]


def test_a_seed_gives_the_same_files_again(work, capsys):
    train(capsys)
    first = stored("run/network.npz")
    run(capsys, "train", "tiny.cfg", "--data", "data.npz", "--epochs", 3, "--output", "again")
    run(capsys, "train", "tiny.cfg", "--data", "data.npz", "--epochs", 3, "--output", "other", "--seed", 1)
    assert stored("again/network.npz") == first != stored("other/network.npz")


def test_a_terminal_shows_a_bar_with_rate_loss_and_time_left(work, capsys, monkeypatch):
    monkeypatch.setattr("generated.progress.SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, err = train(capsys)
    looks = [line for line in err.replace("\n", "\r").split("\r") if "samples/s" in line]
    assert looks and all(" left" in look and "loss " in look and "[" in look for look in looks)
    assert looks[0].startswith("epoch 1/3 [") and looks[-1].startswith("epoch 3/3 [====================] 100%")
    assert [line.split("\r")[-1][:9] for line in err.split("\n")[-4:-1]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_unused_keys_are_warned_of(work, capsys):
    Path("tiny.cfg").write_text(CFG.replace("learning_rate", "max_crop=9\nhue=.1\nlearning_rate"))
    code, _, err = train(capsys)
    assert code == 0 and err.startswith(
        "warning: tiny.cfg:4: [net] makes no use of max_crop\n"
        "warning: tiny.cfg: [net] hue: of use to detectors alone; see --augment\n"
    )


def test_digits_are_learned_from_the_command_line(work, capsys):
    cfg = CFG.replace("inputs=20", "inputs=64").replace("output=12", "output=64").replace("output=3", "output=10")
    Path("digits.cfg").write_text(cfg)
    code, _, _ = run(
        capsys, "train", "digits.cfg", "--data", "digits", "--epochs", 30, "--schedule", "cosine", "--output", "run"
    )
    assert code == 0 and float(rows("run/history.csv")[-1]["test_accuracy"]) > 0.96
    code, out, _ = run(capsys, "evaluate", "run", "--data", "digits")
    assert code == 0 and "599 held-out samples" in out


# Interrupted, and on from there ---------------------------------------------------------------------------------------


def begun(epochs: int = 4000) -> subprocess.Popen:
    """A training in a process of its own, which Ctrl-C ends also where the tests themselves run in the background."""
    arguments = ["train", "tiny.cfg", "--data", "data.npz", "--epochs", str(epochs), "--output", "cut"]
    start = "import signal, sys, derive.cli; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start += f"; sys.exit(derive.cli.main({arguments!r}))"
    return subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(happened, process: subprocess.Popen) -> None:
    """Until that is true; the process must still be there then."""
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def epochs_on_disk(least: int):
    path = Path("cut/history.csv")
    return lambda: path.exists() and path.read_text().count("\n") > least


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_is_cut_off_goes_on_as_if_it_had_not_been(work, capsys, how, rule):
    if rule == "adam":
        Path("tiny.cfg").write_text(CFG.replace("learning_rate=0.1", "learning_rate=0.01\nadam=1"))
    process = begun()
    wait_for(epochs_on_disk(3), process)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    left = len(load("cut/network.npz").history_["loss"])
    if how == signal.SIGINT:
        assert process.returncode == 130
        last = err.splitlines()[-1]
        assert last == f"interrupted; --resume goes on. cut/network.npz: {left} of 4000 epochs, all whole"
        assert len(rows("cut/history.csv")) == left
        assert sorted(p.name for p in Path("cut").iterdir()) == FILES
    else:
        assert process.returncode == -signal.SIGKILL
    assert 3 <= left < 4000
    code, _, err = run(capsys, "train", "tiny.cfg", "--output", "cut", "--resume", "--epochs", left + 5)
    assert code == 0 and err.splitlines()[-5].split()[1] == f"{left + 1}/{left + 5}"
    run(capsys, "train", "tiny.cfg", "--data", "data.npz", "--epochs", left + 5, "--output", "whole")
    assert stored("cut/network.npz") == stored("whole/network.npz")
    assert columns_without_seconds("cut/history.csv") == columns_without_seconds("whole/history.csv")


def test_augmented_and_scheduled_training_goes_on_to_the_bit(work, capsys, monkeypatch):
    monkeypatch.setattr("derive.training.samples.augmented", augmented_rows)
    more = ("--schedule", "cosine", "--augment", "flip,shift", "--seed", 5)
    train(capsys, *more, "--epochs", 6)
    saved = stored("run/network.npz")
    Path("run").rename("whole")

    def interrupt(X, kinds, seed, epoch):
        if epoch == 4:
            raise KeyboardInterrupt
        return augmented_rows(X, kinds, seed, epoch)

    with monkeypatch.context() as patched:
        patched.setattr("derive.training.samples.augmented", interrupt)
        assert train(capsys, *more, "--epochs", 6)[0] == 130
    assert len(rows("run/history.csv")) == 4
    assert run(capsys, "train", "tiny.cfg", "--output", "run", "--resume")[0] == 0
    assert stored("run/network.npz") == saved


def augmented_rows(X: np.ndarray, *how) -> np.ndarray:
    """Rows of 4 x 5 pixels, changed as images."""
    return augmented(X.reshape(-1, 1, 4, 5), *how).reshape(X.shape)


def test_ctrl_c_in_the_first_epoch_leaves_a_network_to_begin_with(work, capsys, monkeypatch):
    train(capsys)
    whole = stored("run/network.npz")
    Path("run").rename("whole")
    with monkeypatch.context() as patched:
        patched.setattr("generated.progress.ProgressLine.steps", interrupted)
        code, out, err = train(capsys)
    assert (code, out) == (130, "")
    assert err.endswith("interrupted; --resume goes on. run/network.npz: 0 of 3 epochs, all whole\n")
    assert sorted(p.name for p in Path("run").iterdir()) == FILES and rows("run/history.csv") == []
    assert run(capsys, "train", "tiny.cfg", "--output", "run", "--resume")[0] == 0
    assert stored("run/network.npz") == whole


def interrupted(*_) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(work, capsys, monkeypatch):
    train(capsys)
    before = Path("run/network.npz").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device", "run/network.npz")

    with monkeypatch.context() as patched:
        patched.setattr("generated.network.os.replace", fail)
        patched.setattr("derive.training.folder.write_whole", lambda *_: None)
        code, _, err = run(capsys, "train", "tiny.cfg", "--resume", "--output", "run", "--epochs", 5)
    assert code == 2 and err.splitlines()[-1] == "derive train: run/network.npz: No space left on device"
    assert Path("run/network.npz").read_bytes() == before and sorted(p.name for p in Path("run").iterdir()) == FILES


def test_more_epochs_may_be_asked_for_later(work, capsys):
    train(capsys)
    code, out, _ = run(capsys, "train", "tiny.cfg", "--output", "run", "--resume")
    assert code == 0 and out.startswith("all of 3 epochs are done already; --epochs 6 would go on\n")
    assert run(capsys, "train", "tiny.cfg", "--output", "run", "--resume", "--epochs", 5)[0] == 0
    run(capsys, "train", "tiny.cfg", "--data", "data.npz", "--epochs", 5, "--output", "whole")
    assert stored("run/network.npz") == stored("whole/network.npz")


def test_a_loss_that_is_no_number_is_exit_code_1_and_keeps_the_last_whole_epoch(work, capsys):
    train(capsys)
    before = stored("run/network.npz")
    code, _, err = run(
        capsys, "train", "tiny.cfg", "--output", "run", "--resume", "--epochs", 9, "--learning-rate", 1e30
    )
    assert code == 1 and "Traceback" not in err
    assert (
        " of epoch 4; the last good parameters are kept" in err and "run/network.npz: 3 of 9 epochs, all whole" in err
    )
    assert stored("run/network.npz") == before


# Schedules and augmentation -------------------------------------------------------------------------------------------


PLAN = Settings("d", 10, 1, 1, 0.4, 0.9, 0.0, "constant", (), "batch_norm_darknet", 0)


def test_the_rate_is_constant_or_falls_along_a_cosine():
    policy = Policy(7.0, "exp", gamma=0.5)
    assert {rate for epoch in range(10) for rate in rates_of(PLAN, policy, epoch, 3)} == {0.4}
    falling = [rates_of(replace(PLAN, schedule="cosine"), policy, epoch, 1)[0] for epoch in range(11)]
    assert falling[0] == 0.4 and falling[5] == pytest.approx(0.2) and falling[10] == pytest.approx(0)
    assert falling == sorted(falling, reverse=True)


def test_the_policy_of_the_file_counts_batches_on_from_epoch_to_epoch():
    plan, policy = (
        replace(PLAN, schedule="policy", learning_rate=2.0),
        Policy(7.0, "steps", steps=(3, 5), scales=(0.5, 0.1)),
    )
    rates = [*rates_of(plan, policy, 0, 4), *rates_of(plan, policy, 1, 4)]
    assert rates == pytest.approx([2, 2, 1, 1, 0.1, 0.1, 0.1, 0.1])  # of the batches 1 to 8
    drawn = rates_of(plan, Policy(7.0, "random", power=1), 0, 4)
    assert (drawn != rates_of(replace(plan, seed=1), Policy(7.0, "random", power=1), 0, 4)).all()


def test_training_by_a_policy_goes_on_to_the_bit_and_takes_its_rate_from_the_command_line(work, capsys):
    policy = "learning_rate=0.1\npolicy=steps\nsteps=12,20\nscales=.5,.1\nburn_in=10\npower=1"
    Path("tiny.cfg").write_text(CFG.replace("learning_rate=0.1", policy))
    train(capsys, "--learning-rate", 0.2)
    saved = stored("run/network.npz")
    Path("run").rename("whole")
    train(capsys, "--epochs", 2, "--learning-rate", 0.2)
    assert run(capsys, "train", "tiny.cfg", "--output", "run", "--resume", "--epochs", 3)[0] == 0
    assert stored("run/network.npz") == saved
    assert saved["about"]["settings"]["momentum_darknet"]["learning_rate"] == pytest.approx(0.2 * 0.5 * 0.1)
    train(capsys, "--learning-rate", 0.2, "--output", "other", "--schedule", "constant")
    assert stored("other/network.npz") != saved


def test_subdivisions_change_the_memory_of_a_training_and_nothing_else(work, capsys):
    train(capsys)
    Path("tiny.cfg").write_text(CFG.replace("batch=16", "batch=16\nsubdivisions=4"))
    train(capsys, "--output", "parts")
    assert json.loads(Path("parts/settings.json").read_text())["subdivisions"] == 4
    whole, parts = load("run/network.npz"), load("parts/network.npz")
    for one, other in zip(whole.parameters, parts.parameters, strict=True):
        assert all(np.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_normalisation_is_darknets_unless_asked_for_otherwise(work, capsys):
    Path("tiny.cfg").write_text(CFG.replace("output=12", "output=12\nbatch_normalize=1"))
    train(capsys)
    assert load("run/network.npz").layers[1][0] == "batch_norm_darknet"
    train(capsys, "--normalisation", "batch_norm", "--output", "other")
    assert load("other/network.npz").layers[1][0] == "batch_norm"
    assert run(capsys, "train", "tiny.cfg", "--output", "other", "--resume", "--epochs", 4)[0] == 0
    code, _, err = run(capsys, "train", "tiny.cfg", "--output", "run", "--resume", "--normalisation", "batch_norm")
    assert code == 2 and "run/network.npz is not the network of tiny.cfg" in err


def test_a_resumed_training_keeps_its_accuracy_unless_told_otherwise(work, capsys):
    train(capsys, "--accuracy", "fast")
    resume = "train", "tiny.cfg", "--output", "run", "--resume", "--epochs"
    assert run(capsys, *resume, 4)[0] == 0 and load("run/network.npz").accuracy == "fast"
    assert run(capsys, *resume, 5, "--accuracy", "direct")[0] == 0 and load("run/network.npz").accuracy == "direct"
    assert json.loads(Path("run/settings.json").read_text())["accuracy"] == "direct"


def test_settings_of_before_there_was_a_choice_have_the_default_accuracy(work, capsys):
    train(capsys)
    path = Path("run/settings.json")
    said = json.loads(path.read_text())
    assert said.pop("accuracy") == "default"
    path.write_text(json.dumps(said))
    assert read_settings(Path("run")).accuracy == "default"


@pytest.mark.parametrize("command", [("evaluate", "run", "--data", "data.npz"), ("predict", "run", "data.npz")])
def test_a_network_is_used_with_the_accuracy_that_it_was_trained_with_or_that_asked_for(
    work, capsys, monkeypatch, command
):
    train(capsys, "--accuracy", "fast")
    used, whole = [], network_module.plan_prediction

    def plan(*given, **settings):
        used.append(settings["accuracy"])
        return whole(*given, **settings)

    monkeypatch.setattr(network_module, "plan_prediction", plan)
    assert run(capsys, *command)[0] == run(capsys, *command, "--accuracy", "direct")[0] == 0
    assert used[0] == "fast" and used[-1] == "direct"


@pytest.mark.parametrize("kinds", [("flip",), ("shift",), ("flip", "shift")])
def test_augmentation_mirrors_and_moves_each_image(kinds):
    X = np.random.default_rng(0).random((300, 2, 7, 6)).astype(np.float32)
    found = augmented(X, kinds, 3, 1)
    most = SHIFT if "shift" in kinds else 0
    padded = np.pad(X, ((0, 0), (0, 0), (most, most), (most, most)))
    seen = set()
    for number in range(len(X)):
        ways = [
            (row, column, step)
            for row in range(2 * most + 1)
            for column in range(2 * most + 1)
            for step in (1, -1)
            if (padded[number, :, row : row + 7, column : column + 6][:, :, ::step] == found[number]).all()
        ]
        assert len(ways) == 1
        seen |= set(ways)
    assert len(seen) == (2 * most + 1) ** 2 * (2 if "flip" in kinds else 1)
    assert (augmented(X, kinds, 3, 1) == found).all() and found.flags.c_contiguous
    assert (augmented(X, kinds, 3, 2) != found).any() and (augmented(X, kinds, 4, 1) != found).any()
    assert augmented(X, (), 3, 1) is X


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_evaluate_prints_loss_accuracy_and_a_row_for_each_class(work, capsys):
    train(capsys)
    network = load("run/network.npz")
    with np.load("data.npz") as data:
        X, y = data["X_test"].reshape(-1, 20) / 255, data["y_test"]
    code, out, err = run(capsys, "evaluate", "run/network.npz", "--data", "data.npz")
    assert (code, err) == (0, "")
    assert "run/network.npz, trained for 3 epochs" in out and "data.npz: 40 held-out samples" in out
    assert f"loss      {network.loss(X, y):.4f}" in out and f"accuracy  {network.score(X, y):.2%} (" in out
    code, out, _ = run(capsys, "evaluate", "run", "--data", "data.npz", "--format", "json")
    found = json.loads(out)
    confusion = np.array(found["confusion"])
    assert found["accuracy"] == np.trace(confusion) / 40 == network.score(X, y) and found["classes"] == [0, 1, 2]
    predicted = network.predict(X)
    assert all(confusion[i, j] == ((y == i) & (predicted == j)).sum() for i in range(3) for j in range(3))


def test_evaluate_names_classes_and_what_they_are_taken_for(work, capsys):
    train(capsys, data="names.npz")
    _, out, _ = run(capsys, "evaluate", "run", "--data", "names.npz")
    assert "120 samples, none of them held out" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["ash", "birch", "cedar"]
    counts = [int(line.split()[1]) for line in out.splitlines()[-3:]]
    assert sum(counts) == 120


# Prediction -----------------------------------------------------------------------------------------------------------


def test_predict_prints_a_line_a_sample(work, capsys):
    train(capsys, data="names.npz")
    network = load("run/network.npz")
    with np.load("data.npz") as data:
        X = data["X"]
    shares = network.predict_proba(X.reshape(-1, 20) / 255)
    code, out, err = run(capsys, "predict", "run", "data.npz")
    assert (code, err) == (0, "") and len(out.splitlines()) == 120
    best = shares[0].argmax()
    assert out.splitlines()[0].split()[:3] == ["data.npz[0]", network.classes_[best], f"{shares[0, best]:.1%}"]

    Path("pictures").mkdir()
    for number in range(2):
        Image.fromarray(X[number]).save(f"pictures/{number}.png")
    header = bytes([0, 0, 8, 3]) + np.array(X.shape, ">u4").tobytes()
    Path("images").write_bytes(header + X.tobytes())
    code, out, _ = run(capsys, "predict", "run", "pictures/1.png", "pictures", "images", "data.npz")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and len(lines) == 1 + 2 + 120 + 120
    assert [line[0] for line in lines[:4]] == ["pictures/1.png", "pictures/0.png", "pictures/1.png", "images[0]"]
    assert lines[0][1:] == lines[2][1:] == lines[4][1:] == lines[124][1:]  # the same picture, however it comes


def test_predict_writes_json_and_csv(work, capsys):
    train(capsys, data="names.npz")
    network = load("run/network.npz")
    with np.load("data.npz") as data:
        X = data["X"].reshape(-1, 20) / 255
    shares, labels = network.predict_proba(X), network.predict(X).tolist()
    code, out, _ = run(capsys, "predict", "run", "data.npz", "--output", "out/found.json")
    assert code == 0 and out == "120 predictions written to out/found.json\n"
    found = json.loads(Path("out/found.json").read_text())
    assert [row["label"] for row in found] == labels
    assert list(found[7]["probabilities"]) == ["ash", "birch", "cedar"]
    assert list(found[7]["probabilities"].values()) == shares[7].tolist()
    run(capsys, "predict", "run", "data.npz", "--output", "found.csv")
    table = rows("found.csv")
    assert list(table[0]) == ["input", "label", "ash", "birch", "cedar"] and [row["label"] for row in table] == labels
    assert float(table[7]["birch"]) == shares[7, 1]


def test_outputs_that_are_no_probabilities_are_shown_as_they_are(work, capsys):
    Path("tiny.cfg").write_text(CFG.replace("[softmax]", "[cost]"))
    train(capsys, "--learning-rate", "0.01")
    code, out, _ = run(capsys, "predict", "run", "data.npz")
    assert code == 0 and "%" not in out and len(out.splitlines()) == 120
    run(capsys, "predict", "run", "data.npz", "--output", "p.csv")
    assert list(rows("p.csv")[0]) == ["input", "label", "output 0", "output 1", "output 2"]


# What is refused ------------------------------------------------------------------------------------------------------


def test_bad_input_is_one_line_and_exit_code_2(work, capsys):
    train(capsys)
    X, y = blobs(30, 2)
    np.savez("wide.npz", X=np.zeros((30, 21)), y=y)
    np.savez("many.npz", X=X, y=y + 1)
    np.savez("words.npz", X=X, y=np.where(y == 0, "a", "b"))
    np.savez("nan.npz", X=np.full((30, 20), np.nan), y=y)
    np.savez("tests.npz", X=X, y=y, X_test=X, y_test=y + 1)
    Path("bad.cfg").write_text(CFG.replace("output=12", "output=twelve"))
    Path("huge.cfg").write_text(CFG.replace("output=12", "output=2000000000").replace("inputs=20", "inputs=2000000000"))
    Path("other.cfg").write_text(CFG.replace("output=12", "output=13"))
    Path("text.npz").write_text("hello")
    Path("cut.npz").write_bytes(Path("run/network.npz").read_bytes()[:-50])
    Path("empty").mkdir()
    to = ("--output", "new")
    cases = [
        ("none.cfg: No such file", "train", "none.cfg", "--data", "data.npz"),
        ("bad.cfg:6: [connected] output=twelve: must be a whole", "train", "bad.cfg", "--data", "data.npz"),
        ("give the data to learn from: --data", "train", "tiny.cfg"),
        ("huge.cfg", "train", "huge.cfg", "--data", "data.npz", *to),
        ("none: there is no such file or folder", "train", "tiny.cfg", "--data", "none", *to),
        ("text.npz: not an .npz file", "train", "tiny.cfg", "--data", "text.npz", *to),
        ("empty: neither IDX files", "train", "tiny.cfg", "--data", "empty", *to),
        ("wide.npz: samples of 21 values; the network takes 20", "train", "tiny.cfg", "--data", "wide.npz", *to),
        ("tiny.cfg cannot learn from many.npz: y: label 3 of", "train", "tiny.cfg", "--data", "many.npz", *to),
        ("y has 2 different labels; 3 outputs", "train", "tiny.cfg", "--data", "words.npz", *to),
        ("X has the value nan at [0, 0]", "train", "tiny.cfg", "--data", "nan.npz", *to),
        ("digits: the test samples: samples of 1 x 8 x 8 values; the network takes 20", "train", "tiny.cfg", "--data", "digits", *to),
        ("tiny.cfg: this is a file; give --output a folder", "train", "tiny.cfg", "--data", "data.npz", "--output", "tiny.cfg"),
        ("run: there is a trained network already", "train", "tiny.cfg", "--data", "data.npz", "--output", "run"),
        ("--augment changes images", "train", "tiny.cfg", "--data", "data.npz", "--augment", "flip", *to),
        ("empty: no training to go on with", "train", "tiny.cfg", "--resume", "--output", "empty"),
        ("is not the network of other.cfg", "train", "other.cfg", "--resume", "--output", "run"),
        ("this training began with --seed 0", "train", "tiny.cfg", "--resume", "--output", "run", "--seed", "3"),
        ("cut.npz is not a network that Network.save wrote", "evaluate", "cut.npz", "--data", "data.npz"),
        ("data.npz is not a network", "evaluate", "data.npz", "--data", "data.npz"),
        ("none.npz: No such file", "evaluate", "none.npz", "--data", "data.npz"),
        ("empty/network.npz: No such file", "evaluate", "empty", "--data", "data.npz"),
        ("wide.npz: samples of 21 values", "evaluate", "run", "--data", "wide.npz"),
        ("run/network.npz on many.npz: y: label 3 of", "evaluate", "run", "--data", "many.npz"),
        ("cut.npz is not a network", "predict", "cut.npz", "data.npz"),
        ("text.npz: not an .npz file", "predict", "run", "text.npz"),
        ("tiny.cfg: not an image that can be read", "predict", "run", "tiny.cfg"),
        ("none.png: No such file", "predict", "run", "none.png"),
        ("empty: no images lie in this folder", "predict", "run", "empty"),
        ("wide.npz: samples of 21 values", "predict", "run", "wide.npz"),
        ("X has the value nan", "predict", "run", "nan.npz"),
        ("p.txt: its name must end in .json or .csv", "predict", "run", "data.npz", "--output", "p.txt"),
        ("tiny.cfg/p.csv: cannot be written", "predict", "run", "data.npz", "--output", "tiny.cfg/p.csv"),
    ]  # fmt: skip
    for message, *arguments in cases:
        code, out, err = run(capsys, *arguments)
        lines = [line for line in err.splitlines() if line.startswith("derive ")]
        assert code == 2 and out == "" and len(lines) == 1 and "Traceback" not in err, (arguments, code, out, err)
        assert message in lines[0] and lines[0].startswith(f"derive {arguments[0]}: "), lines
    assert sorted(p.name for p in Path().glob("new/*")) in ([], FILES)  # of what only the first epoch found


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"], ["train", "a.cfg", "--epochs", "0"], ["train", "a.cfg", "--epochs", "1.5"], ["evaluate", "n.npz"],
        ["train", "a.cfg", "--learning-rate", "nan"], ["train", "a.cfg", "--momentum", "-1"], ["predict", "n.npz"],
        ["train", "a.cfg", "--seed", "-1"], ["train", "a.cfg", "--augment", "rotate"], ["evaluate", "--data", "digits"],
        ["train", "a.cfg", "--schedule", "steps"], ["train", "a.cfg", "--batch-size", "many"],
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_exit_code_2(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and "--help" in err


SETTINGS = {
    "empty": "", "no object": "[]", "cut": '{"data": "data.npz", "epo', "few": '{"data": "data.npz"}',
}  # fmt: skip


@pytest.mark.parametrize("case", [*SETTINGS, "epochs", "learning_rate", "schedule", "augment", "momentum", "accuracy"])
def test_damaged_settings_are_refused(work, capsys, case):
    train(capsys)
    path = Path("run/settings.json")
    whole = json.loads(path.read_text())
    path.write_text(SETTINGS[case] if case in SETTINGS else json.dumps({**whole, case: ["x"]}))
    code, out, err = run(capsys, "train", "tiny.cfg", "--resume", "--output", "run")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("derive train: run/settings.json: not the settings of a training: ")


def test_a_folder_of_an_older_try_without_an_epoch_may_be_written_over(work, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("generated.progress.ProgressLine.steps", interrupted)
        assert train(capsys)[0] == 130
    assert train(capsys)[0] == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_checkpoint_is_one_clear_error(work, capsys, data):
    if not Path("run").exists():
        train(capsys)
    whole = Path("run/network.npz").read_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        begin = data.draw(st.integers(0, len(whole) - 20))
        damaged = whole[:begin] + data.draw(st.binary(min_size=20, max_size=20)) + whole[begin + 20 :]
    Path("damaged.npz").write_bytes(damaged)
    code, out, err = run(capsys, "evaluate", "damaged.npz", "--data", "data.npz")
    if code:  # a change may fall on what nobody reads
        assert code == 2 and out == "" and err.count("\n") == 1 and "damaged.npz" in err


def test_the_reader_of_a_pipe_may_leave(work, capsys):
    train(capsys)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "derive", "predict", "run", "data.npz"], stdout=closed, stderr=subprocess.PIPE
        )
    assert done.stderr == b"" and done.returncode == 0


def test_csv_is_read_by_any_reader(work, capsys):
    train(capsys)
    run(capsys, "predict", "run", "data.npz", "--output", "p.csv")
    assert len(list(csv.reader(io.StringIO(Path("p.csv").read_text())))) == 121
