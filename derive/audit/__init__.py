"""The audit: documents -> formulas -> verdicts -> reports.

A formula passes through the rooms in this order:

    source/     finds it in its document, with its name, its place and the section that it belongs to
    syntax/     reads its LaTeX into a syntax tree, or refuses it with the place
    meaning/    binds its letters to the tensors of the forward definitions, lifted by a layer index
    judging/    proves it for all sizes, or finds the smallest instance that contradicts it, and says what would be right
    reports/    shows the verdicts

Excerpts of C go from source/ to `excerpt` instead. `audit` is the way through: one verdict for every formula.
"""
