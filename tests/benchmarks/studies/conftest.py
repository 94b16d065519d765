"""Small data for the studies' tests: the data layer's."""

from tests.data.conftest import slides

__all__ = ["slides"]
