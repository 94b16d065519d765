"""Headless Chromium, where it is installed: what it says of a report that it opens without a network."""

import html as escaping
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# Chromium's own window is never narrower than 500 px, so the page is shown in frames. Each reports what it met.
_WATCH = """<script>
window.faults = [];
const met = (event) => faults.push(`${event.type}: ${event.message || event.blockedURI || event.reason}`);
for (const name of ["error", "unhandledrejection", "securitypolicyviolation"]) window.addEventListener(name, met, true);
for (const level of ["error", "warn"]) console[level] = (...words) => faults.push(level + ": " + words.join(" "));
</script>"""
# What a reader does, in the page of each frame.
_READER = Path(__file__).with_name("reader.js").read_text(encoding="utf-8")

# A proxy that nobody runs: whatever asks the network fails, and is met as a fault.
_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>", "--window-size=1400,1000", "--dump-dom"),
    # Frames of one folder may look into each other; time passes as fast as the page lets it.
    *("--allow-file-access-from-files", "--virtual-time-budget=30000"),
]


def read(html: str, frames: Sequence[tuple[int, str]], folder: Path, *, act: bool = False) -> dict[str, Any]:
    """Open a page in frames, and look.

    Args:
        html: The page.
        frames: Width in pixels, and what stands behind the # of the address, of each frame.
        folder: Where files may be written.
        act: Whether a reader uses the page of the first frame, see `reader.js`.

    Returns:
        `frames`, what each showed before anything was done; `done`, what the reader found.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no `chromium` on the PATH (Debian: apt-get install chromium)")
    folder.mkdir(exist_ok=True)
    (folder / "report.html").write_text(html.replace("<head>", f"<head>{_WATCH}", 1), encoding="utf-8")
    frame = '<iframe style="border:0;width:{}px;height:900px" src="report.html{}"></iframe>'
    shown = "".join(frame.format(*how) for how in frames)
    script = f"<script>const ACTS = {json.dumps(act)};\n{_READER}</script>"
    page = f'<!doctype html><title>frames</title>{shown}<pre id="found"></pre>{script}'
    (folder / "frames.html").write_text(page, encoding="utf-8")
    command = [chromium, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", (folder / "frames.html").as_uri()]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    said = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert said, done.stderr
    content: dict[str, Any] = json.loads(escaping.unescape(said[1]))
    return content
