"""From components to a verdict: a proof for all sizes, or the smallest instance that contradicts it."""
