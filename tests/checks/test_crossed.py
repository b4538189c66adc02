"""A crossed book that the exchange sent is stored as sent, noted in `checks`, and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import booktape
from booktape.checks.crossed import crossed
from booktape.checks.symbol_pipeline import SymbolPipeline
from booktape.core.book import OrderBook
from booktape.core.checks import Check, Difference
from booktape.core.events import BookRow
from booktape.core.sync import SymbolSync
from booktape.core.tape_records import Tick
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.summary import summarize
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from booktape.store.schema import CHECKS
from store.small_recording import Scene, record
from support.oracle import SECOND, asked, connected, event, rest, snapshot, start, stream
from verify.small import edit_table, reseal, sealed, verified

B = "BTCUSDT"
FORMATS = (1, 2)


def known(every: int = 1, tape_format: int = 2) -> SymbolPipeline:
    """LIVE at id 10 since second 2: 99 to 101."""
    pipeline = SymbolPipeline(SymbolSync(B, tape_format), every, 1_000, 5_000)
    pipeline.handle(connected(1), SECOND)
    pipeline.on_snapshot(snapshot(10, {"99": "1"}, {"101": "1"}), 2 * SECOND)
    return pipeline


def note(at: int, update_id: int, bid: tuple[float, float], ask: tuple[float, float]) -> Check:
    levels = Difference("bid", *bid, 0.0), Difference("ask", *ask, 0.0)
    return Check(B, at * SECOND, update_id, "book", 2, levels)


@pytest.mark.parametrize(
    ("bids", "asks", "is_noted"),
    [
        ([(99.0, 1.0)], [(101.0, 2.0)], False),
        ([(101.0, 1.0)], [(101.0, 2.0)], True),
        ([(102.0, 1.0), (99.0, 3.0)], [(101.0, 2.0), (103.0, 1.0)], True),
        ([(102.0, 1.0)], [], False),
        ([], [(101.0, 2.0)], False),
    ],
    ids=["apart", "equal", "above", "no asks", "no bids"],
)
@pytest.mark.parametrize("tape_format", FORMATS)
def test_a_best_bid_that_is_not_below_the_best_ask_is_noted(
    bids: list[tuple[float, float]],
    asks: list[tuple[float, float]],
    tape_format: int,
    *,
    is_noted: bool,
) -> None:
    """The check names both levels. A tape of format 1 is read as it was written: nothing is noted."""
    sync = SymbolSync(B, tape_format)
    sync.book, sync.update_id = OrderBook(bids, asks), 7
    wanted = [note(5, 7, bids[0], asks[0])] if is_noted and tape_format == 2 else []
    assert crossed(sync, 5 * SECOND) == wanted


def test_each_crossed_row_has_one_check_with_its_id_and_time() -> None:
    """From the event that crosses the book until the event that ends this, at every N-th event."""
    pipeline = known(every=2)
    assert pipeline.handle(event(11, 11, {"102": "5"}), 3 * SECOND) == []
    row, check = pipeline.handle(event(12, 12, {"98": "1"}), 4 * SECOND)
    assert isinstance(row, BookRow)
    assert (row.bid_price[0], row.ask_price[0]) == (102, 101)
    assert check == note(4, 12, (102, 5), (101, 1))
    assert pipeline.handle(event(13, 13, {"102": "0"}), 5 * SECOND) == []
    (row,) = pipeline.handle(event(14, 14, {"97": "1"}), 6 * SECOND)
    assert isinstance(row, BookRow)


def test_a_crossed_snapshot_is_stored_as_a_row_and_noted() -> None:
    """A book begins with what the exchange sent."""
    pipeline = SymbolPipeline(SymbolSync(B), 10, 0, 5_000)
    pipeline.handle(connected(1), SECOND)
    found = pipeline.on_snapshot(snapshot(10, {"101": "1"}, {"101": "2"}), 2 * SECOND)
    assert found[2:] == [note(2, 10, (101, 1), (101, 2))]


@pytest.mark.parametrize(("every", "noted_before"), [(2, 0), (1, 1)])
def test_between_two_rows_an_audit_notes_a_crossed_book(every: int, noted_before: int) -> None:
    """It is noted once: a state that is a row was already noted with the row."""
    pipeline = known(every)
    found = pipeline.handle(event(11, 11, {"102": "5"}), 3 * SECOND)
    assert found[1:] == [note(3, 11, (102, 5), (101, 1))] * noted_before
    pipeline.on_request_sent(3 * SECOND)
    answer = snapshot(11, {"102": "5", "99": "1"}, {"101": "1"})
    audit, *noted = pipeline.on_snapshot(answer, 4 * SECOND)
    assert audit == Check(B, 4 * SECOND, 11, "rest", 3)
    assert noted == [note(4, 11, (102, 5), (101, 1))] * (1 - noted_before)


def test_an_audit_that_fails_proves_nothing_about_the_exchange() -> None:
    """That book was not the exchange's."""
    pipeline = known(every=2)
    pipeline.handle(event(11, 11, {"102": "5"}), 3 * SECOND)
    pipeline.on_request_sent(3 * SECOND)
    found = pipeline.on_snapshot(snapshot(11, {"99": "1"}, {"101": "1"}), 4 * SECOND)
    assert [each.witness for each in found if isinstance(each, Check)] == ["rest"]


# ── in an archive ───────────────────────────────────────────────────────────────────────────

SCENES: tuple[Scene, ...] = (
    connected(1, 1),
    rest(snapshot(10, {"99": "1", "98": "1"}, {"101": "1", "102": "4"}), 2),
    stream(event(11, 11, {"98": "2"}), 3, 1),
    stream(event(12, 12, {"101.5": "5"}), 4, 1),  # a crossed row
    stream(event(13, 13, {"98": "3"}), 5, 1),  # crossed between two rows
    asked(6),
    rest(snapshot(13, {"101.5": "5", "99": "1", "98": "3"}, {"101": "1", "102": "4"}), 7),
    Tick(8 * SECOND, SECOND),
    stream(event(14, 14, {}, {"101": "2"}), 9, 1),  # another crossed row
    stream(event(15, 15, {"101.5": "0"}), 10, 1),
    stream(event(16, 16, {"98": "7"}), 11, 1),
)


def written(root: Path, tape_format: int = 2) -> Path:
    opening = start(B, every=2, audit_s=900.0, format=tape_format, witness="depth20")
    record(root, SCENES[: 7 if tape_format == 1 else None], opening=opening, tag="only")
    return root


def noted(root: Path) -> list[tuple[int, str]]:
    """Ids and details of the checks whose witness is the book itself."""
    checks = booktape.open(root).checks().to_pylist()
    return [(one["update_id"], one["detail"]) for one in checks if one["witness"] == "book"]


def test_what_the_exchange_sent_is_stored_noted_and_counted(tmp_path: Path) -> None:
    """Rows, checks and `info` agree, and `verify` derives the same from the tape."""
    root = written(tmp_path)
    rows = booktape.open(root).snapshots(B).to_arrow().to_pylist()
    crossing = [row["update_id"] for row in rows if row["bid_price"][0] >= row["ask_price"][0]]
    assert crossing == [12, 14]
    assert [update_id for update_id, _ in noted(root)] == [12, 13, 14]
    assert noted(root)[0][1] == (
        '[{"side":"bid","price":101.5,"book":5.0,"witness":0.0},'
        '{"side":"ask","price":101.0,"book":1.0,"witness":0.0}]'
    )
    assert summarize(ArchiveFiles.find(root), booktape.open(root)).crossed == {B: 3}
    report = verified(root)
    assert report.found.kept == []


def test_a_tape_of_format_1_keeps_its_checks(tmp_path: Path) -> None:
    """Its recorder did not look for crossed books; the old archive must still verify."""
    root = written(tmp_path, tape_format=1)
    assert noted(root) == []
    assert verified(root).found.kept == []


def _remove(rows: list[dict[str, object]]) -> None:
    del rows[next(at for at, row in enumerate(rows) if row["witness"] == "book")]


def _forge(rows: list[dict[str, object]]) -> None:
    row = next(row for row in rows if row["witness"] == "book")
    row["detail"] = str(row["detail"]).replace("101.5", "100.5")


def _add(rows: list[dict[str, object]]) -> None:
    row = next(row for row in rows if row["witness"] == "book")
    rows.append({**row, "update_id": 16})


@pytest.mark.parametrize("change", [_remove, _forge, _add])
def test_verify_finds_a_note_that_is_missing_changed_or_invented(
    tmp_path: Path, change: Callable[[list[dict[str, object]]], None]
) -> None:
    """Even if the manifest was forged to match."""
    root = written(tmp_path)
    (checks,) = sealed(root, "checks")
    edit_table(checks, change, CHECKS)
    reseal(root)
    assert verified(root).found.kept


def test_a_crossed_book_in_an_unsealed_segment_is_noted_too(tmp_path: Path) -> None:
    """The reader computes it from the tape, at the recording's own N."""
    root = written(tmp_path / "sealed")
    (segment,) = sealed_tapes(Layout(root))
    running = Layout(tmp_path / "running").writing_tape(segment)
    running.parent.mkdir(parents=True)
    running.write_bytes(Layout(root).tape(segment).read_bytes())
    unsealed = booktape.open(tmp_path / "running").checks()
    assert unsealed.to_pylist() == booktape.open(root).checks().to_pylist()
