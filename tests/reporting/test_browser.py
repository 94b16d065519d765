"""The report in a browser: headless Chromium opens it at a desktop's and at a phone's width, without a network."""

import html as escaping
import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest

PHONE, DESKTOP = 390, 1280

# Chromium's own window is never narrower than 500 px, so the page is shown in frames. Each reports what it met.
_WATCH = """<script>
window.faults = [];
const met = (event) => faults.push(`${event.type}: ${event.message || event.blockedURI || event.reason}`);
for (const name of ["error", "unhandledrejection", "securitypolicyviolation"]) window.addEventListener(name, met, true);
for (const level of ["error", "warn"]) console[level] = (...words) => faults.push(level + ": " + words.join(" "));
</script>"""
_FRAMES = """<!doctype html><title>frames</title>{frames}<pre id="found"></pre><script>
const column = (table, place) => [...table.tBodies[0].rows].map((row) => row.children[place].dataset.value);
function measure(frame) {{
  const page = frame.contentDocument, table = page.querySelector("#leaderboard table");
  const heading = [...table.querySelectorAll("thead th")].findIndex((cell) => cell.textContent.trim() === "Mean");
  const button = table.querySelectorAll("thead button")[heading], sorted = [];
  for (const _ of [1, 2]) {{ button.click(); sorted.push(column(table, heading)); }}
  return {{
    width: frame.clientWidth,
    needed: page.documentElement.scrollWidth,
    faults: frame.contentWindow.faults,
    requests: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name),
    broken: [...page.images].filter((image) => !(image.complete && image.naturalWidth)).length,
    images: page.images.length,
    sorted: sorted,
    said: table.querySelectorAll("thead th")[heading].getAttribute("aria-sort"),
  }};
}}
window.addEventListener("load", () => {{
  document.getElementById("found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
}});
</script>"""

# A proxy that nobody runs: whatever asks the network fails, and is met as a fault.
_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>", "--window-size=1400,1000", "--dump-dom"),
]


@pytest.fixture(scope="module")
def frames(html: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What Chromium says of the page, by the width that it had."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no `chromium` on the PATH (Debian: apt-get install chromium)")
    folder = tmp_path_factory.mktemp("browser")
    watched = html.replace("<head>", f"<head>{_WATCH}", 1)
    frame = '<iframe style="border:0;width:{}px;height:900px" srcdoc="{}"></iframe>'
    shown = "".join(frame.format(width, escaping.escape(watched)) for width in (PHONE, DESKTOP))
    (folder / "frames.html").write_text(_FRAMES.format(frames=shown), encoding="utf-8")
    command = [chromium, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", (folder / "frames.html").as_uri()]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return {frame["width"]: frame for frame in json.loads(escaping.unescape(found[1]))}


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_fits(frames: dict[int, dict[str, Any]], width: int) -> None:
    """Tables and figures scroll in boxes of their own; the page does not scroll sideways."""
    assert frames[width]["needed"] <= width


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_fails_and_nothing_is_asked_of_the_network(frames: dict[int, dict[str, Any]], width: int) -> None:
    assert frames[width]["faults"] == []
    assert [name for name in frames[width]["requests"] if not name.startswith("data:")] == []
    assert frames[width]["images"] > 0
    assert frames[width]["broken"] == 0


def test_a_press_on_a_heading_sorts(frames: dict[int, dict[str, Any]]) -> None:
    """Once for rising values, twice for falling ones."""
    rising, falling = ([float(value) for value in values] for values in frames[DESKTOP]["sorted"])
    assert len(set(rising)) > 1
    assert rising == sorted(rising)
    assert falling == rising[::-1]
    assert frames[DESKTOP]["said"] == "descending"
