"""Makes ``oracle`` and ``commands`` importable from the folders beside this file."""
