"""Boxes around things in pictures: what `derive detect` does, and what `derive train` and `evaluate` do for detectors."""
