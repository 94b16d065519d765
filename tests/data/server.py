"""A server on this machine that misbehaves in known ways."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, which the server's `answers` for its path answers."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """Answers by path, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def ranges(self) -> list[str | None]:
        """The `Range` of every request."""
        return [wanted for _, wanted in self.asked]

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *arguments: object) -> None:
        """A client that hangs up early is what some tests want."""


@contextmanager
def running() -> Iterator[Server]:
    """A server that runs for the length of a block."""
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def serve(
    content: bytes,
    cuts: int = 0,
    stalls: int = 0,
    ranges: bool = True,
    etag: str = "",
    claims: int | None = None,
    delay: float = 0.0,
    kind: str = "application/octet-stream",
) -> Answer:
    """Answers with a file.

    Args:
        content: The file.
        cuts: How many of the first answers break off in the middle.
        stalls: How many of the first answers stop in the middle and keep the connection.
        ranges: Whether a part of the file can be asked for.
        etag: The file's version.
        claims: The length that the head states; the true one where None.
        delay: Seconds before the answer.
        kind: The media type.
    """
    left = {"cuts": cuts, "stalls": stalls}

    def answer(request: Request) -> None:
        if delay:
            time.sleep(delay)
        wanted = request.headers.get("Range") if ranges else None
        if request.headers.get("If-Range", etag) != etag:
            wanted = None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(content) - start if claims is None else claims))
        request.send_header("Content-Type", kind)
        if etag:
            request.send_header("ETag", etag)
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if request.command == "HEAD":
            return
        fault = next((name for name in ("cuts", "stalls") if left[name]), None)
        if fault:
            left[fault] -= 1
            request.wfile.write(content[start : start + (len(content) - start) // 2])
            request.wfile.flush()
            if fault == "stalls":
                time.sleep(0.6)
        else:
            request.wfile.write(content[start:])
        if fault or claims is not None:
            request.close_connection = True

    return answer


def fail(status: int, times: int, then: Answer, headers: dict[str, str] | None = None) -> Answer:
    """Answers with an error some times, then properly."""
    left = [times]

    def answer(request: Request) -> None:
        if left[0]:
            left[0] -= 1
            request.send_response(status)
            for name, value in {"Content-Length": "0", **(headers or {})}.items():
                request.send_header(name, value)
            request.end_headers()
        else:
            then(request)

    return answer


def redirect(address: str) -> Answer:
    """Answers with another address."""

    def answer(request: Request) -> None:
        request.send_response(302)
        request.send_header("Location", address)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer
