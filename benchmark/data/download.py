"""Downloading one file: resumed where it broke off, and never mistaken for whole."""

import time
from pathlib import Path

import requests
from tqdm import tqdm

from benchmark.data.dataset import DataError

CHUNK = 1 << 20  # bytes


class DownloadError(DataError):
    """A file that could not be downloaded: its address and the reason, in one line."""


class _InterruptedError(Exception):
    """The transfer broke off; another attempt may go on from where it ended."""


def download(address: str, target: Path, size: int | None = None, attempts: int = 5, pause: float = 2.0) -> Path:
    """Download a file over verified TLS. A file that is there already is kept.

    What has arrived lies in `<target>.part` until it is complete, and a later call goes on from there.

    Args:
        address: Its URL.
        target: Where it goes. Missing parent folders are made.
        size: Its size in bytes, where known; else the server's own statement counts.
        attempts: How often to try.
        pause: Seconds before the second attempt; doubled before each further one.

    Returns:
        `target`.

    Raises:
        DownloadError: No attempt succeeded, or the file has another size than `size`.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            _transfer(address, part, size)
        except (requests.RequestException, _InterruptedError) as error:
            reason = " ".join(str(error).split())
            continue
        part.replace(target)
        return target
    raise DownloadError(f"{address}: the download failed {attempts} times; at last: {reason}")


def _transfer(address: str, part: Path, size: int | None) -> None:
    """One attempt: append to `part` what it still lacks."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=(10, 60)) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # Either all of it is there already, or `part` belongs to another file: start again to find out.
            part.unlink(missing_ok=True)
            raise _InterruptedError("the server has nothing after the part that is already here")
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 425, 429):
            raise DownloadError(f"{address}: the server answers {answer.status_code} {answer.reason}")
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else size
        if size is not None and total != size:
            raise DownloadError(f"{address}: the server offers {total} bytes, but the file has {size}")
        with (
            part.open("ab" if have else "wb") as stream,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, mininterval=5) as progress,
        ):
            for chunk in answer.iter_content(CHUNK):
                stream.write(chunk)
                progress.update(len(chunk))
    arrived = part.stat().st_size
    if total is not None and arrived != total:
        raise _InterruptedError(f"the connection ended after {arrived} of {total} bytes")
