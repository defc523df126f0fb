"""From a document to its formulas: Markdown, LaTeX or plain text, with a reading guide where it needs one."""
