"""Darknet's ``.data`` files: lists of pictures, and beside each picture a file of labels (src/data.c, src/option_list.c).

    classes = 20
    train = data/voc/train.txt
    valid = data/voc/test.txt
    names = data/voc.names

A list has the path of a picture on each line; its labels are in the file that :func:`label_file` says, a line
``class x y w h`` for each box, centre and size in shares of the picture. A relative path starts from the current folder, as
in Darknet; what is not there is looked for from the folder of the ``.data`` file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from derive.detection.labelled import (
    ANNOTATION_BYTES,
    LIST_BYTES,
    BoxReader,
    Labelled,
    Truths,
    boxes_array,
    number,
    read_lines,
    read_names,
    shortened,
)

READ = ("classes", "train", "valid", "names")
UNUSED = ("backup", "results", "eval", "top", "map", "labels", "difficult", "test")  # that Darknet knows
MOST_CLASSES = 100_000
FOLDERS = (("images", "labels"), ("JPEGImages", "labels"), ("raw", "labels"))


def read_data_file(path: Path, classes: Sequence[str] | None = None) -> Truths:
    """The truths of a ``.data`` file: ``train`` is learned from, ``valid`` held out; each may be missing.

    classes: the names, which must be those of the file's ``names`` where it says any; without either, they are ``0``, ``1``
    and so on. Raises ValueError for what does not fit.
    """
    said, warnings = _options(path)
    if "classes" not in said:
        raise ValueError(f"{path}: it does not say how many classes there are: classes = 20")
    where, text = said["classes"]
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST_CLASSES):
        raise ValueError(f"{where}: classes must be a whole number from 1 to {MOST_CLASSES:,}, not {shortened(text)}")
    names = _class_names(path, said, int(text), where, classes)
    if not {"train", "valid"} & said.keys():
        raise ValueError(f"{path}: it names no list of pictures: train = train.txt, valid = test.txt")
    reader = BoxReader()
    parts = []
    for key in ("train", "valid"):
        part = []
        if key in said:
            base = _base(said[key][1], path.parent, said[key][0])
            for where, line in read_lines(base / said[key][1], LIST_BYTES):
                part.append(_labelled(line, path.parent, where, names, reader))
        parts.append(part)
    return Truths(str(path), names, parts[0], parts[1], warnings + reader.warnings())


def _options(path: Path) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The keys that are read, each with its line and its value; and warnings of those that nobody knows."""
    said: dict[str, tuple[str, str]] = {}
    warnings = []
    for where, line in read_lines(path, ANNOTATION_BYTES):
        if line[0] in "#;":
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or not value:
            raise ValueError(f"{where}: {shortened(line)} is not key = value")
        if key in said:
            raise ValueError(f"{where}: a second {key}")
        if key in READ:
            said[key] = where, value
        elif key not in UNUSED:
            warnings.append(f"{where}: {shortened(key)} is not used")
    return said, warnings


def _class_names(
    path: Path, said: dict[str, tuple[str, str]], count: int, where: str, given: Sequence[str] | None
) -> tuple[str, ...]:
    names = None
    if "names" in said:
        file = _base(said["names"][1], path.parent, said["names"][0]) / said["names"][1]
        names = read_names(file)
        if len(names) != count:
            raise ValueError(f"{where}: classes = {count}, but {file} has {len(names)} names")
    if given is None:
        return names or tuple(map(str, range(count)))
    given = tuple(given)
    if len(given) != count or (names and names != given):
        told = f"{count}" if names is None else ", ".join(names)
        raise ValueError(f"{where}: the classes must be those of the network, {', '.join(given)}; they are {told}")
    return given


def _base(name: str, folder: Path, where: str) -> Path:
    """The folder that a file is found from: the current one, or else that one."""
    for base in (Path(), folder):
        try:
            if (base / name).is_file():
                return base
        except OSError:  # a name longer than any
            break
    raise ValueError(f"{where}: there is no file {shortened(name)}, neither from the current folder nor from {folder}")


def label_file(picture: str) -> str:
    """The file of a picture's labels, as Darknet has it (src/data.c): ``images`` becomes ``labels``, ``.jpg`` ``.txt``."""
    for old, new in FOLDERS:
        picture = picture.replace(old, new, 1)
    return str(Path(picture).with_suffix(".txt"))


def _label_files(picture: str) -> list[str]:
    """Where labels may be: as Darknet has it, with the last folder ``images`` alone replaced, and beside the picture."""
    parts = list(Path(picture).parts)
    last = max((n for n, part in enumerate(parts[:-1]) if part in ("images", "JPEGImages")), default=None)
    if last is not None:
        parts[last] = "labels"
    return [label_file(picture), str(Path(*parts).with_suffix(".txt")), str(Path(picture).with_suffix(".txt"))]


def _labelled(line: str, folder: Path, where: str, names: Sequence[str], reader: BoxReader) -> Labelled:
    base = _base(line, folder, where)
    if not Path(line).suffix:
        raise ValueError(f"{where}: {shortened(line)} is not the name of a picture: it has no ending such as .jpg")
    for name in _label_files(line):
        if (base / name).is_file():
            boxes = read_labels(base / name, names, reader)
            return Labelled(base / line, boxes, np.zeros(len(boxes), bool))
    raise ValueError(
        f"{where}: the picture has no labels: there is no {base / label_file(line)}; an empty file says none"
    )


def read_labels(path: Path, names: Sequence[str], reader: BoxReader) -> np.ndarray:
    """The boxes (T, 5) of a label file. Raises ValueError, with file and line, for what is not ``class x y w h``."""
    rows: list[tuple[float, ...]] = []
    for where, line in read_lines(path, ANNOTATION_BYTES):
        texts = line.split()
        if len(texts) != 5:
            raise ValueError(f"{where}: a box is class x y w h, five numbers; there are {len(texts)}")
        if not (texts[0].isascii() and texts[0].isdecimal() and len(texts[0]) < 9):
            raise ValueError(f"{where}: the class must be a whole number, not {shortened(texts[0])}")
        if int(texts[0]) >= len(names):
            raise ValueError(
                f"{where}: there is no class {texts[0]}; there are {len(names)}, from 0 to {len(names) - 1}"
            )
        x, y, w, h = (number(text, name, where) for name, text in zip("xywh", texts[1:], strict=True))
        rows.append((int(texts[0]), *reader.box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, where)))
    return boxes_array(rows, path)
