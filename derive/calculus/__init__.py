"""Calculus on systems of index equations: adjoints, simplification, numerically stable forms. Knows no layer by name."""
