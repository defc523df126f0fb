"""From a formula's LaTeX to its syntax tree: what is written, nothing interpreted yet."""
