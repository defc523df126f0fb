"""The grammar of ``.cfg`` files: sections in brackets, ``key=value`` lines, and what the value of a key may be.

Keys and values are checked here, section by section; what they mean is stated in ``sections``. A file is Darknet's
(pjreddie/darknet, ``src/option_list.c``), but numbers are read strictly: ``output=ten`` is an error, not 0.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

MOST = 2**31 - 1  # of a whole number in a file
# A published network has some hundred sections of some ten keys; a text beyond these bounds is none.
CHARACTERS, SECTIONS, KEYS, VALUES = 1 << 20, 1000, 500, 500
GUESSES = 50  # warnings that say what may be meant


class ConfigurationError(ValueError):
    """A file is not what it must be; the message names file, line, section, key, and what would be right."""


# Keys -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """What a key may be: how its text is read (ValueError where it cannot be), what is right, and what it is if not given.

    A default of None: what it is then follows from the other keys. built: the values that can be built here, if not all;
    files may have others.
    """

    read: Callable[[str], Any]
    right: str
    default: Any = None
    needed: bool = False
    built: tuple = ()


def _whole(text: str, least: int = -MOST, most: int = MOST) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", text):
        raise ValueError
    return _within(int(text), least, most)


def _number(text: str, least: float = float("-inf"), below: float = float("inf")) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        raise ValueError
    found = _within(float(text), least, below)
    if found >= below or found == float("-inf"):
        raise ValueError
    return found


def _within(value: Any, least: float, most: float) -> Any:
    if not least <= value <= most:
        raise ValueError
    return value


def _list(text: str, read: Callable[[str], Any]) -> tuple:
    parts = text.split(",")
    if len(parts) > VALUES:
        raise ValueError
    return tuple(map(read, parts))


def whole(default: int | None, least: int = 0) -> Key:
    """A whole number."""
    return Key(lambda text: _whole(text, least), f"a whole number, {least} to {MOST}", default)


def count(default: int | None) -> Key:
    """A whole number, 1 or more."""
    return whole(default, 1)


def flag(default: int) -> Key:
    """0 or 1."""
    return Key(lambda text: _whole(text, 0, 1), "0 or 1", default)


def number(default: float | None, least: float = 0.0, below: float = float("inf")) -> Key:
    """A number in a range."""
    right = "a number" + (f", {least:g} or more" if least > float("-inf") else "")
    right += f", less than {below:g}" if below < float("inf") else ""
    return Key(lambda text: _number(text, least, below), right, default)


def unbuilt() -> Key:
    """A text that Darknet has a use for; with it nothing can be built here."""
    return Key(str, "a text", built=(None,))


def only(value: int | float) -> Key:
    """A number that Darknet has a use for, of which one value alone can be built here."""
    return Key(_number, "a number", value, built=(value,))


def reference() -> Key:
    """The number of a layer."""
    return Key(_whole, "the number of a layer, or a negative one to count back from this", needed=True)


def references() -> Key:
    """The numbers of layers, with commas between."""
    right = (
        f"the numbers of layers, {VALUES} at most, with commas between them; negative ones count back from this layer"
    )
    return Key(lambda text: _list(text, _whole), right, needed=True)


def wholes(right: str, least: int = 0) -> Key:
    """Whole numbers, with commas between."""
    right += f": whole numbers, {VALUES} at most, with commas between them"
    return Key(lambda text: _list(text, lambda one: _whole(one, least)), right)


def numbers(right: str, needed: bool = False) -> Key:
    """Numbers, with commas between."""
    right += f": numbers, {VALUES} at most, with commas between them"
    return Key(lambda text: _list(text, lambda one: _number(one, 0)), right, needed=needed)


def text_of(value: Any) -> str:
    """A value as a file has it; a whole number has no decimal point."""
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value))
    if isinstance(value, float) and value == int(value) and abs(value) <= MOST:
        return str(int(value))
    return str(int(value)) if isinstance(value, bool) else str(value)


# Sections -------------------------------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What is told of a file besides its network: warnings, and why it cannot be built, if it cannot."""

    warnings: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A section as it stands: its name, its line, and the value and line of each key."""

    path: str
    name: str
    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)
    twice: list[tuple[str, int]] = field(default_factory=list)

    def checked(self, keys: Mapping[str, Key], findings: Findings) -> "Given":
        """The values of known keys, read; a warning for each other key, an obstacle for a value that cannot be built.

        Raises ConfigurationError for a value that is not right, or a key that is missing.
        """
        for name, line in self.twice:
            findings.warnings.append(f"{self.path}:{line}: [{self.name}] has {name} already; the first one counts")
        kept = {}
        for name, (text, line) in self.values.items():
            if name not in keys:
                guess = len(findings.warnings) < GUESSES
                alike = get_close_matches(name[:50], keys, 1, 0.75) if guess else []
                meant = f"; is {alike[0]} meant?" if alike else ""
                findings.warnings.append(
                    f"{self.path}:{line}: [{shortened(self.name)}] makes no use of {shortened(name)}{meant}"
                )
                kept[name] = text
        read = {}
        for name, key in keys.items():
            if name in self.values:
                text, _ = self.values[name]
                try:
                    read[name] = key.read(text)
                except ValueError:
                    self.refuse(name, f"must be {key.right}")
            elif key.needed:
                raise ConfigurationError(f"{self.place(None)} has no {name}; it must be {key.right}")
            else:
                read[name] = key.default
            if key.built and read[name] not in key.built:
                must = "must not be given" if key.built == (None,) else f"must be {key.built[0]}"
                findings.obstacles.append(self.place(name) + f": {must}: anything else cannot be built here")
                kept[name] = text_of(read[name])
        return Given(self, read, kept)

    def place(self, key: str | None) -> str:
        """Where a key is given, or, where it is not, the section."""
        text, line = self.values.get(key or "", (None, self.line))
        said = "" if key is None else f" {key}" if text is None else f" {key}={shortened(text)}"
        return f"{self.path}:{line}: [{self.name}]{said}"

    def refuse(self, key: str | None, why: str) -> NoReturn:
        """Raises ConfigurationError, naming the key's line or, where it is not given, the section's."""
        raise ConfigurationError(f"{self.place(key)}: {why}")


@dataclass
class Given:
    """The checked values of a section; kept: the text of keys that nothing makes use of."""

    section: Section
    values: dict[str, Any]
    kept: dict[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def refuse(self, key: str | None, why: str) -> NoReturn:
        self.section.refuse(key, why)


def shortened(text: str) -> str:
    """A text as one line of a message can show it."""
    shown = text if len(text) < 60 else text[:60] + "..."
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def sections_of(text: str, path: str) -> list[Section]:
    """Sections in their order. Spaces do not count, nor does what follows ``#`` or ``;``. Raises ConfigurationError."""
    if len(text) > CHARACTERS:
        raise ConfigurationError(f"{path}: more than {CHARACTERS:,} characters: no network is as long as that")
    found: list[Section] = []
    for number, whole in enumerate(text.split("\n"), 1):
        line = "".join(re.split("[#;]", whole, maxsplit=1)[0].split())
        if not line:
            continue
        shown = shortened(whole.strip())
        if line.startswith("["):
            if not re.fullmatch(r"\[\w+\]", line):
                raise ConfigurationError(f"{path}:{number}: {shown!r}: a section is a name in brackets, as [connected]")
            if len(found) == SECTIONS:
                raise ConfigurationError(f"{path}:{number}: more than {SECTIONS:,} sections: no network has so many")
            found.append(Section(path, line[1:-1], number))
            continue
        key, equals, value = line.partition("=")
        if not (key and equals and value):
            raise ConfigurationError(f"{path}:{number}: {shown!r} is neither [section] nor key=value")
        if not found:
            raise ConfigurationError(f"{path}:{number}: {shown!r} stands before any section; begin with [net]")
        if key in found[-1].values:
            found[-1].twice.append((key, number))
        else:
            found[-1].values[key] = value, number
        if len(found[-1].values) + len(found[-1].twice) > KEYS:
            raise ConfigurationError(f"{path}:{number}: [{shortened(found[-1].name)}] has more than {KEYS} keys")
    return found


def lines_of(name: str, values: Mapping[str, Any]) -> Iterable[str]:
    """The lines of a section."""
    return [f"[{name}]", *(f"{key}={text_of(value)}" for key, value in values.items())]
