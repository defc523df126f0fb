"""The sections of a document, and the forward systems that their headings speak of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SYSTEMS = (
    "dense", "convolution", "max_pooling", "average_pooling", "batch_norm", "momentum", "logistic_cross_entropy", "yolo",
)  # fmt: skip
WORDS = {
    "convolution": r"convol|\bconv\b|卷积",
    "max_pooling": r"max(imum)?[\s-]*pool|最大池化",
    "average_pooling": r"(average|mean)[\s-]*pool|平均池化",
    "batch_norm": r"batch[\s-]*norm|归一|(?<![a-z])bn(?![a-z])",
    "momentum": r"momentum|weight[\s-]*decay|update[\s-]*rule|动量",
    "logistic_cross_entropy": r"cross[\s-]*entropy|logistic|交叉熵",
    "yolo": r"yolo",
}
POOLING = re.compile(r"pool|池化", re.IGNORECASE)
KINDS = {"max_pooling": r"\bmax|最大", "average_pooling": r"\b(average|mean)|平均"}


@dataclass(frozen=True)
class Section:
    """A part of a document: its number (0 before the first), its title, and the forward system it speaks of."""

    number: int = 0
    title: str = ""
    system: str | None = None


@dataclass(frozen=True)
class Heading:
    """A heading: its level (1 spans the most), its words, and the text up to the next heading."""

    level: int
    title: str
    text: str


def headed(headings: Sequence[Heading]) -> list[Section]:
    """A section for each heading, its system guessed from the heading's words, or from those of the headings above it.

    A single heading of level 1 is the document's title, and says nothing of what stands under it.
    """
    sections: list[Section] = []
    above: list[tuple[int, str | None]] = []  # the headings that the next one may stand under
    levels = [heading.level for heading in headings]
    for number, heading in enumerate(headings, 1):
        while above and above[-1][0] >= heading.level:
            above.pop()
        system = guess(heading) or (above[-1][1] if above else None)
        above.append((heading.level, None if heading.level == 1 == levels.count(1) else system))
        sections.append(Section(number, heading.title, system))
    return sections


def guess(heading: Heading) -> str | None:
    """The system whose word comes first in a heading; of pooling without a word for its kind, the kind its text names."""
    found = {system: re.search(words, heading.title, re.IGNORECASE) for system, words in WORDS.items()}
    if first := min((m.start(), system) for system, m in found.items() if m) if any(found.values()) else None:
        return first[1]
    if POOLING.search(heading.title):
        for said in (heading.title, heading.text):
            kinds = [kind for kind, words in KINDS.items() if re.search(words, said, re.IGNORECASE)]
            if kinds:
                return kinds[0] if len(kinds) == 1 else None
    return None
