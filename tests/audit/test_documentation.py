"""What docs/audit.md says of formulas holds: each one in its tables gets the verdict that stands beside it."""

import re
from pathlib import Path

import pytest

from derive.audit.audit import audit_text

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def examples():
    """The section, the formula, its verdict, and what is said of it, for each row of a table of formulas."""
    heading, columns = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading, columns = line.lstrip("# "), []
        cells = [cell.strip() for cell in re.findall(r"\|((?:`[^`]*`|[^`|])*)(?=\|)", line)]
        if cells[:1] == ["formula"]:
            columns = cells
        elif not cells:
            columns = []
        elif columns and "---" not in cells:
            row = dict(zip(columns, cells, strict=True))
            section, verdict = row.get("section", heading), row.get("verdict", "unread")
            yield pytest.param(
                section, row["formula"].strip("`"), verdict, row["says"], id=row["formula"].strip("`")[:50]
            )


@pytest.mark.parametrize(("section", "formula", "verdict", "says"), list(examples()))
def test_a_documented_formula_gets_its_verdict(section, formula, verdict, says):
    claim = f"```c\n{formula}\n```" if section == "C excerpts" else f"$${formula}$$"
    found = audit_text(f"## {section}\n\n{claim}\n")[0]
    assert found.verdict == verdict, found
    assert says in f"{found.reading} {found.reason}"
    if verdict in ("proved", "conditional"):
        assert found.scope == "all sizes"


def test_there_are_formulas_of_every_section():
    assert len({example.values[0] for example in examples()}) >= 9
    assert len(list(examples())) > 90
