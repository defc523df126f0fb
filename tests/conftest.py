"""Makes ``oracle`` importable from the folders beside this file."""
