"""Small data for the commands' tests: the data layer's."""

from tests.data.conftest import flamby_folder, slides

__all__ = ["flamby_folder", "slides"]
