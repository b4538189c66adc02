"""Bad contents of a file are damage; a mistake in booktape itself never is, and hostile values never end in a
traceback."""

from __future__ import annotations

import json
import math
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import Damaged, DamagedFile
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store import extents
from booktape.store.layout import Layout, Segment
from booktape.verify import compare_rows, compare_tables
from booktape.verify.model.tape import Line
from booktape.verify.report import render
from support.archives import open_archive, past_of
from support.oracle import start
from verify.small import (
    BTC,
    ETH,
    Lines,
    copy,
    edit_table,
    edit_tape,
    reseal,
    rows_of,
    sealed,
    verified,
)

MISTAKES: Final = (ValueError, TypeError, KeyError, AttributeError)


def mistaken(kind: type[Exception]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise kind("a mistake in the code")

    return fail


@pytest.mark.parametrize("kind", MISTAKES)
@pytest.mark.parametrize("place", [(compare_rows, "_lists"), (compare_tables, "_detail")])
def test_verify_does_not_report_its_own_mistakes_as_damage(
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[Any, str],
    kind: type[Exception],
) -> None:
    monkeypatch.setattr(*place, mistaken(kind))
    with pytest.raises(kind, match="a mistake"):
        verified(archive)


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_reader_and_a_start_do_not_report_their_own_mistakes_as_damage(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    root = copy(archive, tmp_path / "copy")
    monkeypatch.setattr(extents, "_extent", mistaken(kind))
    with pytest.raises(kind, match="a mistake"):
        booktape.open(root).snapshots(BTC).to_arrow()
    monkeypatch.setattr("booktape.store.archive._from_row", mistaken(kind))
    sealed(root, "tape")[-1].write_bytes(b"")  # so that a start reads the rows
    with open_archive(root) as opened, pytest.raises(kind, match="a mistake"):
        past_of(opened, start(BTC, ETH).symbols, 0)


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_removal_does_not_report_its_own_mistakes_as_damage(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    root = copy(archive, tmp_path / "copy")
    monkeypatch.setattr("booktape.retention.proof._first", mistaken(kind))
    file = rows_of(root, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    with pytest.raises(kind, match="a mistake"):
        prune(root, Rules(tapes=Limit(age_s=0)))


def crafted(change: Callable[[Lines], Any]) -> Callable[[Path], None]:
    """The second tape, with a manifest that matches the change."""

    def craft(root: Path) -> None:
        edit_tape(sealed(root, "tape")[1], change)
        reseal(root)

    return craft


def in_gap(field: str, value: object) -> Callable[[Path], None]:
    """A checkpoint with an open gap that has this value."""
    gap = {"epoch": 1, "start_ns": 1, "last_update_id": 1, "reason": "id_gap", field: value}
    return crafted(lambda lines: lines[1].update(state="syncing", gap=gap))


def manifest_of_no_text(root: Path) -> None:
    path = sealed(root, "manifests")[1]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"segment": [1.5]}))


def level_of_a_list(root: Path) -> None:
    """A comparison that failed, at a level whose side is not text."""
    detail = '[{"side":[],"price":1,"book":1,"witness":1}]'
    edit_table(sealed(root, "checks")[0], lambda rows: rows[0].update(detail=detail))
    reseal(root)


CRAFTED: Final = {
    "a kind that is a list": crafted(lambda lines: lines[5].update(k=[])),
    "a status that is an object": crafted(lambda lines: lines[1].update(status={})),
    "a gap of no reason": in_gap("reason", []),
    "a gap that begins with a text": in_gap("start_ns", "yesterday"),
    "a start after the year 9999": crafted(lambda lines: lines[0].update(received_ns=2**63 - 1)),
    "a start before the year 1": crafted(lambda lines: lines[0].update(received_ns=-(2**62))),
    "a manifest of a list": manifest_of_no_text,
    "a level whose side is a list": level_of_a_list,
}


@pytest.mark.parametrize("craft", CRAFTED.values(), ids=CRAFTED)
def test_values_of_other_types_are_findings(
    archive: Path, tmp_path: Path, craft: Callable[[Path], None]
) -> None:
    """The report can be shown."""
    root = copy(archive, tmp_path / "copy")
    craft(root)
    report = verified(root)
    assert report.exit_code == 1
    assert render(report).renderables


def test_a_payload_of_an_invalid_kind_is_still_a_line() -> None:
    """The kind may have any type: it then says that it is not text."""
    assert Line.read(b'{"k":[1],"m":{}}\n').fields["k"] == [1]


def double_column(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.append_column(table.schema.field(0), table.column(0)), path)


def no_rows(path: Path) -> None:
    pq.write_table(pq.read_schema(path).empty_table(), path)


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"epoch": [None], "update_id": ["x"], "receive_time": [1]}), path)


@pytest.mark.parametrize("change", [double_column, no_rows, other_columns])
def test_no_table_stops_a_start_or_a_reader(
    archive: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """A start continues without it; the reader warns, and shows the rest."""
    root = copy(archive, tmp_path / "copy")
    sealed(root, "tape")[-1].write_bytes(b"")
    for path in (*sealed(root, f"snapshots/symbol={BTC}"), *sealed(root, "gaps")):
        change(path)
    with open_archive(root) as opened:
        assert past_of(opened, start(BTC, ETH).symbols, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFile)
        recording = booktape.open(root)
        recording.snapshots(ETH).to_arrow()
        recording.gaps()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"bid_price": [5.0] * 9}, "different lengths"),
        ({"ask_size": [math.nan]}, "ask_size is not a number"),
        ({"best_bid": math.inf}, "best_bid is not a number"),
        ({"ask_horizon": math.nan}, "ask_horizon is not a number"),
    ],
)
def test_a_row_that_booktape_never_writes_is_not_shown(
    archive: Path, tmp_path: Path, values: dict[str, object], why: str
) -> None:
    """The file is named, and the others are shown."""
    root = copy(archive, tmp_path / "copy")
    edit_table(rows_of(root, BTC, 0), lambda rows: rows[0].update(values))
    with pytest.warns(DamagedFile, match=why):
        shown = booktape.open(root).snapshots(BTC).to_arrow()
    assert shown.num_rows


def test_a_row_without_a_value_is_not_shown(archive: Path, tmp_path: Path) -> None:
    """Nor is one without a time, an id, or a level."""
    root = copy(archive, tmp_path / "copy")
    path = rows_of(root, BTC, 0)
    table = pq.read_table(path, partitioning=None)
    prices = pa.array([[None, 1.0]] * table.num_rows, pa.list_(pa.float64()))
    place = table.schema.get_field_index("bid_price")
    pq.write_table(table.set_column(place, "bid_price", prices), path)
    with pytest.warns(DamagedFile, match="bid_price is missing"):
        assert booktape.open(root).snapshots(BTC).to_arrow().num_rows


def test_a_forged_epoch_takes_no_memory(archive: Path, tmp_path: Path) -> None:
    """Between two epochs there may be millions that no gap declares: they are not counted one by one."""
    root = copy(archive, tmp_path / "copy")
    edit_table(rows_of(root, BTC, -1), lambda rows: rows[-1].update(epoch=3_000_000))
    tracemalloc.start()
    try:
        gaps = booktape.open(root).gaps(BTC)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 << 20
    assert "undeclared" in gaps["reason"].to_pylist()


def test_a_start_reads_a_gap_that_no_book_followed(archive: Path, tmp_path: Path) -> None:
    """The gap of a delisted symbol has no next id: if tapes and rows are damaged, its last id counts."""
    root = copy(archive, tmp_path / "copy")
    sealed(root, "tape")[-1].write_bytes(b"")
    for path in sealed(root, f"snapshots/symbol={BTC}"):
        path.write_bytes(b"")
    for path in sealed(root, "gaps"):
        edit_table(path, lambda rows: [row.update(next_update_id=None) for row in rows])
    with open_archive(root) as opened:
        assert past_of(opened, start(BTC, ETH).symbols, 0)[BTC].update_id


def test_a_receipt_of_a_later_version_ends_a_pass(archive: Path, tmp_path: Path) -> None:
    """Its fields may have another meaning: nothing is removed because of it."""
    root = copy(archive, tmp_path / "copy")
    prune(root, Rules(tapes=Limit(age_s=0)))
    receipt = sealed(root, "removed")[0]
    segment = Segment.parse(receipt.name, ".json")
    assert segment
    receipt.write_text(
        json.dumps(json.loads(receipt.read_text()) | {"format": 2, "removed": "all"})
    )
    with pytest.raises(Damaged, match="its format is 2"):
        prune(root, Rules(tapes=Limit(age_s=0)))
    assert Layout(root).manifest(segment).exists()
