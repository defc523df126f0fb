"""From a syntax tree to components: what the letters are in the forward definitions, and what they leave open."""
