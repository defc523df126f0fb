"""What the audit says about one formula."""

from dataclasses import asdict, dataclass
from typing import Any

KINDS = {
    "proved": "true as written",
    "conditional": "true under the reading that is named",
    "refuted": "false under every reading tried",
    "unread": "not understood",
}
WORST_FIRST = ("refuted", "unread", "conditional", "proved")


@dataclass(frozen=True)
class Verdict:
    """One formula of a document and its verdict; the fields are the keys of `--format json`.

    latex: the formula as it stands; of an excerpt of C, its text. verdict: `proved`, true as written; `conditional`, true
    under the `reading` that is named (or not decided: then `scope` says what was covered); `refuted`, false under every
    reading tried, with a `counterexample` and, where the derivation gives one, a `correction`; `unread`, not parsed or not
    bound. `reason` says why it is unread and where, why shapes do not fit, what a recurrence does instead, or which line
    of a derivation is to blame.
    """

    id: str
    line: int
    latex: str
    system: str | None
    verdict: str
    scope: str | None = None
    reading: str | None = None
    counterexample: dict[str, Any] | None = None
    correction: str | None = None
    reason: str | None = None
    erratum: bool = False  # whether the document itself says that the formula is wrong

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON has it."""
        return asdict(self)
