"""Makes ``oracle`` and ``commands`` importable from the folders beside this file."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, lest one process waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_generate.py")
