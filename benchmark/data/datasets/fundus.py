"""Fundus: photographs of four collections, optic disc and cup outlined, as DoFE (Wang et al. 2020) put them together.

IOP-FL and FedDG read the same folders: `Domain1/train/ROIs/image/NAME.png` and `mask/NAME.png`, cut to the region of
the disc. In a mask the cup is black, the disc's rim grey and the background white. Nothing is downloaded.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from PIL import Image

from benchmark.data.dataset import Client, DataError, Dataset, Licence, Request, present, some
from benchmark.data.parallel import in_batches
from benchmark.files import digest, write_text

LEVELS = (50, 200)
"""Grey levels up to the first are the cup, up to the second the rim: edges are blurred in some copies."""
TABLE = "images.csv"


class Fundus(Dataset):
    """Four sites of a user's copy, whose masks are rewritten as positions of classes."""

    name: ClassVar[str] = "fundus"
    title: ClassVar[str] = "Fundus (four sites)"
    clients: ClassVar[tuple[Client, ...]] = (
        Client("0", "Drishti-GS", 101),
        Client("1", "RIM-ONE-r3", 159),
        Client("2", "REFUGE train", 400),
        Client("3", "REFUGE validation", 400),
    )
    # The cup lies in the disc: a pixel of the rim is disc and not cup.
    classes: ClassVar[tuple[str, ...]] = ("background", "rim", "cup")
    licence: ClassVar[Licence] = Licence(
        "fundus", "research use; cite each collection", "https://github.com/emma-sjwang/Dofe"
    )
    homepage: ClassVar[str] = "https://github.com/emma-sjwang/Dofe"
    task: ClassVar[str] = "segmentation"
    group_name: ClassVar[str] = "images"
    protocols: ClassVar[Mapping[str, str]] = {
        "dofe": "The folders train and test of the copy; it does not say which images are of one patient.",
    }

    def locate(self, request: Request) -> Path | None:
        """The rewritten masks beside links to the images, where they are; else the copy."""
        source = request.source
        if source is None:
            return None
        root = _root(request, source)
        return root if root.is_dir() else source

    def prepare(self, request: Request) -> Path:
        """Rewrite the masks into the project's own folder; the copy is not touched."""
        self.chosen_options(request.options)
        source = request.source
        if source is None:
            raise DataError(f"{self.name}: nothing is downloaded: {self._wanted()}; see {self.homepage}")
        table, root = self._rows(source), _root(request, source)
        if root.is_dir():
            return root
        unfinished = root.with_name(f".{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in sorted({Path(path).parent for path in (*table["path"], *table["target"])}):
            (unfinished / folder).mkdir(parents=True)

        def one(row: tuple[str, str]) -> str:
            image, mask = row
            (unfinished / image).symlink_to((source / image).resolve())
            try:
                with Image.open(source / mask) as picture:
                    levels = np.asarray(picture.convert("L"))
            except (OSError, ValueError, SyntaxError) as error:
                return f"{source / mask} ({type(error).__name__})"
            # Black, grey and white become cup, rim and background: 2, 1 and 0.
            Image.fromarray((2 - np.digitize(levels, LEVELS, right=True)).astype(np.uint8)).save(unfinished / mask)
            return ""

        rows = list(zip(table["path"], table["target"], strict=True))
        broken = [fault for batch in in_batches(one, rows, request.threads, 256, "masks") for fault in batch if fault]
        if broken:
            raise DataError(f"{self.name}: {len(broken)} masks cannot be read: {some(broken)}; fetch them again")
        write_text(unfinished / TABLE, table.to_csv(index=False))
        unfinished.replace(root)
        return root

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """Every image of the copy; each is a group."""
        if not (root / TABLE).is_file():
            found = self._rows(root)
            raise DataError(f"{self.name}: {root} holds {len(found)} images; a run rewrites their masks first")
        table = pd.read_csv(root / TABLE, dtype=str)
        return present(table.assign(group=table["sample"]), root, self.name)

    def _rows(self, source: Path) -> pd.DataFrame:
        """Images and masks of a copy, by their names; a site without a folder is absent."""
        rows = []
        for number, client in enumerate(self.clients, start=1):
            for split in ("train", "test"):
                place = f"Domain{number}/{split}/ROIs"
                for image in sorted((source / place / "image").glob("*.png")):
                    sample = f"Domain{number}/{image.stem}"
                    paths = (f"{place}/image/{image.name}", f"{place}/mask/{image.name}")
                    rows.append((sample, client.id, split, *paths))
        if not rows:
            raise DataError(f"{self.name}: no image found in {source}: {self._wanted()}")
        return present(pd.DataFrame(rows, columns=["sample", "client", "split", "path", "target"]), source, self.name)

    def _wanted(self) -> str:
        return (
            f"set `federations.{self.name}.source` to the folder of Domain1 to Domain4, each with "
            "train/ROIs/image/*.png and mask/*.png, and test/ likewise"
        )


def _root(request: Request, source: Path) -> Path:
    """The folder of rewritten masks, named after those of the copy."""
    masks = sorted(source.glob("Domain*/*/ROIs/mask/*.png"))
    known = [[str(m.relative_to(source)), (s := m.stat()).st_size, s.st_mtime_ns] for m in masks]
    return request.folder / f"masks-{digest([str(source.resolve()), known])[:16]}"


DATASET = Fundus()
