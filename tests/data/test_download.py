"""Downloads against a server on this machine that misbehaves in known ways."""

import hashlib
import multiprocessing
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import download as module
from benchmark.data.dataset import DataError
from benchmark.data.download import DownloadError, Wanted, download
from tests.data.server import Server, fail, redirect, serve

CONTENT = np.random.default_rng(0).bytes(48 * module.CHUNK)
HALF = len(CONTENT) // 2
HASH = hashlib.sha256(CONTENT).hexdigest()
PATH = "/file.zip"


@pytest.fixture
def server(server: Server) -> Server:
    server.answers[PATH] = serve(CONTENT)
    return server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.zip"


def fetch(server: Server, target: Path, attempts: int = 5, **known: object) -> Path:
    wanted = Wanted([server.address(PATH)], **known)  # type: ignore[arg-type]
    return download(wanted, target, attempts=attempts, pause=0.01, stall=0.3)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_whole_file_at_once(server: Server, target: Path) -> None:
    assert fetch(server, target) == target
    assert target.read_bytes() == CONTENT
    assert visible(target.parent) == ["file.zip"]
    fetch(server, target)
    assert server.ranges == [None]


def test_resumes_after_the_connection_was_cut(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(CONTENT, cuts=2, etag='"one"')
    assert fetch(server, target, sha256=HASH, size=len(CONTENT)).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]


def test_resumes_after_a_stall(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(CONTENT, stalls=1)
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_resumes_in_a_later_call(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(CONTENT, cuts=1)
    with pytest.raises(DownloadError, match="failed 1 times"):
        fetch(server, target, attempts=1)
    assert not target.exists()
    assert target.with_name("file.zip.part").stat().st_size == HALF
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.ranges[1] == f"bytes={HALF}-"
    assert visible(target.parent) == ["file.zip"]


@pytest.mark.parametrize("etag", ["", '"two"'])
def test_another_file_of_that_name_is_begun_anew(server: Server, target: Path, etag: str) -> None:
    """The halves of two versions are never put together: the version tells, or the size does."""
    server.answers[PATH] = serve(CONTENT, cuts=1, etag=etag and '"one"')
    with pytest.raises(DownloadError):
        fetch(server, target, attempts=1)
    other = CONTENT[::-1] + b"and more"
    server.answers[PATH] = serve(other, etag=etag)
    assert fetch(server, target).read_bytes() == other


def test_starts_again_where_the_server_knows_no_ranges(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(CONTENT, cuts=1, ranges=False)
    assert fetch(server, target).read_bytes() == CONTENT


def test_part_that_is_too_long_is_thrown_away(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(server, target).read_bytes() == CONTENT
    target.unlink()
    target.with_name("file.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(server, target, size=len(CONTENT)).read_bytes() == CONTENT


def test_part_that_is_complete_is_only_verified(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT)
    assert fetch(server, target, size=len(CONTENT), sha256=HASH).read_bytes() == CONTENT
    assert server.asked == []


def test_part_with_wrong_bytes_is_fetched_anew(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(bytes(1_000_000))
    assert fetch(server, target, sha256=HASH).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000000-", None]


def test_wrong_bytes_are_refused(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(CONTENT[:-1] + b"?")
    with pytest.raises(DownloadError, match=f"SHA-256 .*, expected {HASH}"):
        fetch(server, target, sha256=HASH)
    assert visible(target.parent) == []
    assert len(server.asked) == 1


def test_wrong_size_is_refused(server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=f"offers {len(CONTENT)} bytes, but the file has 5"):
        fetch(server, target, size=5)
    assert not target.exists()


@pytest.mark.parametrize("claims", [len(CONTENT) + 1000, len(CONTENT) - 1000])
def test_lie_about_the_size_is_found_out(server: Server, target: Path, claims: int) -> None:
    server.answers[PATH] = serve(CONTENT, claims=claims)
    with pytest.raises(DownloadError):
        fetch(server, target, attempts=2, sha256=HASH)
    assert not target.exists()


def test_size_that_nobody_states(server: Server, target: Path) -> None:
    def answer(request: object) -> None:
        request.protocol_version = "HTTP/1.0"  # type: ignore[attr-defined]
        request.send_response(200)  # type: ignore[attr-defined]
        request.end_headers()  # type: ignore[attr-defined]
        request.wfile.write(CONTENT)  # type: ignore[attr-defined]
        request.close_connection = True  # type: ignore[attr-defined]

    server.answers[PATH] = answer
    with pytest.raises(DownloadError, match="does not say how large"):
        fetch(server, target)
    assert fetch(server, target, size=len(CONTENT)).read_bytes() == CONTENT


def test_absent_file_is_not_asked_for_twice(server: Server, target: Path) -> None:
    del server.answers[PATH]
    with pytest.raises(DownloadError, match="answers 404"):
        fetch(server, target)
    assert len(server.asked) == 1


def test_busy_server_is_given_the_time_it_asks_for(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers[PATH] = fail(503, 2, serve(CONTENT), {"Retry-After": "7"})
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    assert fetch(server, target).read_bytes() == CONTENT
    assert slept == [7, 7]


def test_attempts_are_spaced_out(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers[PATH] = fail(500, 9, serve(CONTENT))
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    with pytest.raises(DownloadError, match="failed 4 times; at last: the server answers 500"):
        fetch(server, target, attempts=4)
    assert slept == [0.01, 0.02, 0.04]


def test_web_page_is_no_archive(server: Server, target: Path) -> None:
    server.answers[PATH] = serve(b"<html>please log in</html>", kind="text/html; charset=utf-8")
    with pytest.raises(DownloadError, match="a web page instead of the file"):
        fetch(server, target)


def test_redirect_is_followed(server: Server, target: Path) -> None:
    server.answers[PATH] = redirect(server.address("/elsewhere"))
    server.answers["/elsewhere"] = serve(CONTENT)
    assert fetch(server, target).read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(server: Server, target: Path) -> None:
    del server.answers[PATH]
    server.answers["/wrong"] = serve(b"other")
    server.answers["/mirror"] = serve(CONTENT)
    addresses = [server.address(path) for path in (PATH, "/wrong", "/mirror", "/never")]
    wanted = Wanted(addresses, len(CONTENT), HASH)
    assert download(wanted, target, pause=0.01).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == [PATH, "/wrong", "/mirror"]
    target.unlink()
    with pytest.raises(DownloadError, match=r"file\.zip: the server answers 404 .*; .*wrong: the server offers 5"):
        download(Wanted(addresses[:2], len(CONTENT), HASH), target, pause=0.01)


@pytest.mark.parametrize("known", [None, HASH])
def test_mirror_continues_only_what_can_be_verified(server: Server, target: Path, known: str | None) -> None:
    server.answers[PATH] = serve(CONTENT, cuts=9)
    server.answers["/mirror"] = serve(CONTENT)
    wanted = Wanted([server.address(PATH), server.address("/mirror")], sha256=known)
    assert download(wanted, target, attempts=1, pause=0.01).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-" if known else None]


def test_full_disk_is_found_before_the_transfer(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr("benchmark.disk.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"needs 3\.15 MB, but only 1 MB are free .*data_root"):
        fetch(server, target)
    assert visible(target.parent) == []


def _limited(address: str, target: Path, said: "multiprocessing.Queue[str]") -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    try:
        download(Wanted([address]), target)
    except DataError as error:
        said.put(str(error))


def test_disk_that_fills_up_meanwhile_loses_nothing(server: Server, target: Path) -> None:
    """What has arrived stays, and the next call goes on from there."""
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    job = context.Process(target=_limited, args=(server.address(PATH), target, said))
    job.start()
    assert "free some space and run again: it goes on from there" in said.get(timeout=30)
    job.join()
    had = target.with_name("file.zip.part").stat().st_size
    assert 0 < had <= 2_000_000
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={had}-"]


def test_two_jobs_fetch_a_file_once(server: Server, target: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.answers[PATH] = serve(CONTENT, delay=0.3)
    jobs = [threading.Thread(target=download, args=(Wanted([server.address(PATH)]), target)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert "waiting for the download of file.zip" in capfd.readouterr().err


def test_certificate_that_nobody_vouches_for(server: Server, target: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    pair = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, *pair], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address = server.address(PATH).replace("http:", "https:").replace("127.0.0.1", "localhost")
    with pytest.raises(DownloadError, match="certificate cannot be verified") as error:
        download(Wanted([address]), target)
    assert "\n" not in str(error.value)
    assert not target.exists()


def test_no_network_is_one_line(target: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127.0.0.1:9/file.zip: the download failed 2 times") as error:
        download(Wanted(["http://127.0.0.1:9/file.zip"]), target, attempts=2, pause=0.01)
    assert "\n" not in str(error.value)
