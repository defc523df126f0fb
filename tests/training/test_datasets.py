"""The readers of data: what they give, and that no damaged file costs more than one clear error."""

import gzip
import io
import os
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from derive.training.datasets import read_dataset, read_idx, read_images, read_npz

ROOT = Path(__file__).resolve().parents[2]
IDX_TYPES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    kind = values.dtype.str[1:]
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, IDX_TYPES[kind], values.ndim, *values.shape)
    return header + values.astype(f">{kind}").tobytes()


def random_images(count: int, height: int = 5, width: int = 4) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)


def mnist(folder: Path, train: int = 6, test: int = 3, *, ending: str = "", dot: bool = False) -> Path:
    """A folder as MNIST's."""
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 3
        for name, values in (("images-idx3", random_images(count)), ("labels-idx1", labels)):
            name = name.replace("-idx", ".idx") if dot else name
            content = idx(values)
            (folder / f"{part}-{name}-ubyte{ending}").write_bytes(gzip.compress(content) if ending else content)
    return folder


def pictures(folder: Path, counts: dict[str, int], size=(4, 5), mode: str = "RGB") -> Path:
    """Class folders of images."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.png")
    return folder


# IDX ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", IDX_TYPES)
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (0, 3)])
def test_an_idx_file_gives_its_array(tmp_path, kind, zipped, shape):
    values = (np.arange(np.prod(shape)) * 3 - 2).astype(kind).reshape(shape)
    (tmp_path / "a").write_bytes(gzip.compress(idx(values)) if zipped else idx(values))
    found = read_idx(tmp_path / "a")
    assert found.dtype == values.dtype and found.dtype.isnative
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("ending", "dot"), [("", False), (".gz", False), ("", True)])
def test_a_folder_of_idx_files_is_images_and_labels(tmp_path, ending, dot):
    data = read_dataset(mnist(tmp_path, ending=ending, dot=dot))
    assert data.X.shape == (6, 1, 5, 4) and data.X.dtype == np.float32 and data.X.flags.c_contiguous
    np.testing.assert_array_equal(np.rint(data.X[:, 0] * 255), random_images(6))
    np.testing.assert_array_equal(data.X_test[:, 0], random_images(3).astype(np.float32) / 255)
    assert data.y.tolist() == [0, 1, 2, 0, 1, 2] and data.y_test.tolist() == [0, 1, 2]


def test_a_file_and_its_gzipped_twin_are_one(tmp_path):
    mnist(mnist(tmp_path), ending=".gz")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bnot this one")
    assert len(read_dataset(tmp_path).X) == 6


def test_a_folder_may_have_no_test_files(tmp_path):
    mnist(tmp_path)
    for path in tmp_path.glob("t10k*"):
        path.unlink()
    assert read_dataset(tmp_path).X_test is None


def test_samples_are_brought_to_the_shape_of_the_network(tmp_path):
    mnist(tmp_path)
    rows = read_dataset(tmp_path, (20,))
    assert rows.X.shape == (6, 20) and rows.X_test.shape == (3, 20)
    np.testing.assert_array_equal(rows.X, read_dataset(tmp_path).X.reshape(6, 20))
    for shape in ((21,), (1, 4, 5), (2, 10)):
        with pytest.raises(ValueError, match=r"samples of 1 x 5 x 4 values; the network takes"):
            read_dataset(tmp_path, shape)


def changed(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder


IMAGES = "train-images-idx3-ubyte"
DAMAGED = {
    "empty": (b"", r"train-images-idx3-ubyte: not an IDX file: its first bytes are missing, not 00 00 08 03"),
    "a text": (b"P5 28 28\n", r"not an IDX file: its first bytes are 50 35 20 32"),
    "no axes": (b"\0\0\x08\0", r"not an IDX file: its first bytes are 00 00 08 00"),
    "an unknown type": (b"\0\0\x0a\x03" + bytes(40), r"not an IDX file: its first bytes are 00 00 0a 03"),
    "half a header": (idx(random_images(6))[:10], r"cut short: its header says 3 axes, but ends after 6 bytes"),
    "cut": (idx(random_images(6))[:-1], r"cut short: .* 6 x 5 x 4 values, 120 bytes; a file of 135 bytes has no more than 119"),
    "a longer one": (idx(random_images(6)) + b"x", r"6 x 5 x 4 values, 120 bytes; more follow"),
    "huge": (b"\0\0\x08\x03" + b"\xff" * 12, r"4294967295 x 4294967295 x 4294967295 values.*no more than 0"),
    "cut, zipped": (gzip.compress(idx(random_images(6)))[:-20], r"gzip file of \d+ bytes is cut short or damaged"),
    "zipped, cut": (gzip.compress(idx(random_images(6))[:-1]), r"120 bytes; only 119 follow"),
    "zipped, longer": (gzip.compress(idx(random_images(6)) + b"x"), r"120 bytes; more follow"),
    "zipped, huge": (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), r"4294967295 x .*cut short|cut short: .*4294967295"),
    "zipped, flipped": (
        gzip.compress(idx(random_images(6)))[:-6] + b"\0\0\0\0\0\0", r"gzip file of \d+ bytes is cut short or damaged"
    ),
    "a zip of nothing": (b"\x1f\x8b", r"cut short or damaged|not an IDX file"),
    "numbers": (idx(np.zeros((6, 5, 4), "f4")), r"images are bytes in three axes .*; it has 6 x 5 x 4 of float32"),
    "rows": (idx(np.zeros((6, 5), "u1")), r"images are bytes in three axes"),
    "no columns": (idx(np.zeros((6, 5, 0), "u1")), r"images are bytes in three axes"),
    "other images": (idx(random_images(7)), r"train-images-idx3-ubyte has 7 samples, but .*train-labels.* has 6 labels"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_idx_file_is_one_clear_error(tmp_path, case):
    content, message = DAMAGED[case]
    with pytest.raises(ValueError, match=message) as caught:
        read_dataset(changed(mnist(tmp_path), IMAGES, content))
    assert "\n" not in str(caught.value) and IMAGES in str(caught.value)


def test_labels_that_are_none_are_refused(tmp_path):
    mnist(tmp_path)
    for values in (np.zeros((6, 1), "u1"), np.zeros(6, "f4")):
        with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: labels are one axis of whole numbers"):
            read_dataset(changed(tmp_path, "train-labels-idx1-ubyte", idx(values)))


def test_a_folder_must_have_one_file_of_each(tmp_path):
    mnist(tmp_path)
    changed(tmp_path, "emnist-train-images-idx3-ubyte", b"")
    with pytest.raises(
        ValueError, match="several files of train images: .*emnist-train-images.*; give a folder with one"
    ):
        read_dataset(tmp_path)
    (tmp_path / "emnist-train-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="there are test images, but no test labels"):
        read_dataset(tmp_path)
    for path in tmp_path.glob("train*"):
        path.unlink()
    (tmp_path / "t10k-images-idx3-ubyte").rename(tmp_path / "t10k-labels-idx1-ubyte")
    mnist(tmp_path)
    for path in tmp_path.glob("train*"):
        path.unlink()
    with pytest.raises(ValueError, match="there is no train-images-idx3-ubyte, gzipped or not"):
        read_dataset(tmp_path)


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read():
    data = read_dataset(FASHION)
    assert data.X.shape == (60000, 1, 28, 28) and data.X_test.shape == (10000, 1, 28, 28)
    assert np.bincount(data.y).tolist() == [6000] * 10 and data.y_test[:5].tolist() == [9, 2, 1, 1, 6]
    assert (data.X.min(), data.X.max()) == (0, 1)


# .npz -----------------------------------------------------------------------------------------------------------------


def test_an_npz_file_gives_its_arrays(tmp_path):
    y = np.array(["a", "b", "a"])
    np.savez_compressed(tmp_path / "d.npz", X=random_images(3), y=y)
    data = read_dataset(tmp_path / "d.npz")
    np.testing.assert_array_equal(data.X[:, 0], random_images(3).astype(np.float32) / 255)
    assert data.y.tolist() == ["a", "b", "a"] and data.X_test is None
    rows = np.random.default_rng(0).standard_normal((3, 7))
    np.savez(tmp_path / "d.npz", X=rows, y=rows, X_test=rows[:2], y_test=rows[:2])
    data = read_dataset(tmp_path / "d.npz")
    assert data.X.dtype == data.X_test.dtype == np.float32 and (rows.astype(np.float32) == data.X).all()
    np.savez(tmp_path / "d.npz", X=np.zeros((3, 24)), y=np.arange(3))
    assert read_dataset(tmp_path / "d.npz", (2, 3, 4)).X.shape == (3, 2, 3, 4)


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def npz_of(name: str, content: bytes, packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as inside:
        inside.writestr(name, content)
    return file.getvalue()


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


ONES, LABELS = np.ones((3, 2)), np.arange(3)
BAD_NPZ = {
    "empty": (b"", r"d.npz: not an .npz file that can be read"),
    "a text": (b"hello", r"d.npz: not an .npz file that can be read"),
    "cut": (npz(X=ONES, y=LABELS)[:-30], r"d.npz: not an .npz file that can be read"),
    "nothing in it": (npz(a=ONES), r"d.npz: there is no array X and no y; it must hold X and y"),
    "no labels": (npz(X=ONES), r"there is no array y"),
    "half a test": (npz(X=ONES, y=LABELS, X_test=ONES), r"there is no array y_test"),
    "few labels": (npz(X=ONES, y=LABELS[:2]), r"d.npz: X has 3 samples, but y has 2 labels"),
    "one label": (npz(X=ONES, y=np.int64(3)), r"X has 3 samples, but y has a single number, not labels"),
    "few test labels": (npz(X=ONES, y=LABELS, X_test=ONES, y_test=LABELS[:1]), r"X_test has 3 samples, but y_test has 1"),
    "objects": (npz(X=np.array([[{}]]), y=LABELS), r"not an .npz file that can be read: Object arrays cannot be loaded"),
    "words": (npz(X=np.array([["a"]]), y=LABELS[:1]), r"d.npz: X must be numbers of 2 to 4 axes"),
    "one axis": (npz(X=LABELS, y=LABELS), r"X must be numbers of 2 to 4 axes.*\(3,\)"),
    "no samples": (npz(X=ONES[:0], y=LABELS[:0]), r"X must be numbers of 2 to 4 axes, the samples first"),
    "no array": (npz_of("X.npy", b"hello"), r"not an .npz file that can be read"),
    "huge": (npz_of("X.npy", npy_header("(99999999, 99999999)")), r"X.npy says 99999999 x 99999999 of uint8, 9,999,"),
    "a negative size": (npz_of("X.npy", npy_header("(-3, 4)") + bytes(12)), r"not an .npz file that can be read|numbers of 2"),
    "a program": (npz_of("X.npy", npy_header("__import__('os').abort()")), r"not an .npz file that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_bad_npz_file_is_one_clear_error(tmp_path, case):
    content, message = BAD_NPZ[case]
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_dataset(tmp_path / "d.npz")
    assert "d.npz" in str(caught.value)


# Images ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("1", 1), ("RGBA", 3), ("P", 3), ("LA", 1)])
def test_images_are_planes_grey_if_they_are(tmp_path, mode, channels):
    data = read_dataset(pictures(tmp_path, {"b": 2, "a": 1}, mode=mode))
    assert data.X.shape == (3, channels, 5, 4) and data.y.tolist() == ["a", "b", "b"]
    with Image.open(tmp_path / "b" / "1.png") as image:
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"), np.float32) / 255
    np.testing.assert_array_equal(data.X[2], pixels.transpose(2, 0, 1) if channels == 3 else pixels[np.newaxis])


def test_train_and_test_folders_are_kept_apart(tmp_path):
    pictures(tmp_path / "train", {"a": 2, "b": 2})
    pictures(tmp_path / "test", {"b": 1})
    (tmp_path / "train" / "a" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "empty").mkdir()
    data = read_dataset(tmp_path)
    assert data.y.tolist() == ["a", "a", "b", "b"] and data.y_test.tolist() == ["b"]
    pictures(tmp_path / "test", {"c": 1})
    with pytest.raises(ValueError, match=r"test: .*train has no class c"):
        read_dataset(tmp_path)


def test_images_are_brought_to_the_planes_of_the_network(tmp_path):
    folder = pictures(tmp_path, {"a": 1}, size=(9, 6))
    pictures(tmp_path, {"b": 1}, size=(20, 30), mode="L")
    assert read_dataset(folder, (3, 5, 4)).X.shape == (2, 3, 5, 4)
    assert read_dataset(folder, (1, 8, 8)).X.shape == (2, 1, 8, 8)
    with pytest.raises(
        ValueError, match=r"b/0.png: an image of 30 x 20, .*a/0.png is one of 6 x 9; a network of planes"
    ):
        read_dataset(folder)
    with pytest.raises(ValueError, match=r"an image has 1 or 3 channels; the network takes 2"):
        read_dataset(folder, (2, 8, 8))


def test_a_row_is_of_grey_or_coloured_pixels_as_its_length_says(tmp_path):
    folder = pictures(tmp_path, {"a": 2})
    assert read_dataset(folder, (20,)).X.shape == (2, 20)
    assert read_dataset(folder, (60,)).X.shape == (2, 60)
    with pytest.raises(ValueError, match="samples of 3 x 5 x 4 values; the network takes 30"):
        read_dataset(folder, (30,))


def png_that_says(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_a_damaged_image_is_one_clear_error(tmp_path):
    pictures(tmp_path, {"a": 2}, size=(50, 50))
    path = tmp_path / "a" / "0.png"
    whole = path.read_bytes()
    cases = {
        "empty": b"", "text": b"hello", "cut": whole[: len(whole) // 2], "header": whole[:40],
        "huge": png_that_says(60000, 60000), "no pixels": png_that_says(50, 50),
    }  # fmt: skip
    for name, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a/0.png: not an image that can be read: .") as caught:
            raise AssertionError(f"{name}: {read_dataset(tmp_path).X.shape}")
        assert "\n" not in str(caught.value)
    Image.fromarray(np.full((5, 5), 40000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"its values are of mode I;16; those of 8 bits are read"):
        read_images([path])


def test_images_stand_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    image = Image.fromarray(random_images(1, 8, 4)[0])
    image.save(tmp_path / "a.png", exif=turned)
    upright = np.rot90(np.asarray(image), -1).astype(np.float32) / 255
    np.testing.assert_array_equal(read_images([tmp_path / "a.png"])[0, 0], upright)


# Where there is nothing -----------------------------------------------------------------------------------------------


def test_what_is_no_data_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "sub").mkdir()
    for source, message in (
        (tmp_path / "nothing", r"nothing: there is no such file or folder, and no data known by that name but digits"),
        (tmp_path / "notes.txt", r"notes.txt: give a folder, an .npz file or the name digits"),
        (tmp_path, r"neither IDX files \(train-images-idx3-ubyte, ...\) nor class folders with images are in it"),
        (tmp_path / "sub", r"neither IDX files"),
    ):
        with pytest.raises(ValueError, match=message):
            read_dataset(source)


def test_digits_go_by_name_and_a_third_of_them_is_held_out():
    data = read_dataset("digits")
    assert data.X.shape == (1198, 1, 8, 8) and data.X_test.shape == (599, 1, 8, 8) and data.X.max() == 1
    again, other = read_dataset("digits", (64,)), read_dataset("digits", (64,), seed=1)
    assert (data.X.reshape(-1, 64) == again.X).all() and (again.y_test == data.y_test).all()
    assert not (other.y_test == data.y_test).all()


@pytest.mark.parametrize(
    ("missing", "read", "message"),
    [
        ("PIL", "read_images(['a.png'])", "a.png: to read images needs Pillow: pip install 'backderive[images]'"),
        ("sklearn", "read_dataset('digits')", "the data digits needs scikit-learn: pip install 'backderive[demo]'"),
    ],
)
def test_what_is_not_installed_is_named(missing, read, message):
    script = f"import sys; sys.modules[{missing!r}] = None; from derive.training.datasets import *; {read}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1].startswith("ValueError: " + message)


# Any bytes ------------------------------------------------------------------------------------------------------------

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MEMORY = 40_000_000  # bytes, more than any of these files needs


def refused_or_read(read, path: Path, content: bytes, names: str) -> None:
    """Either an array, or one error that names the file: soon, and in little memory."""
    path.write_bytes(content)
    began = time.perf_counter()
    tracemalloc.start()
    try:
        read(path)
    except ValueError as error:
        assert names in str(error) and "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY and time.perf_counter() - began < 5


def mutilated(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file cut short, with bytes changed, or of random bytes after a beginning that is right."""
    cut = st.integers(0, len(whole)).map(lambda end: whole[:end])
    places = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=4)

    def replaced(changes: list[tuple[int, int]]) -> bytes:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        return bytes(content)

    begun = st.tuples(st.integers(0, 20), st.binary(max_size=60)).map(lambda two: whole[: two[0]] + two[1])
    return st.one_of(cut, places.map(replaced), begun)


@QUICK
@given(mutilated(idx(random_images(6))))
def test_any_bytes_as_idx_are_read_or_refused(tmp_path, content):
    refused_or_read(read_idx, tmp_path / "file", content, "file")


@QUICK
@given(mutilated(gzip.compress(idx(random_images(6)))))
def test_any_bytes_as_gzipped_idx_are_read_or_refused(tmp_path, content):
    refused_or_read(read_idx, tmp_path / "file", content, "file")


@QUICK
@given(mutilated(idx(random_images(6))).map(gzip.compress))
def test_any_gzipped_bytes_are_read_or_refused(tmp_path, content):
    refused_or_read(read_idx, tmp_path / "file", content, "file")


@QUICK
@given(mutilated(npz(X=ONES, y=LABELS)))
@example(bytes(b if n != 557 else 2 for n, b in enumerate(npz(X=ONES, y=LABELS))))  # begins before the file does
def test_any_bytes_as_npz_are_read_or_refused(tmp_path, content):
    refused_or_read(read_dataset, tmp_path / "file.npz", content, "file.npz")


@QUICK
@given(st.text("()[]-, 0123456789e'", max_size=20))
def test_any_sizes_in_an_npz_are_read_or_refused(tmp_path, shape):
    content = npz_of("X.npy", npy_header(shape) + bytes(24))
    refused_or_read(lambda path: read_npz(path, ["X"]), tmp_path / "file.npz", content, "file.npz")


@QUICK
@given(st.data())
def test_any_bytes_as_an_image_are_read_or_refused(tmp_path, data):
    file = io.BytesIO()
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP"]))
    Image.fromarray(random_images(1, 30, 20)[0]).save(file, kind)
    content = data.draw(mutilated(file.getvalue()))
    refused_or_read(lambda path: read_images([path], (3, 8, 8)), tmp_path / "file.png", content, "file.png")


def test_a_file_that_unpacks_to_much_more_is_not_unpacked(tmp_path):
    """200 kB that would be 200 MB."""
    bomb = gzip.compress(idx(np.zeros((1, 2, 3), np.uint8)) + bytes(200_000_000))
    refused_or_read(read_idx, tmp_path / "file", bomb, "file")
    huge = struct.pack(">BBBBI", 0, 0, 8, 1, 2**31) + bytes(1000)
    refused_or_read(read_idx, tmp_path / "file", gzip.compress(huge), "file")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused_or_read(read_npz_x, tmp_path / "file.npz", npz_of("X.npy", npy_header("(10**9,)")), "file.npz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def read_npz_x(path: Path):
    return read_npz(path, ["X"])


def test_a_file_that_cannot_be_opened_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        read_images([tmp_path / "nothing.png"])
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "nothing.npz", ["X"])
    assert not os.listdir(tmp_path)
