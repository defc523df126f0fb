"""Makes ``oracle`` and ``userland`` importable from the folders beside this file."""
