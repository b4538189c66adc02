"""Every kind of damage is found and named, even where the manifest was made to fit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booktape.store.schema import FIRST_OF, GAPS, SNAPSHOTS, SNAPSHOTS_1
from booktape.verify.findings import Kind
from verify.small import (
    BTC,
    ETH,
    Lines,
    copy,
    edit_table,
    edit_tape,
    remove_segment,
    reseal,
    rows_of,
    sealed,
    verified,
)

Damage: TypeAlias = Callable[[Path], Any]
"""Damages an archive; returns a word that a finding must contain."""


def change_bytes(room: str, change: Callable[[bytes], bytes]) -> Damage:
    """Other content for the first file of a folder."""

    def damage(root: Path) -> str:
        path = sealed(root, room)[0]
        path.write_bytes(change(path.read_bytes()))
        return path.name

    return damage


def flip(at: float) -> Callable[[bytes], bytes]:
    """Flip one bit in this part of the file."""

    def change(content: bytes) -> bytes:
        index = int(at * len(content))
        return content[:index] + bytes([content[index] ^ 4]) + content[index + 1 :]

    return change


def delete(room: str, index: int = 0) -> Damage:
    """A file is missing."""

    def damage(root: Path) -> str:
        path = sealed(root, room)[index]
        path.unlink()
        return path.name.partition(".json")[0].removesuffix(".parquet")

    return damage


def put(room: str, name: str) -> Damage:
    """A file that was never sealed."""

    def damage(root: Path) -> str:
        path = sealed(root, room)[0]
        shutil.copy(path, path.with_name(name))
        return name.removesuffix(".parquet")

    return damage


def swap(room: str, one: int, other: int) -> Damage:
    """Two files swap places."""

    def damage(root: Path) -> str:
        paths = sealed(root, room)
        first, second = paths[one].read_bytes(), paths[other].read_bytes()
        paths[one].write_bytes(second)
        paths[other].write_bytes(first)
        return paths[one].name.partition(".json")[0].removesuffix(".parquet")

    return damage


def segment_gone(index: int) -> Damage:
    """All files of a segment are missing; the next one reveals it."""

    def damage(root: Path) -> str:
        remove_segment(root, index)
        return "a segment between them is missing"

    return damage


def rename_segment(root: Path) -> str:
    """All its files get another name."""
    old = sealed(root, "tape")[-1].name.removesuffix(".jsonl.zst")
    new = old.replace("000320", "000321")
    for path in [p for p in root.rglob(f"{old}.*") if p.is_file()]:
        path.rename(path.with_name(path.name.replace(old, new)))
    return new


def wrong_day(root: Path) -> str:
    path = sealed(root, "gaps")[0]
    folder = path.parent.with_name("date=1970-01-02")
    folder.mkdir()
    path.rename(folder / path.name)
    return "1970-01-02"


def tape(segment: int, change: Callable[[Lines], Any]) -> Damage:
    """Edit the lines of a tape."""

    def damage(root: Path) -> str:
        path = sealed(root, "tape")[segment]
        edit_tape(path, change)
        return path.name[:22]

    return damage


def rows(change: Callable[[Lines], Any], schema: pa.Schema = SNAPSHOTS) -> Damage:
    """Edit the rows in BTCUSDT's first file."""

    def damage(root: Path) -> str:
        path = rows_of(root, BTC, 0)
        edit_table(path, change, schema)
        return path.name

    return damage


def table(room: str, index: int, change: Callable[[Lines], Any]) -> Damage:
    """Edit the rows of a small table."""

    def damage(root: Path) -> str:
        path = sealed(root, room)[index]
        edit_table(path, change)
        return path.name

    return damage


def of_kind(lines: Lines, kind: str, index: int = 0) -> int:
    return [n for n, line in enumerate(lines) if line["k"] == kind][index]


def drop(kind: str, index: int = 0) -> Callable[[Lines], Any]:
    return lambda lines: lines.pop(of_kind(lines, kind, index))


def change(kind: str, index: int, **fields: Any) -> Callable[[Lines], Any]:
    return lambda lines: lines[of_kind(lines, kind, index)].update(fields)


def payload(kind: str, index: int, **fields: Any) -> Callable[[Lines], Any]:
    """Other content for the exchange's message."""

    def edit(lines: Lines) -> None:
        message = lines[of_kind(lines, kind, index)]["m"]
        message.get("data", message).update(fields)

    return edit


def exchange(kind: str, one: int, other: int) -> Callable[[Lines], Any]:
    def edit(lines: Lines) -> None:
        a, b = of_kind(lines, kind, one), of_kind(lines, kind, other)
        lines[a], lines[b] = lines[b], lines[a]

    return edit


def value(row: int, column: str, new: Callable[[Any], Any]) -> Callable[[Lines], Any]:
    def edit(found: Lines) -> None:
        found[row][column] = new(found[row][column])

    return edit


def level(row: int, column: str, at: int, new: Callable[[float], float]) -> Callable[[Lines], Any]:
    def edit(found: Lines) -> None:
        found[row][column][at] = new(found[row][column][at])

    return edit


def both(row: int, do: Callable[[list[float]], Any]) -> Callable[[Lines], Any]:
    """The same for the prices and the sizes of a side."""

    def edit(found: Lines) -> None:
        do(found[row]["bid_price"])
        do(found[row]["bid_size"])

    return edit


def second(value: Any) -> Any:
    return value.replace(second=value.second + 1)


def turned(values: list[float]) -> None:
    values[0], values[1] = values[1], values[0]


def without(column: str) -> pa.Schema:
    return SNAPSHOTS.remove(SNAPSHOTS.get_field_index(column))


FILES: Final[Mapping[str, Damage]] = MappingProxyType(
    {
        "tape cut in half": change_bytes("tape", lambda b: b[: len(b) // 2]),
        "tape cut by a byte": change_bytes("tape", lambda b: b[:-1]),
        "tape emptied": change_bytes("tape", lambda _: b""),
        "tape with a bit turned": change_bytes("tape", flip(0.5)),
        "tape with something behind": change_bytes("tape", lambda b: b + b"more"),
        "tape twice": change_bytes("tape", lambda b: b + b),
        "tape gone": delete("tape", 1),
        "tapes swapped": swap("tape", 0, 1),
        "rows with a bit turned": change_bytes("snapshots", flip(0.3)),
        "rows cut": change_bytes("snapshots", lambda b: b[:-9]),
        "rows that are none": change_bytes("snapshots", lambda _: b"no Parquet"),
        "rows gone": delete("snapshots"),
        "rows of two symbols swapped": swap("snapshots", 0, 1),
        "rows of two segments swapped": swap("snapshots", 1, 3),
        "gaps gone": delete("gaps"),
        "gaps with a bit turned": change_bytes("gaps", flip(0.2)),
        "checks gone": delete("checks"),
        "checks that are none": change_bytes("checks", lambda b: b[4:]),
        "notes gone": delete("notes"),
        "manifest gone": delete("manifests"),
        "manifest cut": change_bytes("manifests", lambda b: b[:40]),
        "manifest emptied": change_bytes("manifests", lambda _: b"{}"),
        "manifest of something else": change_bytes(
            "manifests", lambda _: b'{"segment":1,"files":[]}'
        ),
        "manifests swapped": swap("manifests", 0, 1),
        "manifest with other seals": change_bytes(
            "manifests", lambda b: b.replace(b'"bytes"', b'"octets"')
        ),
        "a file more": put("gaps", "19700101T000001.000000Z-more.parquet"),
        "a file that is not ours": put("tape", "copy of a tape.jsonl.zst"),
        "a file under another day": wrong_day,
        "a segment gone": segment_gone(1),
        "a recording gone": segment_gone(3),
        "a segment renamed": rename_segment,
    }
)

CONTENT: Final[Mapping[str, Damage]] = MappingProxyType(
    {
        "an event gone": tape(0, drop("ws", 1)),
        "an event of the other symbol gone": tape(0, drop("ws", 3)),
        "two events swapped": tape(0, exchange("ws", 1, 2)),
        "an event later": tape(0, change("ws", 2, received_ns=6_500_000_000)),
        "an event on a connection that is none": tape(0, change("ws", 2, connection=7)),
        "a size in an event": tape(0, payload("ws", 2, b=[["97", "0.2"]])),
        "a price in an event": tape(0, payload("ws", 2, b=[["97.00000001", "0.1"]])),
        "a number that no double is": tape(
            0, payload("ws", 2, b=[["97", "0.10000000000000000001"]])
        ),
        "an event's time": tape(0, payload("ws", 2, E=9)),
        "an event's last id": tape(0, payload("ws", 2, u=13)),
        "an answer gone": tape(0, drop("rest", 0)),
        "an answer's id": tape(0, payload("rest", 0, lastUpdateId=11)),
        "an answer's limit": tape(0, change("rest", 0, limit=5000)),
        "an answer's level": tape(0, payload("rest", 1, bids=[["0.03", "9"]])),
        "an audit not asked for": tape(0, drop("asked")),
        "an audit's answer gone": tape(0, drop("rest", 2)),
        "a witness gone": tape(0, drop("ws", 0)),
        "a witness that differs": tape(0, payload("ws", 0, bids=[["100", "4"]])),
        "a halt is missing": tape(0, drop("status")),
        "another status": tape(0, change("status", 0, status="BREAK")),
        "a delisting": tape(0, change("status", 0, status="DELISTED")),
        "a clock step": tape(2, change("clock-step", 0, step_ns=-1_500_001_000)),
        "a hold that did not run out": tape(1, drop("hold-expired")),
        "a connection is missing": tape(0, drop("connected")),
        "a connection not taken over": tape(1, drop("connected", 0)),
        "a connection not lost": tape(2, drop("disconnected")),
        "a connection alive for longer": tape(2, change("disconnected", 0, alive_ns=70 * 10**9)),
        "another N": tape(0, change("start", 0, every=3)),
        "another N in a later segment": tape(1, change("start", 0, every=1)),
        "another version in a later segment": tape(1, change("start", 0, version="other")),
        "a symbol less in a later segment": tape(1, change("start", 0, symbols=[BTC])),
        "another beginning": tape(0, change("start", 0, received_ns=5_000)),
        "no beginning": tape(0, drop("start")),
        "two beginnings": tape(0, lambda lines: lines.insert(0, lines[0])),
        "no end": tape(0, drop("end")),
        "another end": tape(0, change("end", 0, reason="stopped")),
        "an end for no known reason": tape(2, change("end", 0, reason="tired")),
        "stopped later": tape(2, change("end", 0, received_ns=72 * 10**9)),
        "a line after the end": tape(0, lambda lines: lines.append(lines[3])),
        "a line that is none": tape(0, lambda lines: lines.insert(4, {"k": "gossip"})),
        "a line without its time": tape(0, lambda lines: lines[3].pop("received_ns")),
        "a first checkpoint gone": tape(1, drop("checkpoint", 0)),
        "a last checkpoint gone": tape(2, drop("checkpoint", -1)),
        "a checkpoint's epoch": tape(3, change("checkpoint", 0, epoch=9)),
        "a last checkpoint's epoch": tape(2, change("checkpoint", -1, epoch=9)),
        "a checkpoint's book": tape(1, change("checkpoint", 0, bids=[[100.0, 8.0]])),
        "a checkpoint's id": tape(1, change("checkpoint", 1, update_id=6)),
        "a checkpoint's events": tape(1, change("checkpoint", 0, ahead=[5])),
        "a checkpoint in the middle": tape(1, lambda lines: lines.append(lines[1])),
        "one level's price": rows(level(1, "bid_price", 0, lambda x: x + 0.01)),
        "one level's size, by the least there is": rows(
            level(1, "ask_size", 0, lambda x: math.nextafter(x, 9))
        ),
        "a size that is no number": rows(level(1, "ask_size", 0, lambda _: math.nan)),
        "a level gone": rows(both(1, lambda values: values.pop(1))),
        "a level more": rows(both(1, lambda values: values.append(1.0))),
        "two levels swapped": rows(both(1, turned)),
        "a horizon moved": rows(value(0, "bid_horizon", lambda x: x - 1)),
        "a horizon gone": rows(value(0, "bid_horizon", lambda _: None)),
        "a horizon more": rows(value(0, "ask_horizon", lambda _: 102.0)),
        "a best bid": rows(value(1, "best_bid", lambda x: x - 0.01)),
        "a best bid's size, by the least there is": rows(
            value(1, "best_bid_size", lambda x: math.nextafter(x, 9))
        ),
        "no best ask": rows(value(1, "best_ask", lambda _: None)),
        "a best ask that is no number": rows(value(1, "best_ask", lambda _: math.nan)),
        "a best ask's size of the second level": rows(value(0, "best_ask_size", lambda x: x + 1)),
        "a best price gone": rows(lambda _: None, without("best_bid")),
        "an older format than the columns have": rows(lambda _: None, SNAPSHOTS.with_metadata({})),
        "a later format": rows(
            lambda _: None, SNAPSHOTS.with_metadata({"booktape.table_format": "3"})
        ),
        "an epoch": rows(value(1, "epoch", lambda x: x + 1)),
        "a count of updates": rows(value(1, "updates", lambda x: x + 1)),
        "an update id": rows(value(1, "update_id", lambda x: x - 1)),
        "an event's time in a row": rows(value(1, "event_time", second)),
        "no event's time in a row": rows(value(1, "event_time", lambda _: None)),
        "a receive time": rows(value(1, "receive_time", second)),
        "a row gone": rows(lambda found: found.pop(1)),
        "the last row gone": rows(lambda found: found.pop()),
        "all rows gone": rows(lambda found: found.clear()),
        "a row twice": rows(lambda found: found.insert(1, found[1])),
        "two rows swapped": rows(lambda found: found.reverse()),
        "a column gone": rows(lambda _: None, without("bid_horizon")),
        "a column of another type": rows(
            lambda _: None,
            SNAPSHOTS.set(2, pa.field("update_id", pa.int32(), nullable=False)),
        ),
        "a gap gone": table("gaps", 0, lambda found: found.pop()),
        "a gap more": table("gaps", 0, lambda found: found.append(found[0])),
        "gaps swapped": table("gaps", 2, lambda found: found.reverse()),
        "a gap's symbol": table("gaps", 0, value(0, "symbol", lambda _: ETH)),
        "a gap's epoch": table("gaps", 0, value(0, "epoch", lambda x: x + 1)),
        "a gap's start": table("gaps", 0, value(0, "start_time", second)),
        "a gap's end": table("gaps", 0, value(0, "end_time", second)),
        "a gap left open": table("gaps", 0, value(0, "end_time", lambda _: None)),
        "a gap's last id": table("gaps", 0, value(0, "last_update_id", lambda x: x + 1)),
        "a gap's next id": table("gaps", 0, value(0, "next_update_id", lambda x: x + 1)),
        "what a gap missed": table("gaps", 0, value(0, "missed_updates", lambda x: x - 1)),
        "a gap's reason": table("gaps", 0, value(0, "reason", lambda _: "stopped")),
        "a check gone": table("checks", 0, lambda found: found.pop()),
        "a check's time": table("checks", 0, value(0, "time", second)),
        "a check's id": table("checks", 0, value(0, "update_id", lambda x: x + 1)),
        "a check's witness": table("checks", 0, value(0, "witness", lambda _: "depth20")),
        "how much a check compared": table(
            "checks", 0, value(0, "levels_compared", lambda x: x + 1)
        ),
        "a failed check that passed": table("checks", 2, value(0, "mismatches", lambda _: 0)),
        "what a failed check saw": table(
            "checks", 2, value(0, "detail", lambda x: x.replace("9.0", "9.5"))
        ),
        "a check without detail": table("checks", 2, value(0, "detail", lambda _: "[not JSON")),
        "a note gone": table("notes", 0, lambda found: found.pop()),
        "a note's symbol": table("notes", 0, value(0, "symbol", lambda _: None)),
        "a note's detail": table("notes", 2, value(0, "detail", lambda _: "-1.500001")),
    }
)


def test_the_undamaged_archive_is_clean(archive: Path, tmp_path: Path) -> None:
    """The starting point of all damage, also after its manifests are written again."""
    assert verified(archive).clean
    root = copy(archive, tmp_path / "copy")
    reseal(root)
    report = verified(root)
    assert report.clean
    assert report.found.counts_of(BTC).equal == {"rows": 12, "gaps": 5, "checks": 4}


@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_is_named(archive: Path, tmp_path: Path, what: str) -> None:
    """Whatever happened to the file; nothing crashes."""
    root = copy(archive, tmp_path / "copy")
    name = FILES[what](root)
    report = verified(root)
    assert report.exit_code == 1
    assert any(name in found.file or name in found.what for found in report.found.kept)


@pytest.mark.parametrize("what", CONTENT)
def test_changed_content_is_named(archive: Path, tmp_path: Path, what: str) -> None:
    """Even if every manifest fits: the tape contradicts the rows, or another tape."""
    root = copy(archive, tmp_path / "copy")
    name = CONTENT[what](root)
    reseal(root)
    report = verified(root)
    assert report.found.count[Kind.DIFFERENT]
    assert any(name[:22] in found.file for found in report.found.kept)


def test_there_are_many_kinds_of_damage() -> None:
    """At least thirty were required."""
    assert len(FILES) + len(CONTENT) > 100


def test_a_missing_segment_is_distinguished_from_a_changed_one(
    archive: Path, tmp_path: Path
) -> None:
    """Rows that follow from the checkpoints after it are unproven."""
    root = copy(archive, tmp_path / "copy")
    remove_segment(root, 1)
    report = verified(root)
    assert "a segment between them is missing" in report.found.kept[0].what
    assert report.found.count[Kind.TRUST]


def test_rows_after_missing_first_segments_are_unproven(archive: Path, tmp_path: Path) -> None:
    """Nothing differs, but rows that follow from a checkpoint alone are unproven."""
    root = copy(archive, tmp_path / "copy")
    remove_segment(root, 0)
    report = verified(root)
    assert not report.found.count[Kind.DIFFERENT]
    assert {found.symbol for found in report.found.kept} == {BTC, ETH}
    assert report.found.counts_of(ETH).trusted == 3, "two rows and a gap"
    assert report.exit_code == 1


def test_a_missing_last_segment_is_noticed_if_the_previous_one_continues(
    archive: Path, tmp_path: Path
) -> None:
    """Only then can it be noticed."""
    root = copy(archive, tmp_path / "copy")
    remove_segment(root, 4)
    assert verified(root).clean, "known weakness, see docs/verify.md"
    remove_segment(root, 3)
    assert verified(root).clean
    name = remove_segment(root, 2)
    (found,) = verified(root).found.kept
    assert "the segment after this one is missing" in found.what
    assert found.file < name


def test_without_a_tape_rows_are_counted_and_not_proved(archive: Path, tmp_path: Path) -> None:
    """The beginning of the next segment is unproven."""
    root = copy(archive, tmp_path / "copy")
    sealed(root, "tape")[1].unlink()
    report = verified(root)
    assert not report.found.count[Kind.DIFFERENT]
    assert report.found.counts_of(BTC).unverifiable == 2
    assert report.found.counts_of(BTC).trusted
    assert report.exit_code == 1


@pytest.mark.parametrize("column", FIRST_OF)
def test_a_forged_best_price_is_named(archive: Path, tmp_path: Path, column: str) -> None:
    """With its column and its row, and the value from the tape; the lists beside it are right."""
    root = copy(archive, tmp_path / "copy")
    edit_table(rows_of(root, BTC, 0), value(1, column, lambda x: x + 1))
    reseal(root)
    (found,) = verified(root).found.kept
    assert (found.column, found.row) == (column, 1)
    assert float(found.stored or "nan") == float(found.expected or "nan") + 1


def test_rows_of_table_format_1_are_proved(archive: Path, tmp_path: Path) -> None:
    """As written before there were columns of best prices; a forged level is found there too."""
    root = copy(archive, tmp_path / "copy")
    for path in sealed(root, "snapshots"):
        edit_table(path, lambda _: None, SNAPSHOTS_1.with_metadata({}))
    reseal(root)
    report = verified(root)
    assert report.clean
    assert report.found.counts_of(BTC).equal == verified(archive).found.counts_of(BTC).equal
    edit_table(rows_of(root, BTC, 0), level(1, "bid_price", 0, lambda x: x + 0.01))
    reseal(root)
    (found,) = verified(root).found.kept
    assert (found.column, found.row) == ("bid_price", 1)


def test_an_epoch_never_falls_back(archive: Path, tmp_path: Path) -> None:
    """Even if the earlier tapes are gone, and only rows tell which epoch was reached."""
    root = copy(archive, tmp_path / "copy")
    edit_table(rows_of(root, BTC, 0), value(3, "epoch", lambda _: 7))
    reseal(root)
    sealed(root, "tape")[0].unlink()
    assert any(found.what == "an epoch falls back" for found in verified(root).found.kept)


@settings(max_examples=40)
@given(
    where=st.tuples(st.integers(0, 10**6), st.floats(0, 0.999), st.integers(0, 7)),
    forge=st.booleans(),
)
def test_any_flipped_bit_of_any_file_is_found(
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    where: tuple[int, float, int],
    forge: bool,
) -> None:
    """Its file is named; and nothing crashes if the manifest is updated to match."""
    root = copy(archive, tmp_path_factory.mktemp("flip") / "copy")
    number, at, bit = where
    files = [p for p in sorted(root.rglob("*.*")) if p.is_file() and p.stat().st_size]
    path = files[number % len(files)]
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)
    if forge:
        reseal(root)
    report = verified(root)
    if not forge:
        assert not report.clean
        segment = path.name.partition(".json")[0].removesuffix(".parquet")
        assert any(segment in found.file for found in report.found.kept)


@settings(max_examples=40)
@given(cut=st.floats(0, 0.999), file=st.integers(0, 10**6))
def test_any_truncated_file_is_found(
    archive: Path, tmp_path_factory: pytest.TempPathFactory, cut: float, file: int
) -> None:
    """Even if the manifest fits: half a file is never taken for a whole one."""
    root = copy(archive, tmp_path_factory.mktemp("cut") / "copy")
    files = [p for room in ("tape", "snapshots", "gaps") for p in sealed(root, room)]
    path = files[file % len(files)]
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    reseal(root)
    report = verified(root)
    assert any(path.name in found.file for found in report.found.kept)


def test_tables_keep_their_columns(archive: Path, tmp_path: Path) -> None:
    """A Parquet file with other content is named, with a column that it lacks."""
    root = copy(archive, tmp_path / "copy")
    path = sealed(root, "gaps")[0]
    pq.write_table(pa.table({"x": [1]}), path)
    reseal(root)
    (found,) = verified(root).found.kept
    assert found.what == "cannot be read: it has no column end_time"
    assert pq.read_schema(sealed(root, "gaps")[1]).equals(GAPS)
