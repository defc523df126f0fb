"""Pictures and what is in them: Pascal VOC's folders, and Darknet's ``.data`` files with their label files.

from derive.detection.truths import read_truths

truths = read_truths("VOC2007")
truths.classes, truths.train[0].path, truths.train[0].boxes
"""

from collections.abc import Sequence
from pathlib import Path

from derive.detection.label_files import read_data_file
from derive.detection.labelled import Truths
from derive.detection.voc import read_voc


def read_truths(source: str | Path, classes: Sequence[str] | None = None) -> Truths:
    """The truths of a folder as Pascal VOC's, or of a ``.data`` file as Darknet's.

    classes: the names in the order of their numbers; else those that the data's file of names says, or for a VOC folder all
    that occur, sorted. Raises ValueError for what cannot be read or does not fit, OSError for what is not there.
    """
    path = Path(source)
    if path.is_dir():
        return read_voc(path, classes)
    if path.suffix == ".data":
        return read_data_file(path, classes)
    what = "neither" if path.exists() else "not there; give"
    raise ValueError(
        f"{path}: {what} a Pascal VOC folder (Annotations, ImageSets, JPEGImages) or a .data file as Darknet's"
    )
