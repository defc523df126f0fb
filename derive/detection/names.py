"""The names of the classes that a detector tells apart: a file of them, a line each, as Darknet's ``coco.names``."""

from collections.abc import Sequence
from pathlib import Path

from derive.detection.labelled import read_names
from generated import Network

NAMES = "classes.names"  # what `derive train` leaves beside the network


def classes_of(network: Network) -> int:
    """How many classes a detector tells apart."""
    return next(sizes[0] for name, sizes, settings in network.layers if "anchors" in settings)


def class_names(network: Network, given: Path | None, beside: Sequence[Path]) -> tuple[str, ...]:
    """The names in the order of the classes' numbers.

    They are in the file ``given``; else in the one ``.names`` file that lies in the folder of any of ``beside``, tried in turn,
    and has as many as the network; else they are the numbers. Raises ValueError if the given file has not as many.
    """
    count = classes_of(network)
    if given is not None:
        names = read_names(given)
        if len(names) != count:
            raise ValueError(f"{given}: {len(names)} names; the network tells {count} classes apart")
        return names
    for path in beside:
        folder = path if path.is_dir() else path.parent
        fitting = [names for file in sorted(folder.glob("*.names")) if len(names := read_names(file)) == count]
        if len(fitting) == 1:
            return fitting[0]
    return tuple(map(str, range(count)))
