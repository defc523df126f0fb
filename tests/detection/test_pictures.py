"""Pictures: read whole or refused; in the network's input as Darknet places them; boxes there and back."""

import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from derive.detection.pictures import GREY, Place, letterbox, letterbox_place, placed, read_picture, resized

sizes = st.integers(1, 40)


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, rows, columns)).astype(np.uint8)


@given(sizes, sizes, st.integers(2, 40), st.integers(2, 40))
def test_resizing_is_linear_interpolation_from_corner_to_corner(rows, columns, new_rows, new_columns):
    picture = noise(rows, columns)
    oracle = torch.nn.functional.interpolate(
        torch.from_numpy(picture[np.newaxis] / 255.0), (new_rows, new_columns), mode="bilinear", align_corners=True
    )
    found = resized(picture, new_columns, new_rows)
    assert found.dtype == np.float32 and found.flags.owndata
    np.testing.assert_allclose(found, oracle[0].numpy(), atol=2e-5)  # places are float32, as in Darknet
    np.testing.assert_array_equal(resized(picture / np.float32(255), new_columns, new_rows), found)


def test_resizing_to_the_same_size_changes_nothing():
    picture = noise(7, 5)
    np.testing.assert_array_equal(resized(picture, 5, 7), picture / np.float32(255))


@pytest.mark.parametrize(
    ("picture", "network", "place"),
    [  # columns x rows
        ((768, 576), (416, 416), (0, 52, 416, 312)),  # dog.jpg
        ((773, 512), (416, 416), (0, 70, 416, 275)),  # eagle.jpg: 141 rows are over, 70 of them above
        ((100, 300), (320, 240), (120, 0, 80, 240)),
        ((640, 480), (320, 240), (0, 0, 320, 240)),
        ((10_000, 1), (416, 416), (0, 207, 416, 1)),  # at least one row
        ((1, 1), (7, 9), (0, 1, 7, 7)),
    ],
)
def test_the_letterbox_is_as_large_as_fits_and_in_the_middle(picture, network, place):
    assert letterbox_place(*picture, *network) == Place(*place, *network)


def test_the_picture_lies_at_its_place_and_grey_around_it():
    picture = noise(30, 20)
    found = letterbox(picture, 32, 24)  # 16 x 24 of it
    assert found.shape == (3, 24, 32) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :, 8:24], resized(picture, 16, 24))
    assert (found[:, :, :8] == GREY).all() and (found[:, :, 24:] == GREY).all()


@given(sizes, sizes, sizes, sizes, st.booleans(), st.data())
def test_boxes_go_to_the_input_and_back(columns, rows, width, height, flipped, data):
    base = letterbox_place(columns, rows, width, height)
    place = Place(base.left, base.top, base.columns, base.rows, width, height, flipped)
    boxes = np.array(data.draw(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=4)))
    there = place.to_input(boxes)
    np.testing.assert_allclose(place.to_picture(there), boxes, atol=1e-12)
    assert (there[:, 2:] >= 0).all()


@pytest.mark.parametrize("flipped", [False, True])
def test_a_box_stays_around_what_it_was_around(flipped):
    picture = np.zeros((3, 60, 80), np.uint8)
    picture[:, 20:40, 10:30] = 255
    base = letterbox_place(80, 60, 64, 64)
    place = Place(base.left, base.top, base.columns, base.rows, 64, 64, flipped)
    found = placed(picture, place)[0]
    ((x, y, w, h),) = place.to_input(np.array([[20 / 80, 30 / 60, 20 / 80, 20 / 60]])) * 64
    rows, columns = np.nonzero(found > 0.9)
    assert abs(rows.min() - (y - h / 2)) <= 1 and abs(rows.max() + 1 - (y + h / 2)) <= 1
    assert abs(columns.min() - (x - w / 2)) <= 1 and abs(columns.max() + 1 - (x + w / 2)) <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_a_picture_of_any_mode_is_read_as_three_planes(tmp_path, mode):
    file = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(noise(9, 7).transpose(1, 2, 0)).convert(mode).save(file)
    found = read_picture(file)
    assert found.shape == (3, 9, 7) and found.dtype == np.uint8 and found.flags.c_contiguous
    with Image.open(file) as image:
        np.testing.assert_array_equal(found[1], np.asarray(image.convert("RGB"))[:, :, 1])


def png(width: int, height: int) -> bytes:
    """A PNG that says these sizes and has next to no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_what_is_no_picture_is_one_error_that_names_the_file(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(noise(64, 64).transpose(1, 2, 0)).save(whole)
    content = whole.read_bytes()
    bad = {
        "empty.jpg": b"",
        "text.png": b"no picture",
        "short.jpg": content[: len(content) // 2],
        "head.jpg": content[:20],
        "huge.png": png(60_000, 60_000),
        "large.png": png(9_000, 9_000),
        "short.png": png(50, 50),
        "random.jpg": bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not an image that can be read"):
            read_picture(tmp_path / name)
    with pytest.raises(ValueError, match="9000 x 9000 pixels; at most 67,108,864"):
        read_picture(tmp_path / "large.png")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "missing.jpg")
