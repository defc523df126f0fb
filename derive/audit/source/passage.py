"""A stretch of text that knows where each of its characters stands in its document."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise


class DocumentError(ValueError):
    """A document that cannot be audited; says which file, which line, and what is wrong."""


class Lines:
    """The lines of a document, counted from 1."""

    def __init__(self, text: str) -> None:
        self.starts = [0]
        while found := text.find("\n", self.starts[-1]) + 1:
            self.starts.append(found)

    def line(self, offset: int) -> int:
        return bisect_right(self.starts, offset)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column."""
        line = self.line(offset)
        return line, offset - self.starts[line - 1] + 1


@dataclass(frozen=True)
class Passage:
    """`text`, and in `origins` the offset in the document for each of its characters."""

    text: str
    origins: Sequence[int]

    @staticmethod
    def whole(text: str) -> "Passage":
        """A document as it stands."""
        return Passage(text, range(len(text)))

    @staticmethod
    def placed(text: str, at: int) -> "Passage":
        """A text that stands for something at one place of the document."""
        return Passage(text, [at] * len(text))

    @staticmethod
    def joined(parts: Iterable["Passage"]) -> "Passage":
        parts = list(parts)
        return Passage("".join(p.text for p in parts), list(chain.from_iterable(p.origins for p in parts)))

    def part(self, start: int, stop: int | None = None) -> "Passage":
        return Passage(self.text[start:stop], self.origins[start:stop])

    def stripped(self) -> "Passage":
        start = len(self.text) - len(self.text.lstrip())
        return self.part(start, max(start, len(self.text.rstrip())))

    def origin(self, at: int) -> int:
        """The document's offset for a place in the passage; its end counts as one past its last character."""
        if at < len(self.origins):
            return self.origins[at]
        return self.origins[-1] + 1 if len(self.origins) else 0

    def unbroken(self) -> bool:
        """Whether it stands in the document in one piece, as it is."""
        given = self.origins
        return isinstance(given, range) or all(b - a == 1 for a, b in pairwise(given))
