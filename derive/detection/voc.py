"""Pascal VOC's folders (Everingham et al. 2010): an XML file a picture, and lists of which are for what.

``JPEGImages/NAME.jpg``, ``Annotations/NAME.xml``, ``ImageSets/Main/{train,val,trainval,test}.txt``. XML is read as a stream
of elements by defusedxml: no entity is expanded, no document type is accepted, nothing else is opened.
"""

import io
import xml.sax
import xml.sax.handler
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    read_bytes,
    read_lines,
    shortened,
)
from derive.training.datasets import IMAGES

SIDES = ("xmin", "ymin", "xmax", "ymax")
OBJECT, BOX = "annotation/object", "annotation/object/bndbox"
TEXTS = {  # elements whose text is read, and what of each there must be but one
    **{f"annotation/size/{name}": name for name in ("width", "height")},
    **{f"{OBJECT}/{name}": name for name in ("name", "difficult")},
    **{f"{BOX}/{name}": name for name in SIDES},
}
DEPTH = 100  # of elements within elements


@dataclass
class Thing:
    """An object as its file has it: texts by name, each with its line."""

    line: int
    texts: dict[str, tuple[str, int]] = field(default_factory=dict)


class _Reader(xml.sax.handler.ContentHandler):
    """Collects the objects of an annotation; raises ValueError with the line for what cannot be one."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.open: list[str] = []  # elements, from the outermost to the present one
        self.text: list[str] = []
        self.size: dict[str, tuple[str, int]] = {}
        self.things: list[Thing] = []

    @property
    def line(self) -> int:
        return self._locator.getLineNumber() or 0  # type: ignore[attr-defined]

    def startElement(self, name, attrs) -> None:
        self.open.append(name)
        if self.open[0] != "annotation":
            raise ValueError(
                f"{self.path}:{self.line}: the outermost element must be annotation, not {shortened(name)}"
            )
        if len(self.open) > DEPTH:
            raise ValueError(f"{self.path}:{self.line}: more than {DEPTH} elements within each other")
        if "/".join(self.open) == OBJECT:
            self.things.append(Thing(self.line))
        self.text = []

    def characters(self, content) -> None:
        self.text.append(content)

    def endElement(self, name) -> None:
        path = "/".join(self.open)
        if path in TEXTS:
            texts = self.things[-1].texts if path.startswith(OBJECT) else self.size
            if TEXTS[path] in texts:
                raise ValueError(f"{self.path}:{self.line}: a second {name} of the same {self.open[-2]}")
            texts[TEXTS[path]] = " ".join("".join(self.text).split()), self.line
        self.open.pop()
        self.text = []


@dataclass(frozen=True)
class Annotation:
    """What an XML file says: the picture's size, and of each object its name, its box and whether it is difficult."""

    size: tuple[int, int]
    names: list[str]
    lines: list[int]
    boxes: list[tuple[float, ...]]
    difficult: list[bool]


def read_annotation(path: Path, reader: BoxReader) -> Annotation:
    """An XML file of Pascal VOC's form.

    Its pixels are counted from 1, and a box goes from the first to the last pixel that it has. Raises ValueError, with file
    and line, for what is not so.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.sax import parse
    except ImportError as error:
        raise ValueError(f"{path}: to read XML needs defusedxml: pip install 'backderive[images]'") from error
    content = _Reader(path)
    try:
        parse(io.BytesIO(read_bytes(path, ANNOTATION_BYTES)), content, forbid_dtd=True)
    except xml.sax.SAXParseException as error:
        raise ValueError(f"{path}:{error.getLineNumber()}: not XML: {error.getMessage()}") from error
    except DefusedXmlException as error:
        raise ValueError(f"{path}:{content.line}: a document type or entities, which are not read: {error}") from error
    except (LookupError, xml.sax.SAXException) as error:  # an encoding that is not known
        raise ValueError(f"{path}: not XML that can be read: {error}") from error
    columns, rows = (_count(path, content.size, name) for name in ("width", "height"))
    found = Annotation((columns, rows), [], [], [], [])
    for thing in content.things:
        where = f"{path}:{thing.line}"
        for name in ("name", *SIDES):
            if not thing.texts.get(name, ("", 0))[0]:
                raise ValueError(f"{where}: this object has no {name if name == 'name' else f'bndbox with {name}'}")
        left, top, right, bottom = (
            number(text, name, f"{path}:{line}") for name in SIDES for text, line in [thing.texts[name]]
        )
        difficult, line = thing.texts.get("difficult", ("0", 0))
        if difficult not in ("", "0", "1"):
            raise ValueError(f"{path}:{line}: difficult must be 0 or 1, not {shortened(difficult)}")
        box = reader.box((left - 1) / columns, (top - 1) / rows, right / columns, bottom / rows, where)
        found.names.append(thing.texts["name"][0])
        found.lines.append(thing.texts["name"][1])
        found.boxes.append(box)
        found.difficult.append(difficult == "1")
    return found


def _count(path: Path, texts: dict[str, tuple[str, int]], name: str) -> int:
    text, line = texts.get(name, ("", 0))
    if not text:
        raise ValueError(f"{path}: there is no size with {name}")
    value = number(text, name, f"{path}:{line}")
    if value != int(value) or not 1 <= value <= 1e6:
        raise ValueError(f"{path}:{line}: {name} must be a whole number of pixels, not {shortened(text)}")
    return int(value)


def read_voc(folder: Path, classes: Sequence[str] | None = None) -> Truths:
    """The truths of a folder: learned from is ``trainval``, held out ``test``; without that, ``train`` and ``val``.

    classes: the names in the order of their numbers, else all that occur, sorted. Raises ValueError for what does not fit.
    """
    lists = {name: folder / "ImageSets" / "Main" / f"{name}.txt" for name in ("train", "val", "trainval", "test")}
    there = [name for name, path in lists.items() if path.is_file()]
    train = "trainval" if "trainval" in there and ("test" in there or "train" not in there) else "train"
    held_out = "test" if "test" in there else "val"
    if train not in there and held_out not in there:
        raise ValueError(
            f"{folder}: there is no ImageSets/Main/trainval.txt, train.txt or test.txt: no Pascal VOC folder"
        )
    parts: list[list[tuple[Path, Path, Annotation]]] = []
    reader = BoxReader()
    for name in (train, held_out):
        part = []
        if name in there and not (name == "val" and train == "trainval"):  # val is within trainval
            for where, line in read_lines(lists[name], LIST_BYTES):
                picture = _picture(folder, line, where)
                file = folder / "Annotations" / f"{line}.xml"
                part.append((picture, file, read_annotation(file, reader)))
        parts.append(part)
    if classes is None:
        classes = sorted({name for part in parts for *_, one in part for name in one.names})
    places = {name: place for place, name in enumerate(classes)}
    found = [[_labelled(*entry, places) for entry in part] for part in parts]
    return Truths(str(folder), tuple(classes), found[0], found[1], reader.warnings())


def _picture(folder: Path, name: str, where: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"{where}: {shortened(name)} is not the name of a picture in JPEGImages, without its ending")
    for ending in (".jpg", *sorted(IMAGES), ".JPG", ".JPEG", ".PNG"):
        if (path := folder / "JPEGImages" / f"{name}{ending}").is_file():
            return path
    raise ValueError(f"{where}: there is no picture {folder / 'JPEGImages' / name}.jpg")


def _labelled(picture: Path, file: Path, annotation: Annotation, places: dict[str, int]) -> Labelled:
    rows = []
    for name, line, box in zip(annotation.names, annotation.lines, annotation.boxes, strict=True):
        if name not in places:
            raise ValueError(f"{file}:{line}: there is no class {shortened(name)}; the classes are {', '.join(places)}")
        rows.append((places[name], *box))
    return Labelled(picture, boxes_array(rows, file), np.array(annotation.difficult, bool), annotation.size)
