"""Measured comparisons with the peers: ``python -m benchmarks``. Nothing is asserted; ratios are printed and kept."""
