"""Downloads against a server on this machine that misbehaves in known ways."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from benchmark.data.download import DownloadError, download

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`; cuts the first `cuts` connections in the middle."""

    cuts = 0
    ranges = True
    asked: ClassVar[list[str | None]] = []

    def handle_error(self, *arguments: object) -> None:
        """A client that hangs up early is what some tests want."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if self.path == "/absent":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        end = start + 1_200_000 if server.cuts else len(CONTENT)
        server.cuts = max(0, server.cuts - 1)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.asked.clear()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def address(server: Server, name: str = "file.zip") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


def test_whole_file_at_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.zip"
    assert download(address(server), target) == target
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["file.zip"]
    download(address(server), target)
    assert server.asked == [None]


def test_resumes_after_the_connection_was_cut(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    target = download(address(server), tmp_path / "file.zip", pause=0.01)
    assert target.read_bytes() == CONTENT
    assert server.asked[0] is None
    assert all(str(wanted).startswith("bytes=") for wanted in server.asked[1:])


def test_resumes_in_a_later_call(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    with pytest.raises(DownloadError, match="1800000 more expected"):
        download(address(server), tmp_path / "file.zip", attempts=1)
    assert not (tmp_path / "file.zip").exists()
    had = (tmp_path / "file.zip.part").stat().st_size
    assert 0 < had < len(CONTENT)
    assert download(address(server), tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.asked[1] == f"bytes={had}-"


def test_starts_again_where_the_server_knows_no_ranges(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = 1, False
    assert download(address(server), tmp_path / "file.zip", pause=0.01).read_bytes() == CONTENT


def test_part_that_is_too_long_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    assert download(address(server), tmp_path / "file.zip", pause=0.01).read_bytes() == CONTENT


def test_wrong_size_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="offers 3000000 bytes, but the file has 5"):
        download(address(server), tmp_path / "file.zip", size=5)
    assert not (tmp_path / "file.zip").exists()


def test_absent_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="answers 404"):
        download(address(server, "absent"), tmp_path / "file.zip")
    assert len(server.asked) == 1


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127.0.0.1:9/file.zip: the download failed 2 times") as error:
        download("http://127.0.0.1:9/file.zip", tmp_path / "file.zip", attempts=2, pause=0.01)
    assert "\n" not in str(error.value)
