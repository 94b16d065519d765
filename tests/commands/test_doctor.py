"""The doctor's table: every state a dataset or backbone can be in, and the command that mends it."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file
from torch import Tensor

from benchmark.__main__ import main
from benchmark.commands.configured import Command
from benchmark.data.dataset import Request, find
from benchmark.data.flamby import IMAGES
from benchmark.data.prepare import prepare
from benchmark.disk import readable
from benchmark.files import sha256, write_json
from benchmark.job import run
from benchmark.models.sam import CODE
from benchmark.models.sam_pretrain import random
from benchmark.plan import Plan
from tests.data.scanned import kits, prostate
from tests.methods.test_sam import SMALL
from tests.models.test_fetch import ARGUMENTS, checkpoint

SIX = [(client, client, "train", f"lesion {client}") for client in range(6)]


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command on a configuration, in a folder of its own; returns exit status and output."""
    monkeypatch.chdir(tmp_path)

    def run(federations: dict[str, Any], *overrides: str) -> tuple[int, str]:
        values = {"name": "mine", "federations": federations, "rates": ["1e-3"], "rounds": 1}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
        capsys.readouterr()
        status = main(["doctor", "--configfile", "mine.yaml", *(["--config", *overrides] if overrides else [])])
        return status, capsys.readouterr().out

    return run


def state(said: str, name: str) -> str:
    """The second column of a row."""
    return next(line.split()[1] for line in said.splitlines() if line.startswith(name))


def mending(said: str, name: str) -> list[str]:
    """The words of the command that mends a row; none where there is nothing to mend."""
    lines = said.splitlines()
    rows = lines[next(number for number, line in enumerate(lines) if line.startswith(name)) + 1 :]
    notes = [line for line in rows[:2] if line.startswith("    ")]
    return next((shlex.split(line.partition("mend: ")[2]) for line in notes if "mend: " in line), [])


def test_nothing_is_there(doctor: Callable[..., tuple[int, str]]) -> None:
    status, said = doctor({"fed_isic2019": {}, "camelyon17": {}})
    assert status == 1
    assert [state(said, name) for name in ("fed_isic2019", "camelyon17", "vit_tiny")] == ["missing"] * 3
    assert "0 of 23247" in said
    assert "0 of 455954" in said
    assert "CC BY-NC 4.0 (not accepted: read https://challenge.isic-archive.com/data/#2019)" in said
    assert mending(said, "camelyon17") == shlex.split(
        "snakemake --cores 8 data/camelyon17/source.json --configfile mine.yaml"
    )
    assert mending(said, "fed_isic2019")[-2:] == ["--config", "licences_accepted=[isic2019]"]
    assert "CC BY-NC 4.0 (accepted)" in doctor({"fed_isic2019": {}}, "licences_accepted=[isic2019]")[1]


def test_download_that_was_cut(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "data" / "camelyon17").mkdir(parents=True)
    (tmp_path / "data" / "camelyon17" / "archive.tar.gz.part").write_bytes(bytes(200_000_000))
    _, said = doctor({"camelyon17": {}})
    assert state(said, "camelyon17") == "partial"
    assert "archive.tar.gz: 200 MB downloaded" in said


def test_copy_of_the_users_own(
    doctor: Callable[..., tuple[int, str]], flamby_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """Unverified until the job has looked at it, present afterwards, partial once an image or a client is gone."""
    root = flamby_folder(SIX)
    options = {"short_side": 24}
    federations = {"fed_isic2019": {"source": str(root), "options": options}}
    status, said = doctor(federations)
    assert state(said, "fed_isic2019") == "unverified"
    folder = said.splitlines()[1].split()[0]
    target = tmp_path / "data" / folder / "source.json"
    assert str(target.relative_to(tmp_path)) in mending(said, "fed_isic2019")

    settings = json.dumps({"source": str(root), "options": options})
    command = ["--dataset", "fed_isic2019", "--settings", settings, "--folder", str(target.parent)]
    assert run(prepare, [*command, "--output", str(target)]) == 0
    status, said = doctor(federations)
    assert state(said, "fed_isic2019") == "present"
    assert "6 of 23247" in said
    assert mending(said, "fed_isic2019") == []

    (root / IMAGES / "ISIC_0000004.jpg").unlink()
    status, said = doctor(federations)
    assert state(said, "fed_isic2019") == "partial"
    assert "no image of clients 4; a run goes without them" in said
    assert status == 1
    # A federation that leaves this client out lacks nothing.
    chosen = {"fed_isic2019": {**federations["fed_isic2019"], "clients": ["0", "1", "2", "3", "5"]}}
    assert state(doctor(chosen)[1], "fed_isic2019") != "partial"

    table = root / "train_test_split"
    table.write_text(table.read_text().replace("ISIC_0000004", "ISIC_0000005x"))
    _, said = doctor(chosen)
    assert state(said, "fed_isic2019") == "unverified"


def test_images_that_are_missing_are_named(
    doctor: Callable[..., tuple[int, str]], flamby_folder: Callable[..., Path]
) -> None:
    root = flamby_folder([(0, 0, "train", "a"), (0, 0, "test", "b")])
    (root / IMAGES / "ISIC_0000001.jpg").unlink()
    _, said = doctor({"fed_isic2019": {"source": str(root)}})
    assert state(said, "fed_isic2019") == "partial"
    assert "1 of the 2 images of client 0 are missing" in said
    assert "ISIC_0000001.jpg" in said


def test_archive_that_waits_to_be_unpacked(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "ham10000_images.tar").touch()
    _, said = doctor({"fed_ham10000": {"source": "copy"}})
    assert state(said, "fed_ham10000") == "partial"
    assert "copy/ham10000_images.tar waits to be unpacked" in said


def test_volumes_that_are_not_yet_cut(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """They are there, and that a run has yet to make images of them is no lack; an absent client is one."""
    own = kits(tmp_path / "own")
    status, said = doctor({"fed_kits19": {"source": str(own)}})
    assert state(said, "fed_kits19") == "unverified"
    assert "18 volumes" in said
    assert f"{own}; not yet cut into slices, which a run does" in said
    assert "of 30081" not in said
    for number in range(3):
        shutil.rmtree(own / f"data/case_{20 + number:05}")
    status, said = doctor({"fed_kits19": {"source": str(own)}})
    assert (status, state(said, "fed_kits19")) == (1, "partial")
    assert "15 volumes" in said
    assert "no image of clients 2; a run goes without them" in said
    (own / "data/case_00011/imaging.nii.gz").unlink()
    _, said = doctor({"fed_kits19": {"source": str(own)}})
    assert state(said, "fed_kits19") == "partial"
    assert "? of 30081" in said
    assert "1 volumes of client 1 are missing" in said


def test_sites_of_which_a_copy_has_some_patients(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Before volumes are cut and afterwards; of clients that take no part nothing is said."""
    drawn = {"RUNMC": range(28), "ISBI_1.5": range(30), "I2CVB": range(19), "UCL": (*range(1, 12), 32, 34)}
    own = prostate(tmp_path / "own", {**drawn, "BIDMC": range(12), "HK": range(36, 48)})
    federation = {"source": str(own)}
    plan = Plan.of({"name": "x", "federations": {"prostate": federation}, "rates": ["1e-3"], "rounds": 1})
    for images in ("114 volumes", "342"):
        status, said = doctor({"prostate": federation})
        assert (status, state(said, "prostate")) == (1, "partial")
        assert images in said
        assert "28 of 30 patients of client 0, RUNMC; a run goes without the others" in said
        find("prostate").prepare(Request(tmp_path / "data" / plan.data_folder("prostate"), own))
    _, said = doctor({"prostate": {**federation, "clients": ["1", "2"]}})
    assert state(said, "prostate") == "unverified"
    assert "patients of" not in said


def test_source_that_does_not_exist(doctor: Callable[..., tuple[int, str]]) -> None:
    _, said = doctor({"fed_ham10000": {"source": "nowhere"}})
    assert state(said, "fed_ham10000") == "missing"
    assert "`source` is nowhere, but there is no such folder" in said


def test_drawn_data_is_drawn_by_its_command(doctor: Callable[..., tuple[int, str]]) -> None:
    _, said = doctor({"toy_slides": {"options": {"scale": 0.0003}}})
    assert state(said, "toy_slides") == "missing"
    assert "source.json" in " ".join(mending(said, "toy_slides"))


def test_backbone(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    federations = {"toy_slides": {}}
    name = "vit_tiny_patch16_224.augreg_in21k"
    values = {"name": "mine", "federations": federations, "rates": ["1e-3"], "rounds": 1}
    folder = tmp_path / Plan.of(values).backbone
    assert state(doctor(federations)[1], name) == "missing"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    assert state(doctor(federations)[1], name) == "partial"
    write_json(folder / "backbone.json", {"sha256": sha256(folder / "model.safetensors")})
    assert state(doctor(federations)[1], name) == "present"
    (folder / "model.safetensors").write_bytes(b"other weights")
    _, said = doctor(federations)
    assert state(said, name) == "partial"
    assert "does not match the hash" in said
    assert mending(said, name)[0] == "rm"


def test_weights_of_the_users_own(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """A checkpoint that is there is unverified until its job has read it; a path to nothing is missing, without a size.

    A file that is no checkpoint of the backbone is partial, and the line says why; nothing mends either.
    """
    name = "vit_tiny_patch16_224"
    given = f'backbone={{name: {name}, weights: "mine.safetensors", arguments: {json.dumps(ARGUMENTS)}}}'
    status, said = doctor({"toy_slides": {}}, "local_files=files", given)
    assert state(said, name) == "missing"
    assert "`backbone.weights` is files/mine.safetensors, but there is no such file; give its path, " in said
    assert mending(said, name) == []
    assert [line.split()[2] for line in said.splitlines() if line.startswith(name)] == ["nothing"]
    (tmp_path / "files").mkdir()
    checkpoint(tmp_path / "files/mine.safetensors", depth=1)
    status, said = doctor({"toy_slides": {}}, "local_files=files", given)
    assert state(said, name) == "partial"
    assert f"files/mine.safetensors: not a checkpoint of {name}: " in said
    assert mending(said, name) == []
    checkpoint(tmp_path / "files/mine.safetensors")
    status, said = doctor({"toy_slides": {}}, "local_files=files", given)
    assert state(said, name) == "unverified"
    assert f" {readable((tmp_path / 'files/mine.safetensors').stat().st_size)} " in said
    assert mending(said, name)[:3] == ["snakemake", "--cores", "8"]
    assert " 0 " not in said.partition(name)[2]
    assert "0.0" not in said
    assert status == 1, "the slides are not there"


def _another_sam(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("vision_encoder.layers", "image_encoder.blocks"): own for name, own in tensors.items()}


def _without_a_tensor(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    del tensors["vision_encoder.neck.conv1.weight"]
    return tensors


def _without_its_code(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    del tensors[CODE]
    return tensors


@pytest.mark.parametrize(
    ("sizes", "change", "said"),
    [
        (SMALL, _another_sam, "there is no vision_encoder.layers.0"),
        ({**SMALL, "encoder_depth": 1}, dict, "there is no vision_encoder.layers.1"),
        ({**SMALL, "encoder_width": 16}, dict, "has the shape (16,); expected (8,)"),
        (SMALL, _without_a_tensor, "there is no vision_encoder.neck.conv1.weight"),
        (SMALL, _without_its_code, f"there is no {CODE}"),
    ],
)
def test_a_checkpoint_of_another_sam(
    sizes: dict[str, int],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    said: str,
    doctor: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    """One line says which tensor is missing or of another size, and what to set."""
    save_file(change(random("sam_tiny", sizes, 0)), tmp_path / "mine.safetensors")
    given = f"backbone={{network: sam, name: sam_tiny, weights: mine.safetensors, arguments: {json.dumps(SMALL)}}}"
    status, told = doctor({"toy_volumes": {}}, given)
    assert status == 1
    assert state(told, "sam_tiny") == "partial"
    (line,) = [line for line in told.splitlines() if line.startswith("    mine.safetensors: ")]
    assert "mine.safetensors: not a checkpoint of sam_tiny: " in line
    assert said in line
    assert line.endswith("or the SAM that this one is of in backbone.name and backbone.arguments")


def test_a_sams_checkpoint_is_read(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """A sound one is unverified until its job has read it; one that is cut is said to be; one that is not there too."""
    given = f"backbone={{network: sam, name: sam_tiny, weights: mine.safetensors, arguments: {json.dumps(SMALL)}}}"
    assert state(doctor({"toy_volumes": {}}, given)[1], "sam_tiny") == "missing"
    file = tmp_path / "mine.safetensors"
    save_file(random("sam_tiny", SMALL, 0), file)
    _, told = doctor({"toy_volumes": {}}, given)
    assert state(told, "sam_tiny") == "unverified"
    file.write_bytes(file.read_bytes()[:-1000])
    _, told = doctor({"toy_volumes": {}}, given)
    assert state(told, "sam_tiny") == "partial"
    (line,) = [line for line in told.splitlines() if line.startswith("    mine.safetensors: ")]
    assert "not a safetensors file that can be read" in line
    assert line.endswith("copy or fetch it again")
    assert not (tmp_path / "results").exists(), "the doctor writes nothing"


def test_exit_status_is_zero_when_all_is_there(
    doctor: Callable[..., tuple[int, str]], tmp_path: Path, slides: Path
) -> None:
    federations = {"toy_slides": {"options": {"scale": 0.0003}}}
    values = {"name": "mine", "federations": federations, "rates": ["1e-3"], "rounds": 1}
    plan = Plan.of(values)
    folder = tmp_path / "data" / plan.data_folder("toy_slides")
    shutil.copytree(slides, folder / slides.name)
    (tmp_path / plan.backbone).mkdir(parents=True)
    (tmp_path / plan.backbone / "model.safetensors").write_bytes(b"weights")
    hashed = {"sha256": sha256(tmp_path / plan.backbone / "model.safetensors")}
    write_json(tmp_path / plan.backbone / "backbone.json", hashed)
    status, said = doctor(federations)
    assert status == 0
    assert state(said, "toy_slides") == "unverified"


def test_bad_configuration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--configfile", str(tmp_path / "absent.yaml")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_command_keeps_what_the_user_has_set() -> None:
    command = Command(Path("a.yaml"), ("local_files=/my data", "licences_accepted=[cc0]"))
    words = shlex.split(command.to(Path("x"), "licences_accepted=[cc0, isic2019]"))
    assert words[-3:] == ["--config", "local_files=/my data", "licences_accepted=[cc0, isic2019]"]
