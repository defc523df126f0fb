"""The audit: documents -> formulas -> verdicts -> reports."""
