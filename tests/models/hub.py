"""The hub on this machine: what it answers for weights, and the job that fetches them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmark.settings import BackboneSettings
from tests.data.server import Answer, Request, Server
from tests.federation.small import ROOT

COMMIT = "1" * 40
"""What `main` is."""


def hub(server: Server, repository: str, revision: str, files: dict[str, bytes]) -> None:
    """What the hub answers for a repository's weights at a revision, in whichever of its formats they are there."""

    def answer(content: bytes | None) -> Answer:
        def answered(request: Request) -> None:
            request.send_response(404 if content is None else 200)
            if content is None:
                request.send_header("X-Error-Code", "EntryNotFound")
            request.send_header("Content-Length", str(len(content or b"")))
            request.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
            request.send_header("X-Repo-Commit", COMMIT if revision == "main" else revision)
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(content or b"")

        return answered

    for file in ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin"):
        server.answers[f"/{repository}/resolve/{revision}/{file}"] = answer(files.get(file))


def fetched(
    server: Server, tmp_path: Path, output: str, settings: BackboneSettings
) -> subprocess.CompletedProcess[str]:
    """Run the job in a process of its own: the hub's address is read when its client is imported."""
    command = [sys.executable, "-m", "benchmark.models.fetch", "--settings", settings.model_dump_json()]
    environment = {**os.environ, "HF_ENDPOINT": server.address(""), "HF_HOME": str(tmp_path / "hub")}
    return subprocess.run(
        [*command, "--output", str(tmp_path / output)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
