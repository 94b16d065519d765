"""A dataset that is drawn by the project instead of fetched, in the format of a real one."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.data.dataset import DataError, Dataset, Licence, Option, Request, checked_index
from benchmark.data.drawing import code_of, drawn_folder


class Drawn(Dataset):
    """Mixed into the real dataset's class, whose reader then reads the drawing."""

    licence: ClassVar[Licence] = Licence("apache2", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")

    @abstractmethod
    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write the dataset's files into an empty folder, given a value for every option there is."""

    @abstractmethod
    def check_options(self, options: Mapping[str, Option]) -> None:
        """Refuse, by a DataError, values that cannot be drawn, given one for every option there is."""

    def locate(self, request: Request) -> Path | None:
        """The drawing with these options, if it exists: it is whole then."""
        root = self._folder(request)
        return root if root.is_dir() else None

    def remains(self, request: Request) -> str:
        """Nothing: an unfinished drawing begins anew."""
        return ""

    def fetches(self, request: Request) -> bool:
        """Never."""
        return False

    def prepare(self, request: Request) -> Path:
        """Draw into a subfolder named after the options, unless it is there."""
        root = self._folder(request)
        with drawn_folder(root) as unfinished:
            if unfinished is not None:
                self.draw(unfinished, self.chosen_options(request.options))
        checked_index(self, root, "published", request.split_seed)
        return root

    def _folder(self, request: Request) -> Path:
        """The folder of the drawing, whose name tells everything that decides it."""
        chosen = self.chosen_options(request.options)
        if request.source is not None:
            raise DataError(f"{self.name}: is drawn and takes no `source`; remove `federations.{self.name}.source`")
        self.check_options(chosen)
        values = [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in chosen.items()]
        return request.folder / ",".join([*values, f"code={code_of(type(self).__module__)}"])
