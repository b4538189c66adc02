"""Hostile inputs of the page and of an archive's files, by name: none runs, stops anything or reads another file.

Each request goes to a page, and each file into an archive that is then shown, verified and pruned. Beside them: questions
(test_recording.py), wishes (test_live.py), names and addresses in a real browser (test_page.py), and random
damage (tests/fuzz).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import BooktapeError
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.web.recording import RecordingAnswers
from store.small_recording import record
from verify.small import BTC, FIRST, opening, rows_of, sealed, verified
from web.asking import get, send, served

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.real_time

PAGE: Final = resources.files("booktape.web").joinpath("page", "index.html").read_bytes()
HELD: Final = "what another file holds"
SCRIPT: Final = "<img src=x onerror=alert(1)>"
MARKUP: Final = "<script>alert(1)</script>"
HEAD: Final = b"Host: 127.0.0.1\r\nConnection: close\r\n"

# ── requests ────────────────────────────────────────────────────────────────────────────────────

PATHS: Final = {
    "encoded dots": b"/..%2f..%2fetc/passwd",
    "doubly encoded dots": b"/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "dots": b"/../../../../etc/passwd",
    "dots below a folder": b"/page/../../guard.py",
    "dots below a file": b"/uplot/%2e%2e/index.html",
    "two slashes": b"//etc/passwd",
    "an absolute path": b"/etc/passwd",
    "a file of the program": b"/guard.py",
    "NUL and an ending": b"/page.js%00.html",
    "NUL": b"/%00",
    "backslashes": b"/\\..\\..\\etc\\passwd",
    "a file as a folder": b"/page.js/",
    "bytes that are no text": b"/%ff%fe",
    "a long path": b"/" + b"a" * 4_000,
    "a long query": b"/?" + b"x=1&" * 500,
    "another host's address": b"http://evil.example/etc/passwd",
    "a path for a symbol": b"/recording/book?symbol=../../etc/passwd",
    "markup for a symbol": b"/recording/book?symbol=" + quote(MARKUP).encode(),
}
"""Paths that try to reach another file, or to come back as markup."""

BROKEN: Final = {
    "an empty line": b"\r\n\r\nA",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a version that is none": b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
    "an endless path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "an endless header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "thousands of headers": b"GET / HTTP/1.1\r\n" + HEAD + b"X: y\r\n" * 5_000 + b"\r\n",
    "a length below zero": b"GET / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a chunk that is none": b"GET / HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "NUL in the host": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "NUL in the method": b"GET\x00 / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "markup alone": MARKUP.encode() + b"\r\n\r\n",
}
"""Bytes that are not a request."""


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_no_path_leads_to_another_file(path: bytes) -> None:
    """Paths are keys of a table, and nothing comes back as markup."""
    async with served() as server:
        found = await send(server.port, b"GET " + path + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
    head, _, body = found.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (200|400|404|421) ", head), head
    assert b"root:" not in body
    assert b"import" not in body
    assert MARKUP.encode() not in body
    if b" 200 " in head[:16]:  # only a query or a host was added to the page's own address
        assert body == PAGE
    else:
        assert b"nosniff" in head


@pytest.mark.parametrize("request_", BROKEN.values(), ids=BROKEN)
async def test_an_invalid_request_ends_only_its_own_connection(
    request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback is sent, and the next request is answered."""
    async with served() as server:
        found = await send(server.port, request_ + b"\r\n\r\n")
        assert not found or re.match(rb"HTTP/1\.[01] 4", found), found[:100]
        assert b"Traceback" not in found
        assert (await get(server.url))[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _instead(file: Path, make: Callable[[Path], None]) -> None:
    file.unlink()
    make(file)


def _text_in(root: Path, table: str, column: str, text: str) -> None:
    """This text in each row of a small table."""
    file = next(one for one in sealed(root, table) if pq.read_metadata(one).num_rows)
    found = pq.read_table(file)
    place = found.schema.get_field_index(column)
    texts = pa.array([text] * found.num_rows, found.schema.field(place).type)
    pq.write_table(found.set_column(place, found.schema.field(place), texts), file)


def reason_in(root: Path, text: str) -> None:
    """This text as the reason of gaps."""
    _text_in(root, "gaps", "reason", text)


def _numbers_in(root: Path, value: float) -> None:
    """This value as each of the best prices, and as each price of a bid."""
    file = rows_of(root, BTC, 0)
    found = pq.read_table(file)
    for place, field in enumerate(found.schema):
        if field.name in {"best_bid", "best_ask"}:
            found = found.set_column(place, field, pa.array([value] * found.num_rows, field.type))
        elif field.name == "bid_price":
            lists = [[value] * len(row or ()) for row in found[field.name].to_pylist()]
            found = found.set_column(place, field, pa.array(lists, field.type))
    pq.write_table(found, file)


def _symbol_folder(root: Path, name: bytes) -> None:
    """The rows of a symbol again, in a folder of this name."""
    rooms = root / "snapshots"
    shutil.copytree(rooms / f"symbol={BTC}", rooms / f"symbol={os.fsdecode(name)}")


def _manifest_names(root: Path, name: str) -> None:
    file = sealed(root, "manifests")[0]
    manifest: dict[str, Any] = json.loads(file.read_text())
    sealed_file = next(iter(manifest["files"].values()))
    manifest["files"][name] = sealed_file
    file.write_text(json.dumps(manifest))


def _receipt(root: Path, **changed: object) -> None:
    """A receipt of the first segment, unlike any that booktape writes."""
    tape = sealed(root, "tape")[0]
    name = tape.name.partition(".jsonl")[0]
    folder = root / "removed" / tape.parent.name
    folder.mkdir(parents=True)
    content = {"segment": name, "removed": "all", "removed_at": "2026-01-01T00:00:00Z", **changed}
    (folder / f"{name}.json").write_text(json.dumps(content))


FILES: Final[dict[str, Callable[[Path, Path], object]]] = {
    "rows that are a link to a secret": lambda root, secret: _instead(
        rows_of(root, BTC, 0), lambda file: file.symlink_to(secret)
    ),
    "a manifest that is a link to a secret": lambda root, secret: _instead(
        sealed(root, "manifests")[0], lambda file: file.symlink_to(secret)
    ),
    "a tape that is a link to a secret": lambda root, secret: _instead(
        sealed(root, "tape")[0], lambda file: file.symlink_to(secret)
    ),
    "rows that are a FIFO": lambda root, _: _instead(rows_of(root, BTC, 0), os.mkfifo),
    "rows that never end": lambda root, _: _instead(
        rows_of(root, BTC, 0), lambda file: file.symlink_to("/dev/zero")
    ),
    "a symbol that is a link to a secret's folder": lambda root, secret: (
        root / "snapshots" / "symbol=LINKUSDT"
    ).symlink_to(secret.parent, target_is_directory=True),
    "a symbol that is a path": lambda root, _: _symbol_folder(root, b"%2E%2E%2F%2E%2E%2Fsecret"),
    "a symbol that is markup": lambda root, _: _symbol_folder(root, quote(SCRIPT).encode()),
    "a symbol that is markup, not encoded": lambda root, _: _symbol_folder(root, b"<b>X<!--"),
    "a symbol with escape sequences": lambda root, _: _symbol_folder(root, b"A%0A%1B%5B31m%07"),
    "a symbol that is no text": lambda root, _: _symbol_folder(root, b"\xff\xfe"),
    "a symbol that reads backwards": lambda root, _: _symbol_folder(
        root, quote("\u202eTDSUCTB").encode()
    ),
    "a symbol that is a word of JavaScript": lambda root, _: _symbol_folder(root, b"__proto__"),
    "a reason that is markup": lambda root, _: reason_in(root, SCRIPT),
    "a reason of a megabyte": lambda root, _: reason_in(root, "x" * (1 << 20)),
    "a detail with escape sequences": lambda root, _: _text_in(
        root, "checks", "detail", "\x1b]0;x\x07\x1b[2J"
    ),
    "prices that are no numbers": lambda root, _: _numbers_in(root, float("nan")),
    "prices without end": lambda root, _: _numbers_in(root, float("inf")),
    "the largest prices there are": lambda root, _: _numbers_in(root, 1.7e308),
    "rows that are markup": lambda root, _: rows_of(root, BTC, 0).write_text(MARKUP),
    "rows that were cut": lambda root, _: os.truncate(rows_of(root, BTC, 0), 700),
    "rows of other columns": lambda root, _: pq.write_table(
        pa.table({"symbol": [SCRIPT], "update_id": ["x"]}), rows_of(root, BTC, 0)
    ),
    "a manifest that names a secret": lambda root, secret: _manifest_names(
        root, f"../{secret.parent.name}/{secret.name}"
    ),
    "a manifest that names an absolute path": lambda root, secret: _manifest_names(
        root, str(secret)
    ),
    "a manifest of brackets": lambda root, _: sealed(root, "manifests")[0].write_text("[" * 10**6),
    "a receipt for a secret": lambda root, secret: _receipt(root, segment=f"../../{secret.name}"),
    "a receipt that is continued by a path": lambda root, _: _receipt(
        root, verified_by="9", continued_by=["../../../secret"]
    ),
    "a tape that is a bomb": lambda root, _: sealed(root, "tape")[0].write_bytes(
        zstd.compress(bytes(1 << 25))
    ),
    "a tape of brackets": lambda root, _: sealed(root, "tape")[0].write_bytes(
        zstd.compress(b"[" * 10**6 + b"\n")
    ),
}
"""What is done to an archive that has a secret beside it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "archive"
    record(root, FIRST, opening=opening(0), tag="first")
    return root


@pytest.mark.parametrize("plant", FILES.values(), ids=FILES)
async def test_no_file_of_an_archive_leads_to_another_one(
    built: Path,
    tmp_path: Path,
    plant: Callable[[Path, Path], object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The page answers for every symbol, `verify` reports or is clean, and `prune` touches nothing outside."""
    root, secret = shutil.copytree(built, tmp_path / "archive"), tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_text(f"root:{HELD}\n" * 100)
    before = secret.read_bytes()
    plant(root, secret)
    shown = await _shown(root)
    report = ""
    with suppress(BooktapeError):
        report = repr(verified(root))
    with suppress(BooktapeError, OSError, ValueError):
        prune(root, Rules(everything=Limit(age_s=0)))
    printed = "".join(capfd.readouterr())
    for text in (shown, report, printed):
        assert HELD not in text
        assert "Traceback" not in text
    assert secret.read_bytes() == before
    assert [path.name for path in tmp_path.rglob("secret")] == ["secret"]


async def _shown(root: Path) -> str:
    """Everything that a page shows of an archive: each answer is JSON, either data or a sentence."""
    texts = []
    answers = RecordingAnswers(booktape.open(root, unsealed=False), "archive")
    async with served(answers.routes()) as server:
        status, _, body = await get(server.url + "recording/overview")
        assert status == 200, body
        texts.append(body.decode())
        symbols = [one["symbol"] for one in json.loads(body)["symbols"]]
        for symbol in {*symbols, BTC, "../../elsewhere/secret"}:
            name = quote(symbol, safe="")
            for question in (
                f"recording/book?symbol={name}&at=10000000&bps=25",
                f"recording/history?symbol={name}&from=0&to=100000000",
            ):
                status, headers, body = await get(server.url + question)
                assert status in {200, 400, 404}, (question, body)
                assert headers["content-type"].startswith("application/json")
                assert headers["x-content-type-options"] == "nosniff"
                json.loads(body)
                texts.append(body.decode())
    return "\n".join(texts)
