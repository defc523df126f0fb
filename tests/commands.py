"""Commands run within the tests, and what they leave."""

import json
from pathlib import Path

import numpy as np

from derive.cli import main


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command; anything but an exit code is a failure."""
    try:
        code = main(list(map(str, arguments)))
    except SystemExit as left:
        code = left.code
    return code, *capsys.readouterr()


def stored(path: str | Path) -> dict:
    """All that a network's file holds, but the seconds that its epochs took."""
    with np.load(path) as file:
        found = {name: (file[name].dtype, file[name].shape, file[name].tobytes()) for name in file if name != "about"}
        about = json.loads(str(file["about"]))
    about["history"].pop("seconds", None)
    return {**found, "about": about}
