"""Data to learn from: IDX files, a folder of class folders of images, an ``.npz`` file, or the name ``digits``.

    from derive.training.datasets import read_dataset

    data = read_dataset("/usr/share/datasets/fashion-mnist")
    network.fit(data.X, data.y, validation_data=(data.X_test, data.y_test))

Images are planes, (samples, channels, height, width), float32 from 0 to 1. A file is held against its own header before
memory is taken for it: what does not agree, or was cut short, is one ValueError that names the file and the sizes.
"""

import gzip
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

Shape = tuple[int, ...]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX_NAME = re.compile(r"(.*)(train|t10k|test)-(images|labels)[-.]idx[0-9]-ubyte(\.gz)?")
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
TEST_FOLDERS = ("test", "val", "valid", "validation")
DEFLATE = 1032  # no byte of a compressed file gives more bytes than this
PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Dataset:
    """Samples (N, ...) and their targets (N, ...): those to learn from, and those held out, where there are any."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None


def read_dataset(source: str | Path, shape: Shape | None = None, seed: int = 0) -> Dataset:
    """The data of a folder, a file or a name.

    source: ``digits``; an ``.npz`` file; a folder of IDX files, or of class folders of images.
    shape: of the samples that the network takes. Images of folders are brought to it; all others must have as many values.
    seed: decides which third of ``digits`` is held out.

    Raises ValueError, naming the file and what is wrong with it, for what cannot be read; OSError for what is not there.
    """
    if str(source) == "digits":
        data = _digits(seed)
    else:
        path = Path(source)
        if path.is_dir():
            roles = _idx_roles(path)
            data = _idx_dataset(path, roles) if roles else _image_folder(path, shape)
        elif path.suffix == ".npz":
            data = _npz_dataset(path)
        elif path.exists():
            raise ValueError(f"{path}: give a folder, an .npz file or the name digits")
        else:
            raise ValueError(f"{path}: there is no such file or folder, and no data known by that name but digits")
    if shape is None:
        return data
    held = None if data.X_test is None else shaped(data.X_test, shape, f"{source}: the test samples")
    return Dataset(data.name, shaped(data.X, shape, str(source)), data.y, held, data.y_test)


def shaped(X: np.ndarray, shape: Shape, name: str) -> np.ndarray:
    """Samples of that shape: as they are, a plane as one row, or a row as planes. Raises ValueError if sizes differ."""
    if X.shape[1:] == shape:
        return X
    if math.prod(X.shape[1:]) != math.prod(shape) or min(X.ndim - 1, len(shape)) != 1:
        raise ValueError(f"{name}: samples of {_sizes(X.shape[1:])} values; the network takes {_sizes(shape)}")
    return X.reshape(len(X), *shape)


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def scaled(values: np.ndarray) -> np.ndarray:
    """float32: bytes from 0 to 1, any other numbers as they are."""
    if values.dtype != np.uint8:
        return np.asarray(values, np.float32)
    found = values.astype(np.float32)
    found /= 255
    return found


def _paired(X: np.ndarray, y: np.ndarray, images: str, labels: str) -> None:
    """Raises ValueError if there are not as many labels as samples, or none at all."""
    if y.ndim == 0 or len(X) != len(y):
        count = len(y) if y.ndim else "a single number, not"
        raise ValueError(f"{images} has {len(X)} samples, but {labels} has {count} labels")
    if not len(X):
        raise ValueError(f"{images} has no samples")


def _digits(seed: int) -> Dataset:
    """scikit-learn's 1,797 digits of 8 x 8; a third of them held out."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ValueError("the data digits needs scikit-learn: pip install 'backderive[demo]'") from error
    digits = load_digits()
    planes = np.asarray(digits.images[:, np.newaxis] / 16, np.float32, order="C")
    X, X_test, y, y_test = train_test_split(planes, digits.target, test_size=1 / 3, random_state=seed)
    return Dataset("digits", X, y, X_test, y_test)


# IDX ------------------------------------------------------------------------------------------------------------------


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file, gzipped or not (LeCun's format of MNIST), in the file's own type.

    Raises ValueError if the file is not one, or holds more or fewer values than it says; OSError if it cannot be read.
    """
    path = Path(path)
    length = path.stat().st_size
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _read_idx(gzip.GzipFile(fileobj=raw) if zipped else raw, path, length, zipped)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: the gzip file of {length:,} bytes is cut short or damaged: {error}") from error


def _read_idx(file: IO[bytes] | gzip.GzipFile, path: Path, length: int, zipped: bool) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not magic[3]:
        raise ValueError(f"{path}: not an IDX file: its first bytes are {magic.hex(' ') or 'missing'}, not 00 00 08 03")
    axes = magic[3]
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        raise ValueError(f"{path}: cut short: its header says {axes} axes, but ends after {len(header)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    dtype = np.dtype(IDX_TYPES[magic[2]])
    wanted = math.prod(shape) * dtype.itemsize
    said = f"its header says {_sizes(shape)} values, {wanted:,} bytes"
    most = length * DEFLATE if zipped else length - 4 - len(header)
    if wanted > most:
        raise ValueError(f"{path}: cut short: {said}; a file of {length:,} bytes has no more than {most:,}")
    content = bytearray()
    while piece := file.read(min(PIECE, wanted + 1 - len(content))):
        content += piece
    if len(content) != wanted:
        found = f"only {len(content):,} follow" if len(content) < wanted else "more follow"
        raise ValueError(f"{path}: {said}; {found}")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def _idx_roles(folder: Path) -> dict[tuple[str, str], Path]:
    """The IDX files of a folder by ("train" or "test", "images" or "labels").

    Raises ValueError if two files may be meant, or one is missing.
    """
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # of a file and its .gz, the file itself comes last and stays
        if match := IDX_NAME.fullmatch(path.name):
            before, part, what, _ = match.groups()
            found.setdefault(("train" if part == "train" else "test", what), {})[before + part] = path
    for (part, what), paths in found.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths.values())
            raise ValueError(f"{folder}: several files of {part} {what}: {names}; give a folder with one of each")
        other = "labels" if what == "images" else "images"
        if (part, other) not in found:
            raise ValueError(f"{folder}: there are {part} {what}, but no {part} {other}")
    if found and ("train", "images") not in found:
        raise ValueError(f"{folder}: there is no train-images-idx3-ubyte, gzipped or not")
    return {role: next(iter(paths.values())) for role, paths in found.items()}


def _idx_dataset(folder: Path, roles: dict[tuple[str, str], Path]) -> Dataset:
    X, y = _idx_part(roles["train", "images"], roles["train", "labels"])
    if ("test", "images") not in roles:
        return Dataset(str(folder), X, y)
    return Dataset(str(folder), X, y, *_idx_part(roles["test", "images"], roles["test", "labels"]))


def _idx_part(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    X, y = read_idx_images(images), read_idx(labels)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{labels}: labels are one axis of whole numbers; it has {y.ndim} axes of {y.dtype}")
    _paired(X, y, str(images), str(labels))
    return X, y


def read_idx_images(path: Path) -> np.ndarray:
    """Images (N, channels, height, width) of an IDX file, from 0 to 1; errors as :func:`read_idx`."""
    values = read_idx(path)
    if values.dtype != np.uint8 or values.ndim not in (3, 4) or 0 in values.shape[1:]:
        raise ValueError(
            f"{path}: images are bytes in three axes (samples, rows, columns) or four; "
            f"it has {_sizes(values.shape)} of {values.dtype}"
        )
    return scaled(values[:, np.newaxis] if values.ndim == 3 else values)


# .npz -----------------------------------------------------------------------------------------------------------------


def read_npz(path: str | Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an ``.npz`` file has. Raises ValueError if it is damaged or holds Python objects."""
    path = Path(path)
    length = path.stat().st_size
    found = {}
    with path.open("rb") as opened:
        try:
            with zipfile.ZipFile(opened) as file:
                inside = {entry.filename.removesuffix(".npy"): entry for entry in file.infolist()}
                for name in names:
                    if name in inside:
                        found[name] = _read_npy(file, inside[name], length)
        except (
            Exception
        ) as error:  # what a damaged file may raise has no end: zip, zlib, NumPy, seeking before its begin
            raise ValueError(f"{path}: not an .npz file that can be read: {error}") from error
    return found


def _read_npy(file: zipfile.ZipFile, entry: zipfile.ZipInfo, length: int) -> np.ndarray:
    """One array. Its sizes are held against the file's before memory is taken for it."""
    with file.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{entry.filename} is of format {version}; 1.0 and 2.0 are read")
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(member)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > entry.file_size or entry.file_size > length * DEFLATE:
        raise ValueError(
            f"{entry.filename} says {_sizes(shape)} of {dtype}, {wanted:,} bytes; "
            f"it has {entry.file_size:,}, the file {length:,}"
        )
    with file.open(entry) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def as_planes(X: np.ndarray, name: str) -> np.ndarray:
    """Samples as the networks take them: scaled, and (N, height, width) as planes of one channel.

    Raises ValueError for anything but numbers, one row or more axes a sample.
    """
    if X.dtype.kind not in "biuf" or not 2 <= X.ndim <= 4 or not X.size:
        raise ValueError(f"{name} must be numbers of 2 to 4 axes, the samples first; it is {X.dtype} of {X.shape}")
    return scaled(X[:, np.newaxis] if X.ndim == 3 else X)


def _npz_dataset(path: Path) -> Dataset:
    arrays = read_npz(path, ("X", "y", "X_test", "y_test"))
    missing = [name for name in ("X", "y") if name not in arrays]
    if "X_test" in arrays or "y_test" in arrays:
        missing += [name for name in ("X_test", "y_test") if name not in arrays]
    if missing:
        raise ValueError(
            f"{path}: there is no array {' and no '.join(missing)}; it must hold X and y, may X_test, y_test"
        )
    parts: list[Any] = []
    for x, y in (("X", "y"), ("X_test", "y_test")):
        if x in arrays:
            parts += [as_planes(arrays[x], f"{path}: {x}"), arrays[y]]
            _paired(parts[-2], parts[-1], f"{path}: {x}", y)
    return Dataset(str(path), *parts)


# Images ---------------------------------------------------------------------------------------------------------------


def _image_folder(folder: Path, shape: Shape | None) -> Dataset:
    """FOLDER/CLASS/image, or FOLDER/train/CLASS/image and FOLDER/test/CLASS/image; classes are the folders' names."""
    train = folder / "train"
    if not train.is_dir():
        return Dataset(str(folder), *_class_folders(folder, shape))
    X, y = _class_folders(train, shape)
    for name in TEST_FOLDERS:
        if (folder / name).is_dir():
            X_test, y_test = _class_folders(folder / name, shape)
            strange = sorted(set(y_test) - set(y))
            if strange:
                raise ValueError(f"{folder / name}: {train} has no class {', '.join(strange)}")
            return Dataset(str(folder), X, y, X_test, y_test)
    return Dataset(str(folder), X, y)


def image_files(folder: Path) -> list[Path]:
    """The images that lie in a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith("."))


def _class_folders(folder: Path, shape: Shape | None) -> tuple[np.ndarray, np.ndarray]:
    files = {sub.name: image_files(sub) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    files = {name: found for name, found in files.items() if found}
    if not files:
        raise ValueError(
            f"{folder}: neither IDX files (train-images-idx3-ubyte, ...) nor class folders with images are in it"
        )
    paths = [path for found in files.values() for path in found]
    labels = np.repeat(list(files), [len(found) for found in files.values()])
    return read_images(paths, shape), labels


def read_images(paths: Sequence[str | Path], shape: Shape | None = None) -> np.ndarray:
    """Images as planes (N, channels, height, width) from 0 to 1.

    shape: (channels, height, width) that each is brought to, channels 1 (grey) or 3; or the number of values of a row.
        Without the first, all must have the size of the first image, and are grey if it is.

    Raises ValueError, naming the file, for one that cannot be read or does not fit.
    """
    planes = shape if shape and len(shape) == 3 else None
    if planes and planes[0] not in (1, 3):
        raise ValueError(f"{paths[0]}: an image has 1 or 3 channels; the network takes {planes[0]}")
    first = open_image(paths[0])
    if planes:
        channels, height, width = planes
    else:
        height, width, values = first.height, first.width, math.prod(shape or ())
        grey = values == height * width or (values != 3 * height * width and first.mode in ("1", "L", "LA"))
        channels = 1 if grey else 3
    found = np.empty((len(paths), channels, height, width), np.float32)
    for number, path in enumerate(paths):
        image = open_image(path) if number else first
        if planes is None and (image.height, image.width) != (height, width):
            raise ValueError(
                f"{path}: an image of {image.height} x {image.width}, {paths[0]} is one of {height} x {width}; "
                "a network of planes (height, width and channels in its [net]) brings all to its own size"
            )
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), resample=2)  # bilinear
        pixels = scaled(np.asarray(image, np.uint8))
        found[number] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return found


def open_image(path: str | Path, most: int | None = None) -> Any:
    """A Pillow image, whole and upright.

    most: pixels that it may have, instead of as many as Pillow warns of. Raises ValueError if it cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ValueError(f"{path}: to read images needs Pillow: pip install 'backderive[images]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file that says it is a large image
            with Image.open(path) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(f"its values are of mode {opened.mode}; those of 8 bits are read")
                if most is not None and opened.width * opened.height > most:
                    raise ValueError(f"it says {opened.width} x {opened.height} pixels; at most {most:,} are read")
                return ImageOps.exif_transpose(opened)  # reads all of it
    except FileNotFoundError:
        raise
    except Exception as error:  # what a damaged image may raise has no end
        raise ValueError(f"{path}: not an image that can be read: {' '.join(str(error).split())}") from error
