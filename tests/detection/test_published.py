"""YOLOv3-tiny with its published weights finds what Darknet finds; a detector's weights are the same from either file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from squares import CFG

from derive.cli import main
from derive.detection.detect import read_detector
from generated.configuration import read_configuration
from generated.weights import write_weights

# Debian's darknet 0.0.0+git20180914 (OpenCV reads the picture), `detector test ... dog.jpg -thresh .4`
DARKNET = [("car", 62), ("bicycle", 59), ("dog", 56), ("truck", 55), ("car", 52), ("truck", 42)]
PUBLISHED = [("car", 62), ("bicycle", 59), ("dog", 57), ("truck", 56), ("car", 52), ("truck", 43)]  # by its own reader


@pytest.mark.skipif("BACKDERIVE_DATA" not in os.environ, reason="BACKDERIVE_DATA is not set: no published weights")
def test_yolov3_tiny_finds_what_darknet_finds(tmp_path, capsys):
    data = Path(os.environ["BACKDERIVE_DATA"])
    tiny = data / "yolov3-tiny"
    code = main([
        "detect", str(tiny / "yolov3-tiny.cfg"), str(tiny / "yolov3-tiny.weights"), str(data / "images/dog.jpg"),
        "--threshold", "0.4", "--output", str(tmp_path), "--format", "json",
    ])  # fmt: skip
    (found,) = json.loads(capsys.readouterr().out)
    assert code == 0 and (found["columns"], found["rows"]) == (768, 576)
    seen = [(one["name"], 100 * one["probability"]) for one in found["detections"]]
    assert [(name, round(percent)) for name, percent in seen] == DARKNET
    assert all(a == b and abs(p - q) <= 1 for (a, p), (b, q) in zip(seen, PUBLISHED, strict=True))
    left, top, right, bottom = next(one["pixels"] for one in found["detections"] if one["name"] == "dog")
    assert 110 < left < 150 and 170 < top < 230 and 300 < right < 380 and 500 < bottom < 560  # where the dog is


def test_weights_of_darknet_and_a_file_of_ours_make_the_same_detector(tmp_path):
    file = tmp_path / "squares.cfg"
    file.write_text(CFG)
    network = read_configuration(file).network(random_state=3)
    network.save(tmp_path / "network.npz")
    write_weights(network, tmp_path / "squares.weights")
    one, other = (read_detector(file, tmp_path / name) for name in ("network.npz", "squares.weights"))
    X = np.random.default_rng(0).random((1, 3, 32, 48)).astype(np.float32)
    np.testing.assert_array_equal(one.predictions(X), other.predictions(X))
    file.write_text("[net]\ninputs=4\n[connected]\noutput=3\n[softmax]\n")
    with pytest.raises(ValueError, match="no detector: it has no"):
        read_detector(file, tmp_path / "network.npz")


def test_a_detector_has_the_accuracy_asked_for_or_that_of_its_training(tmp_path):
    file = tmp_path / "squares.cfg"
    file.write_text(CFG)
    network = read_configuration(file).network(random_state=3, accuracy="fast")
    assert network.accuracy == "fast"
    network.save(tmp_path / "network.npz")
    write_weights(network, tmp_path / "squares.weights")
    for name, usual in (("network.npz", "fast"), ("squares.weights", "default")):
        assert read_detector(file, tmp_path / name).accuracy == usual
        assert read_detector(file, tmp_path / name, accuracy="direct").accuracy == "direct"
