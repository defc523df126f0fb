"""Calculus on systems of index equations: adjoints, simplification, stable forms. Knows no layer by name."""
