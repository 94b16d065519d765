"""Volumes: one orientation whoever wrote them, what is refused, and the drawn ones, equal on every CPU."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from benchmark.data import volumes
from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets.toy_volumes import SITES
from benchmark.data.volumes import Case, read
from tests.federation.small import ROOT

MEANING = {0: 0, 1: 1, 2: 2}
SHAPE = (6, 5, 4)
AFFINE = np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 7], [0, 0, 4, 11], [0, 0, 0, 1.0]])


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A volume without any symmetry, and its labels."""
    rng = np.random.default_rng(0)
    return rng.integers(-900, 900, SHAPE).astype(np.int16), rng.integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    """Writes a case; arrays and affines may be others."""

    def write(
        image: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        affine: np.ndarray = AFFINE,
        there: np.ndarray | None = None,
    ) -> Case:
        image, labels = (own if own is not None else usual for own, usual in zip((image, labels), drawn(), strict=True))
        paths = [tmp_path / f"{name}.nii.gz" for name in ("image", "labels")]
        nib.save(nib.Nifti1Image(image, affine), paths[0])
        nib.save(nib.Nifti1Image(labels, affine if there is None else there), paths[1])
        return Case("one", *paths, MEANING)

    return write


def test_slices_go_upwards_and_show_the_front_above(case: Callable[..., Case]) -> None:
    """By hand, on the axes right, anterior, superior. Of 120 voxels, the percentiles are the second from each end."""
    image, labels = drawn()
    found, classes = read(case())
    assert found.shape == classes.shape == (4, 5, 6)
    np.testing.assert_array_equal(classes[3, 0], labels[:, 4, 3])
    low, high = np.sort(image.ravel())[[1, -2]].astype(float)
    scaled = np.floor((np.clip(image, low, high) - low) * 255 / (high - low))
    np.testing.assert_array_equal(found[1, 2], scaled[:, 2, 1].astype(np.uint8))


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_no_order_or_direction_of_axes_changes_what_is_read(axes: tuple[int, ...], case: Callable[..., Case]) -> None:
    """All 48 ways to store a volume, with the affine that says so."""
    image, labels = drawn()
    wanted = read(case())
    for signs in product((1, -1), repeat=3):
        turned = nib.orientations.inv_ornt_aff(np.array(list(zip(axes, signs, strict=True))), SHAPE)
        ornt = np.array(list(zip(axes, signs, strict=True)))
        stored = [nib.orientations.apply_orientation(array, ornt) for array in (image, labels)]
        found = read(case(*stored, affine=AFFINE @ turned))
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_volume_is_scaled_as_a_whole(case: Callable[..., Case]) -> None:
    """An extreme voxel in one slice is clipped, and changes no other slice by what it is."""
    image = np.tile(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), (1, 1, 2))
    labels = np.zeros(image.shape, dtype=np.uint8)
    plain = read(case(image, labels))[0]
    image[0, 0, 0] = 30_000
    found = read(case(image, labels))[0]
    assert found[0, -1, 0] == 255
    assert np.abs(found[1:].astype(int) - plain[1:]).max() <= 1
    assert not read(case(np.full_like(image, 7), labels))[0].any()


def test_what_cannot_be_used_is_named(case: Callable[..., Case], tmp_path: Path) -> None:
    image, labels = drawn()
    one_off = AFFINE.copy()
    one_off[0, 3] += 1.5
    wrong = {
        r"labels\.nii\.gz: lies elsewhere in the patient than image\.nii\.gz: their affines differ by 1\.5 mm": {
            "there": one_off
        },
        r"labels\.nii\.gz: has the shape \(6, 5, 3\), but image\.nii\.gz has \(6, 5, 4\)": {"labels": labels[..., :3]},
        r"labels\.nii\.gz: holds the labels 7; known are 0, 1, 2": {"labels": np.where(labels == 2, 7, labels)},
        r"labels\.nii\.gz: holds the labels 0\.5; known": {"labels": labels.astype(np.float32) / 2},
        r"image\.nii\.gz: holds values that are not finite": {"image": np.where(labels == 2, np.nan, image)},
        r"image\.nii\.gz: has the shape \(6, 5, 1\); expected a volume of two slices": {"image": image[..., :1]},
    }
    for said, changes in wrong.items():
        with pytest.raises(DataError, match=said) as error:
            read(case(**changes))
        assert "\n" not in str(error.value)
    broken = case()
    broken.image.write_bytes(broken.image.read_bytes()[:200])
    with pytest.raises(DataError, match=r"image\.nii\.gz: cannot be read .*; fetch it again"):
        read(broken)
    with pytest.raises(DataError, match=r"absent\.nii\.gz: cannot be read"):
        read(replace(case(), labels=tmp_path / "absent.nii.gz"))


def test_layouts_pair_images_with_their_labels(tmp_path: Path) -> None:
    """As published; one prostate site writes a capital S, and labels that are missing keep a name to report."""
    for file in (
        "kits/case_00003/imaging.nii.gz",
        "kits/case_00003/segmentation.nii.gz",
        "prostate/Case00.nii.gz",
        "prostate/Case00_Segmentation.nii.gz",
        "prostate/Case01.nii.gz",
        "ixi/IXI002-Guys-0828/T1/a.nii.gz",
        "ixi/IXI002-Guys-0828/label/b.nii.gz",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = {
        layout: [(case.name, case.labels.name) for case in getattr(volumes, layout)(tmp_path / layout, MEANING)]
        for layout in ("kits", "prostate", "ixi")
    }
    assert found == {
        "kits": [("case_00003", "segmentation.nii.gz")],
        "prostate": [("Case00", "Case00_Segmentation.nii.gz"), ("Case01", "Case01_segmentation.nii.gz")],
        "ixi": [("IXI002-Guys-0828", "b.nii.gz")],
    }


# The drawn ones.


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy_volumes")
    return find("toy_volumes").prepare(Request(folder, options={"side": 48}))


def test_sites_differ_as_they_are_said_to(toy: Path) -> None:
    """Thickness, axes on disk, contrast; a few patients have no lesion, and some slices show nothing."""
    table = checked_index(find("toy_volumes"), toy, "published", 0)
    brighter = {}
    for client, rows in table.groupby("client"):
        site = SITES[str(client)]
        assert rows.groupby("case").size().eq(60 // site.thickness).all()
        assert rows["case"].nunique() == site.train + site.test
        organ, around = [], []
        for _, row in rows.iterrows():
            image, mask = (np.asarray(Image.open(toy / row[kind])).astype(float) for kind in ("path", "target"))
            assert row["empty"] == (not mask.any())
            organ.append(image[mask == 1])
            around.append(image[(mask == 0) & (image > 80)])
        brighter[client] = np.concatenate(organ).mean() > np.concatenate(around).mean()
    assert brighter == {"0": True, "1": False, "2": True}
    files = {
        "0": "volumes/kits/case_00000/imaging.nii.gz",
        "1": "volumes/prostate/Case00.nii.gz",
        "2": "volumes/ixi/IXI_sample/IXI000-Drawn-1000/T1/IXI000-Drawn-1000.nii.gz",
    }
    assert {c: "".join(nib.aff2axcodes(nib.load(toy / f).affine)) for c, f in files.items()} == {
        c: site.axes for c, site in SITES.items()
    }
    shown = (
        table[~table["empty"]]
        .groupby("case")["target"]
        .agg(lambda paths: max(np.asarray(Image.open(toy / path)).max() for path in paths))
    )
    assert set(shown) == {1, 2}, "with and without a lesion"
    assert 0.1 < (shown == 1).mean() < 0.5


def test_the_same_volumes_are_drawn_whatever_the_cpu_can_do(toy: Path, tmp_path: Path) -> None:
    """NumPy is told to leave its vector units alone; every pixel is the same."""
    code = (
        "import sys; from pathlib import Path; from benchmark.data.dataset import Request, find;"
        "print(find('toy_volumes').prepare(Request(Path(sys.argv[1]), options={'side': 48})))"
    )
    features = np._core._multiarray_umath.__cpu_features__
    dispatched = np._core._multiarray_umath.__cpu_dispatch__
    off = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in dispatched if features.get(name))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=off, capture_output=True, text=True, check=True
    )
    assert pixels(Path(done.stdout.split()[-1])) == pixels(toy)


def pixels(folder: Path) -> str:
    """A hash of every slice and mask."""
    found = hashlib.sha256()
    for path in sorted((folder / "slices").rglob("*.png")):
        found.update(path.relative_to(folder).as_posix().encode() + np.asarray(Image.open(path)).tobytes())
    return found.hexdigest()
