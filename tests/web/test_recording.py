"""The page of a finished recording shows what the reader gives; a hostile question or file gets a sentence."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

import booktape
from booktape.reader.coverage import DAYS_MAX
from booktape.reader.times import moment_us
from booktape.web.recording import UNKNOWN, WAITING_MAX, RecordingAnswers
from reader.day import write
from reader.truth import moment
from store.small_recording import record
from support.oracle import SECOND, connected, rest, snapshot, start
from web.asking import get, served

pytestmark = pytest.mark.real_time

SECONDS, CUTS = 120, (40, 80)
SECOND_OF_1970, SECOND_OF_9998 = 10, 253_340_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    write(folder, SECONDS, segment_s=60, cuts=CUTS)
    return folder


@asynccontextmanager
async def page(root: Path) -> AsyncIterator[str]:
    rec = booktape.open(root, unsealed=False)
    async with served(RecordingAnswers(rec, str(root)).routes()) as server:
        yield server.url


async def asked(url: str, path: str, **query: object) -> Any:
    """A good answer."""
    words = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    status, _, body = await get(f"{url}{path}?{words}")
    assert status == 200, body
    return json.loads(body)


async def test_the_overview_shows_what_the_reader_gives(root: Path) -> None:
    """Rows, coverage, each gap with its reason, and each day."""
    rec = booktape.open(root, unsealed=False)
    async with page(root) as url:
        about = await asked(url, "about")
        found = await asked(url, "recording/overview")
    assert (about["mode"], about["name"]) == ("recording", str(root))
    assert [one["symbol"] for one in found["symbols"]] == rec.symbols()
    assert (found["damaged"], found["damaged_files"]) == ([], 0)
    for one, own in zip(found["symbols"], rec.coverage(), strict=True):
        assert (one["rows"], one["coverage"], one["lost_s"]) == (own.rows, own.coverage, own.lost_s)
        assert [(gap["from_us"], gap["to_us"], gap["reason"]) for gap in one["gaps"]] == [
            (moment_us(moment(cut)), moment_us(moment(cut + 10)), "disconnected") for cut in CUTS
        ]
        assert [day[1:] for day in one["days"]] == [[99, 2]]


@pytest.mark.parametrize("second", [0, 17, 39, 51, 99, 119])
async def test_the_ladder_at_a_moment_is_the_book_of_that_moment(root: Path, second: int) -> None:
    """A row is written after every event here, so the last row is the book."""
    rec = booktape.open(root, unsealed=False)
    book = rec.at("BTCUSDT", moment(second))
    async with page(root) as url:
        found = await asked(
            url, "recording/book", symbol="BTCUSDT", at=moment_us(moment(second)), bps=1000
        )
    assert found["gap"] is None
    shown = found["book"]
    assert shown["update_id"] == book.update_id
    assert shown["bids"] == [[*level] for level in zip(book.bid_price, book.bid_size, strict=True)]
    assert shown["asks"] == [[*level] for level in zip(book.ask_price, book.ask_size, strict=True)]


async def test_inside_a_gap_the_reason_is_shown_instead_of_a_book(root: Path) -> None:
    """The gap has no book."""
    async with page(root) as url:
        found = await asked(
            url, "recording/book", symbol="BTCUSDT", at=moment_us(moment(45)), bps=25
        )
    assert found["book"] is None
    assert found["gap"]["reason"] == "disconnected"


async def test_the_heatmap_shows_nothing_where_nothing_was_known(root: Path) -> None:
    """Each column is the reader's last book of its interval; those in a gap are marked."""
    rec = booktape.open(root, unsealed=False)
    begin, end = moment(0), moment(119)
    async with page(root) as url:
        found = await asked(
            url,
            "recording/history",
            symbol="BTCUSDT",
            **{"from": moment_us(begin), "to": moment_us(end)},
        )
    levels = np.frombuffer(base64.b64decode(found["cells"]), np.uint8)
    cells = levels.reshape(-1, found["bins"])
    assert len(cells) == len(found["bid"]) == len(found["ask"])
    times = (np.arange(len(cells)) * found["step_us"] + found["begin_us"]) / 1e6 - begin.timestamp()
    unknown = (cells == UNKNOWN).all(axis=1)
    assert not (cells == UNKNOWN).any(axis=1)[~unknown].any()
    assert [second for second in range(119) if unknown[np.searchsorted(times, second + 0.5)]] == [
        second for second in range(119) if any(cut <= second < cut + 10 for cut in CUTS)
    ]
    assert [bid is None for bid in found["bid"]] == unknown.tolist()
    for second in (5, 60, 110):
        column = int(np.searchsorted(times, second))
        book = rec.at("BTCUSDT", moment(second))
        assert (found["bid"][column], found["ask"][column]) == (book.best_bid, book.best_ask)
        place = int(
            (book.best_bid or 0) / found["price_step"] - found["low"] / found["price_step"] + 0.01
        )
        assert cells[column, place] > 0
    assert len(found["gaps"]) == len(CUTS)


async def test_a_part_begins_with_the_row_before_it(root: Path) -> None:
    """That row is valid at the start: a quiet book is not an empty one."""
    async with page(root) as url:
        found = await asked(
            url,
            "recording/history",
            symbol="BTCUSDT",
            **{"from": moment_us(moment(20)) + 100_000, "to": moment_us(moment(20)) + 900_000},
        )
    assert set(found["bid"]) == {100.0}
    assert UNKNOWN not in base64.b64decode(found["cells"])


QUESTIONS = [
    "recording/book",
    "recording/book?symbol=NOSUCH&at=0&bps=25",
    "recording/book?symbol=..%2f..%2fetc%2fpasswd&at=0&bps=25",
    "recording/book?symbol=BTCUSDT%00&at=0&bps=25",
    "recording/book?symbol=BTCUSDT",
    "recording/book?symbol=BTCUSDT&at=-1&bps=25",
    "recording/book?symbol=BTCUSDT&at=1e9&bps=25",
    "recording/book?symbol=BTCUSDT&at=NaN&bps=25",
    "recording/book?symbol=BTCUSDT&at=99999999999999999999&bps=25",
    "recording/book?symbol=BTCUSDT&at=%D9%A1&bps=25",
    "recording/book?symbol=BTCUSDT&at=1&bps=26",
    "recording/book?symbol=BTCUSDT&at=1&bps=1e400",
    "recording/history?symbol=BTCUSDT",
    "recording/history?symbol=BTCUSDT&from=1&to=",
    "recording/history?symbol=%3Cscript%3Ealert(1)%3C/script%3E&from=1&to=2",
]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_wrong_question_gets_a_sentence(root: Path, question: str) -> None:
    """Never a traceback, never another file, and never its own text back."""
    async with page(root) as url:
        status, headers, body = await get(url + question)
    assert status in {400, 404}
    assert headers["content-type"].startswith("application/json")
    assert json.loads(body)["error"]
    assert b"script" not in body
    assert b"Traceback" not in body


@pytest.mark.parametrize(("first", "last"), [(0, 9_999_999_999_999_999), (5, 1), (10**15, 10**15)])
async def test_a_time_outside_the_recording_is_moved_into_it(
    root: Path, first: int, last: int
) -> None:
    """Whatever the browser's clock shows."""
    async with page(root) as url:
        found = await asked(
            url, "recording/history", symbol="ETHUSDT", **{"from": first, "to": last}
        )
    assert moment_us(moment(0)) <= found["from_us"] <= found["to_us"] <= moment_us(moment(120))


async def test_only_a_few_questions_may_wait(root: Path) -> None:
    """While a slow one is answered, the next ones wait, and further ones are told to come back later."""
    answers, done = RecordingAnswers(booktape.open(root, unsealed=False), ""), threading.Event()
    answers._reader.submit(done.wait, 60)
    async with served(answers.routes()) as server:
        asked_for = [
            asyncio.ensure_future(get(f"{server.url}recording/overview?{number}"))
            for number in range(2 * WAITING_MAX)
        ]
        refused, _ = await asyncio.wait(asked_for, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(60):
            while sum(each.done() for each in asked_for) < WAITING_MAX:
                await asyncio.sleep(0.01)
        done.set()
        statuses = [status for status, *_ in await asyncio.gather(*asked_for)]
    assert refused
    assert statuses.count(200) == statuses.count(503) == WAITING_MAX


HOSTILE = [
    b"",
    b"PAR1",
    b"PAR1" + b"\xff" * 100 + b"PAR1",
    b"<script>alert(1)</script>",
    b"\x00" * 10_000,
]


@pytest.mark.parametrize("content", HOSTILE)
async def test_a_damaged_file_is_named_and_hides_no_other(tmp_path: Path, content: bytes) -> None:
    """Rows, gaps and checks with altered content, and a link that leads elsewhere."""
    write(tmp_path, 100, segment_s=30, cuts=(40,))
    rows = sorted((tmp_path / "snapshots/symbol=BTCUSDT").rglob("*.parquet"))
    rows[0].write_bytes(content)
    min((tmp_path / "checks").rglob("*.parquet")).write_bytes(content)
    rows[1].unlink()
    rows[1].symlink_to("/etc/passwd")
    async with page(tmp_path) as url:
        found = await asked(url, "recording/overview")
        assert {one["symbol"] for one in found["symbols"]} == {"BTCUSDT", "ETHUSDT"}
        assert found["damaged_files"] >= 2
        assert any(rows[0].name in line for line in found["damaged"])
        text = json.dumps(found)
        assert "root:" not in text
        last = next(one["last_us"] for one in found["symbols"] if one["symbol"] == "BTCUSDT")
        book = await asked(url, "recording/book", symbol="BTCUSDT", at=last, bps=25)
        assert book["book"]["bids"]


async def test_an_empty_archive_has_no_symbols(tmp_path: Path) -> None:
    """The first rows may come within the hour."""
    (tmp_path / "snapshots").mkdir()
    async with page(tmp_path) as url:
        assert (await asked(url, "recording/overview"))["symbols"] == []


async def test_a_row_is_found_across_thousands_of_years(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock was wrong, or a file is forged: few queries find the last row, and the list of days is bounded."""
    for at in (SECOND_OF_1970, SECOND_OF_9998):
        scenes = (connected(at, 1), rest(snapshot(10, {"100": "1"}, {"101": "1"}), at + 1))
        opening = replace(start(format=2), received_ns=at * SECOND)
        record(tmp_path / "data", scenes, opening=opening, tag="years")
    count = 0
    snapshots = booktape.Recording.snapshots

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return snapshots(*arguments, **options)

    monkeypatch.setattr(booktape.Recording, "snapshots", counting)
    async with page(tmp_path / "data") as url:
        (symbol,) = (await asked(url, "recording/overview"))["symbols"]
        at_us = 9 * 10**15  # in 2255
        found = await asked(
            url, "recording/history", symbol="BTCUSDT", **{"from": at_us, "to": at_us + 1}
        )
    assert len(symbol["days"]) == DAYS_MAX
    assert len(found["gaps"]) == 1
    assert count < 30
