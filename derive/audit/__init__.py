"""The audit: documents -> formulas -> verdicts -> reports.

In the order in which a formula passes through: `document` finds it, `reader` (with `latex.lark`) turns it into the tree
of `formula`; `binding` (with `vocabulary`, `scripts`, `values`) turns that into components of the tensors of `network`,
which lifts the forward definitions by a layer index; `judge` proves it by the normal forms of `equality`, or refutes it
by an instance from `evaluation` and says with `latex` what would be right; `audit` gathers each document's `verdict`s,
and `report` shows them.
"""
