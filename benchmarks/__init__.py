"""Measured comparisons with the peers: ``python -m benchmarks``. Nothing here is asserted; ratios are printed and kept."""
