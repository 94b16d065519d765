"""Downloading one file: verified, resumed where it broke off, and never mistaken for whole."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from benchmark.data.dataset import DataError
from benchmark.data.disk import no_space, require_space
from benchmark.errors import one_line
from benchmark.files import read_json, sha256, write_json
from benchmark.lock import held

CHUNK = 1 << 16  # bytes: what is lost of a connection that breaks
LONGEST_PAUSE = 300.0  # seconds: no server makes us wait longer before the next attempt


class DownloadError(DataError):
    """A file that could not be downloaded: its address and the reason, in one line."""


class _InterruptedError(Exception):
    """The transfer broke off; another attempt may go on from where it ended, after `pause` seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class Wanted:
    """A file on servers, and what is known of it.

    Attributes:
        addresses: Its URLs, in the order in which they are tried: the source, then mirrors.
        size: In bytes, where known.
        sha256: Of its content, where known.
    """

    addresses: Sequence[str]
    size: int | None = None
    sha256: str | None = None


def download(wanted: Wanted, target: Path, attempts: int = 5, pause: float = 2.0, stall: float = 60.0) -> Path:
    """Download a file over verified TLS, to a target whose folders are made. A file that is there already is kept.

    What has arrived lies in `<target>.part` until it is complete and verified, and a later call goes on from there. Of
    two jobs that want the same file, one fetches it and the other waits. Each address is tried in several attempts,
    with a pause of so many seconds before the second and twice as many before each further one; a connection without a
    byte for `stall` seconds counts as broken.

    A DownloadError says that no address gave the file, with a reason for each; a DataError that the disk is too small.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with held(target.with_name(f".{target.name}.lock"), f"the download of {target.name}"):
        # The job that was waited for may have fetched it.
        for address in [] if target.exists() else wanted.addresses:
            try:
                _fetch(address, wanted, target, attempts, pause, stall)
                return target
            except DownloadError as error:
                failures.append(str(error))
    if failures:
        raise DownloadError("; ".join(failures))
    return target


def _fetch(address: str, wanted: Wanted, target: Path, attempts: int, pause: float, stall: float) -> None:
    """Bring the file from one address, in several attempts."""
    part, reason = target.with_name(target.name + ".part"), ""
    for attempt in range(attempts):
        try:
            had = _transfer(address, wanted, part, stall)
            _verify(address, wanted, part, had)
            part.replace(target)
            _notes(part).unlink(missing_ok=True)
            return
        except requests.exceptions.SSLError as error:
            raise DownloadError(f"{address}: its certificate cannot be verified ({one_line(error, 300)})") from None
        except requests.RequestException as error:
            reason, wait = one_line(error, 300), 0.0
        except _InterruptedError as error:
            reason, wait = str(error), error.pause
        except OSError as error:
            hint = "; free some space and run again: it goes on from there" if no_space(error) else ""
            raise DownloadError(f"{part}: cannot be written ({error}){hint}") from None
        if attempt + 1 < attempts:
            wait = min(max(wait, pause * 2**attempt), LONGEST_PAUSE)
            print(f"{address}: {reason}; attempt {attempt + 2} of {attempts} in {wait:.0f} s", flush=True)
            time.sleep(wait)
    raise DownloadError(f"{address}: the download failed {attempts} times; at last: {reason}")


def _transfer(address: str, wanted: Wanted, part: Path, stall: float) -> int:
    """One attempt: append to `part` what it still lacks; returns how many bytes it had."""
    have, notes = _resumable(address, wanted, part)
    if have and have == wanted.size:
        return have
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"}
        headers |= {"If-Range": notes["version"]} if notes.get("version") else {}
    with requests.get(address, headers=headers, stream=True, timeout=(10, stall)) as answer:
        _refuse(address, answer)
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            raise _InterruptedError("the server has nothing after the part that is already here")
        if answer.status_code != requests.codes.partial_content:
            have = 0
        total = _total(address, answer, have, wanted, notes, part)
        require_space(part.parent, total - have, f"the download of {address}")
        version = _version(answer)
        write_json(_notes(part), {"address": address, "version": version, "total": total})
        with (
            part.open("ab" if have else "wb") as stream,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, mininterval=5) as progress,
        ):
            for chunk in answer.iter_content(CHUNK):
                stream.write(chunk)
                progress.update(len(chunk))
    arrived = part.stat().st_size
    if arrived != total:
        raise _InterruptedError(f"the connection ended after {arrived} of {total} bytes")
    return have


def _resumable(address: str, wanted: Wanted, part: Path) -> tuple[int, dict[str, Any]]:
    """How many bytes of the file are there already, and what was noted when they arrived."""
    have = part.stat().st_size if part.exists() else 0
    try:
        notes = dict(read_json(_notes(part)))
    except (OSError, ValueError, TypeError):
        notes = {}
    # Bytes of another server go together with this one's only if the whole can be verified in the end.
    foreign = notes.get("address") != address and wanted.sha256 is None
    if have and (foreign or have > (wanted.size or have)):
        part.unlink()
        return 0, {}
    return have, notes if notes.get("address") == address else {}


def _refuse(address: str, answer: requests.Response) -> None:
    """Errors that another attempt will not mend, and those that it may."""
    if address.startswith("https:") and not answer.url.startswith("https:"):
        raise DownloadError(f"{address}: redirects to {answer.url}, which is not encrypted")
    status = answer.status_code
    if status in (408, 425, 429) or status >= 500:
        after = answer.headers.get("Retry-After", "")
        raise _InterruptedError(
            f"the server answers {status} {answer.reason}", float(after) if after.isdigit() else 0.0
        )
    if status >= 400 and status != requests.codes.requested_range_not_satisfiable:
        raise DownloadError(f"{address}: the server answers {status} {answer.reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{address}: the server sends a web page instead of the file; look at it in a browser")


def _total(
    address: str, answer: requests.Response, have: int, wanted: Wanted, notes: dict[str, Any], part: Path
) -> int:
    """The whole file's size in bytes by the server's answer, once it agrees with all that is known."""
    if answer.status_code == requests.codes.partial_content:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != have or int(span[2]) != notes.get("total", int(span[2])):
            part.unlink()
            raise _InterruptedError("the server sends another part than the one asked for, or another file")
        total = int(span[2])
    elif (length := answer.headers.get("Content-Length")) is not None:
        total = int(length)
    elif wanted.size is not None:
        total = wanted.size
    else:
        raise DownloadError(f"{address}: the server does not say how large the file is, so it cannot be verified")
    if wanted.size is not None and total != wanted.size:
        raise DownloadError(f"{address}: the server offers {total} bytes, but the file has {wanted.size}")
    return total


def _version(answer: requests.Response) -> str:
    """What tells this version of the file from another: a strong ETag, else its date; empty where there is neither."""
    etag = str(answer.headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def _verify(address: str, wanted: Wanted, part: Path, had: int) -> None:
    """Compare the content's hash; what is wrong is thrown away, and fetched anew if it was put together from parts."""
    if wanted.sha256 is not None and (found := sha256(part)) != wanted.sha256:
        part.unlink()
        _notes(part).unlink(missing_ok=True)
        fault = f"sent a file with SHA-256 {found}, expected {wanted.sha256}"
        raise _InterruptedError(fault) if had else DownloadError(f"{address}: {fault}")


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")
