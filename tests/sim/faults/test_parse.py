"""Scripts of faults: every kind can be written, and a mistake is reported with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from booktape.errors import UsageError
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.connections import Cuts
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import Halt
from booktape.sim.faults.messages import Delay, Drop
from booktape.sim.faults.parse import (
    KINDS,
    SILENT,
    condition_of,
    keys_of,
    make,
    parse_faults,
    parse_hosts,
)
from docs.generated import DOCS

NEEDED: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "start_s": 1,
    "end_s": 2.5,
    "at_s": 1,
    "every_s": 3,
    "seconds": 2,
    "by_s": -1.5,
}


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "script.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_script_is_a_list_of_faults(tmp_path: Path) -> None:
    """In order; each entry has its own random numbers, which the seed decides."""
    path = script(
        tmp_path,
        """
        [[fault]]
        kind = "delay"
        seconds = 0.4
        start_s = 10
        end_s = 20
        connection = 0
        of = 2

        [[fault]]
        kind = "drop"
        probability = 0.1

        [[fault]]
        kind = "drop"
        probability = 0.1
        seed = 77

        [[fault]]
        kind = "too-fast"
        path = "depth"
        retry_after_s = 3
        status = 418

        [[fault]]
        kind = "cuts"
        every_s = 3
        spare = 1

        [[fault]]
        kind = "halt"
        symbol = "BTCUSDT"
        start_s = 5
        end_s = 9
        shown = "BREAK"

        [[fault]]
        kind = "stale"
        events = 5
        """,
    )
    assert parse_faults(str(path), seed=2).faults == (
        Delay(Messages(10, 20, connection=0, of=2, seed=2_001), 0.4, seed=2_001),
        Drop(Messages(probability=0.1, seed=2_002)),
        Drop(Messages(probability=0.1, seed=77)),
        requests.too_fast(Attempts(path="depth", seed=2_004), retry_after_s=3, status=418),
        Cuts(3, spare=1, seed=2_005),
        Halt("BTCUSDT", 5, 9, shown="BREAK"),
        requests.stale(Attempts(seed=2_007), events=5),
    )


def test_the_script_in_the_document_is_valid(tmp_path: Path) -> None:
    """Every entry of it is read, and the entry for the second host applies to that host alone."""
    text = (DOCS / "faults.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    path = str(script(tmp_path, example))
    first, second = ([type(fault).__name__ for fault in host.faults] for host in parse_hosts(path))
    assert first == ["Deaf", "AnswerFault"]
    assert second == [*first, "CutAt"]


def test_an_empty_script_is_honest(tmp_path: Path) -> None:
    """It has no fault at all."""
    assert parse_faults(str(script(tmp_path, "# nothing"))) == Faults()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written(kind: str) -> None:
    """With its required keys alone, and with every key that it knows at its default."""
    own = keys_of(KINDS[kind])
    values = {key: value for key, value in NEEDED.items() if key in own}
    fault = make(KINDS[kind], values, seed=3)
    assert getattr(fault, "seed", 3) == 3
    # A fault that alters a snapshot keeps its seed private.
    assert ("seed" in own) == (hasattr(fault, "seed") or kind == "wrong-snapshot")
    if condition_of(KINDS[kind]):
        assert fault.when.seed == 3  # type: ignore[attr-defined]


def test_silent_faults_are_kinds_and_match_the_document() -> None:
    """All of them, and no others."""
    assert KINDS.keys() >= SILENT
    (line,) = re.findall(
        r"^Silent: ([^.]*)\.", (DOCS / "faults.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(line.split(", ")) == SILENT


def test_the_table_of_kinds_is_complete() -> None:
    """The document has every kind and every key, and no others."""
    text = (DOCS / "faults.md").read_text("utf-8")
    rows = re.findall(
        r"^    ([a-z]+(?:-[a-z]+)?)  +\S.*?  +(\S.*(?:\n {60,}\S.*)*)$", text, re.MULTILINE
    )
    table = {kind: set(re.findall(r"\w+", keys)) for kind, keys in rows if kind != "kind"}
    assert table.keys() == KINDS.keys()
    for kind, keys in table.items():
        own = keys_of(KINDS[kind])
        letter = {{Attempts: "A", Messages: "M", None: ""}[condition_of(KINDS[kind])]} - {""}
        assert keys == own | letter, kind
    for name, condition in (("M", Messages), ("A", Attempts)):
        (line,) = re.findall(rf"^{name}, which \w+: (.*)$", text, re.MULTILINE)
        assert set(line.split(", ")) == keys_of(condition)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[fault]", "is not TOML"),
        ("[[faults]]\nkind = 'drop'", "something other than"),
        ("fault = 3", "something other than"),
        ("fault = [3]", "fault 1 is not a table"),
        ("[[fault]]\nprobability = 1", "fault 1: kind None is not one of .*clock-step.*truncate"),
        ("[[fault]]\nkind = 'explode'", "fault 1: kind 'explode' is not one of"),
        ("[[fault]]\nkind = 'html'\n[[fault]]\nkind = 3", "fault 2: kind 3"),
        ("[[fault]]\nkind = 'delay'", r"fault 1 \(delay\): it needs 'seconds'"),
        (
            "[[fault]]\nkind = 'drop'\nprobabilty = 1",
            "no key 'probabilty'; the keys are connection",
        ),
        ("[[fault]]\nkind = 'drop'\nwhen = 1", "no key 'when'"),
        ("[[fault]]\nkind = 'drop'\nprobability = 2", r"\(drop\): 'probability': Expected"),
        ("[[fault]]\nkind = 'drop'\nprobability = 'often'", "'probability': Expected `float`"),
        ("[[fault]]\nkind = 'drop'\nstart_s = nan", "'start_s' is not finite"),
        ("[[fault]]\nkind = 'drop'\nstart_s = 9\nend_s = 3", "ends at 3 s, which is not after"),
        ("[[fault]]\nkind = 'drop'\nof = 2", "needs `connection`"),
        ("[[fault]]\nkind = 'cut'\nat_s = 1\nof = 0", "'of': Expected"),
        ("[[fault]]\nkind = 'half-open'\nat_s = 1\nof = 2", "needs `connection`"),
        ("[[fault]]\nkind = 'status'\nstatus = 200", "'status': Expected"),
        ("[[fault]]\nkind = 'too-fast'\nstatus = 430", "'status': Invalid enum value"),
        ("[[fault]]\nkind = 'too-fast'\ntold = 'body'", "only the body of a 418"),
        ("[[fault]]\nkind = 'cut'\nat_s = 1\ncode = 99", "'code': Expected"),
        ("[[fault]]\nkind = 'garbage'\nform = 'odd'", "'form': Invalid enum value"),
        ("[[fault]]\nkind = 'halt'\nstart_s = 1\nend_s = 2", "it needs 'symbol'"),
        ("[[fault]]\nkind = 'stale'", "it needs `seconds` or `events`"),
        ("[[fault]]\nkind = 'outage'\nstart_s = 2\nend_s = 2", "not after its start"),
        ("[[fault]]\nkind = 'huge'\nsymbol = 'A'\nat_s = 0", "'at_s': Expected"),
        ("[[fault]]\nkind = 'rest-error'\noutcomes = []", "no key 'outcomes'"),
        ("[[fault]]\nkind = 'drop'\nstream = 'candle'", "'stream': Invalid enum value"),
        ("[[fault]]\nkind = 'hide'\nconnection = 1", "strikes all connections alike"),
        ("[[fault]]\nkind = 'wrong-event'\nwrong = 'price'", "'wrong': Invalid enum value"),
        (
            "[[fault]]\nkind = 'fall'\nsymbol = 'A'\nstart_s = 1\nend_s = 2\nby = 1",
            "'by': Expected",
        ),
        ("[[fault]]\nkind = 'list'\nsymbol = 'A'", "it needs 'at_s'"),
    ],
)
def test_a_mistake_is_reported_with_its_place(text: str, sentence: str, tmp_path: Path) -> None:
    """The file, the entry and the mistake."""
    path = script(tmp_path, text)
    with pytest.raises(UsageError, match=f"(?s){re.escape(str(path))}.*{sentence}"):
        parse_faults(str(path))


def test_a_missing_script_is_the_users_mistake(tmp_path: Path) -> None:
    """It is reported in one sentence that names the file."""
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read"):
        parse_faults(str(tmp_path / "nowhere.toml"))
