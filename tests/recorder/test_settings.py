"""What to record: named or chosen, and checked before anything is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.errors import UnknownSymbol, UsageError
from booktape.recorder.settings import Partition, Settings, SymbolShard
from booktape.wire.endpoints import VENUES
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo

LISTED = ExchangeInfo({"BTCUSDT": SymbolInfo("BTCUSDT")})


def settings(*symbols: str) -> Settings:
    return Settings(VENUES["binance"], symbols, 10, Path("out"))


def test_what_is_listed_is_recorded() -> None:
    """Named, or all that trades."""
    assert settings("BTCUSDT").checked(LISTED) is LISTED
    assert settings().wanted(settings().checked(LISTED)) == ("BTCUSDT",)


def test_what_is_not_listed_is_the_user_s_mistake() -> None:
    """A name, or a choice that leaves nothing."""
    with pytest.raises(UnknownSymbol, match="NOPEUSDT"):
        settings("BTCUSDT", "NOPEUSDT").checked(LISTED)
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(ExchangeInfo({}))
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(None)


def test_a_worker_without_a_symbol_is_no_error() -> None:
    """Two of them for one symbol: the other one has none, yet."""
    both = [
        replace(settings("BTCUSDT"), partition=Partition(index, 2, "run")) for index in range(2)
    ]
    found = [each.wanted(each.checked(LISTED)) for each in both]
    assert sorted(found) == [(), ("BTCUSDT",)]


NAMES = tuple(f"{base}{quote}" for base in map(str, range(500)) for quote in ("USDT", "BTC", "EUR"))


def owners(count: int, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    """The shard of each symbol, which exactly one owns."""
    shards = [SymbolShard(number, count) for number in range(1, count + 1)]
    found = {}
    for name in names:
        (found[name],) = (shard.number for shard in shards if shard.owns(name))
    return found


def test_a_symbol_stays_in_its_shard() -> None:
    """On every machine and in every version: these are fixed. Others that are listed move none."""
    assert owners(3, ("BTCUSDT", "ETHUSDT", "BNBUSDT", "币安人生USDT")) == {
        "BTCUSDT": 2,
        "ETHUSDT": 2,
        "BNBUSDT": 3,
        "币安人生USDT": 2,
    }
    assert SymbolShard().owns("BTCUSDT")


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_are_about_equal_and_one_more_moves_only_what_it_gets(count: int) -> None:
    """Of 1,500 symbols."""
    before, after = owners(count), owners(count + 1)
    sizes = Counter(before.values())
    assert len(sizes) == count
    assert max(sizes.values()) < 1.25 * len(NAMES) / count
    assert {after[name] for name in NAMES if after[name] != before[name]} == {count + 1}


def test_the_workers_of_a_shard_share_it_evenly() -> None:
    """Both divide by a hash; by the same one, a worker would get all of it or nothing."""
    own = [name for name in NAMES if SymbolShard(1, 2).owns(name)]
    first = [name for name in own if Partition(0, 2, "run").owns(name)]
    assert 0.4 < len(first) / len(own) < 0.6


def test_a_shard_records_its_symbols_named_or_listed() -> None:
    """Its tape says which part it is."""
    one = [replace(settings(), shard=SymbolShard(number, 2)) for number in (1, 2)]
    info = ExchangeInfo({name: SymbolInfo(name) for name in NAMES[:10]})
    wanted = [each.wanted(each.checked(info)) for each in one]
    named = [replace(each, symbols=NAMES[:10]).wanted(info) for each in one]
    assert wanted == named
    assert sorted([*wanted[0], *wanted[1]]) == sorted(NAMES[:10])
    assert one[1].start(7, ()).shard == "2/2"
    assert settings().start(7, ()).shard == ""
    other = next(each for each in one if not each.shard.owns("BTCUSDT"))
    with pytest.raises(UsageError, match="lists no symbol in shard"):
        other.checked(LISTED)


def test_where_there_is_no_list_the_names_are_taken_on_trust() -> None:
    """Other servers speak the same protocol and list nothing."""
    trusted = settings("NOPEUSDT").checked(None)
    assert settings("NOPEUSDT").wanted(trusted) == ("NOPEUSDT",)
    assert "NOPEUSDT" in trusted.symbols


def test_a_symbol_with_large_sizes_is_recorded_and_reported() -> None:
    """By what the exchange allows, not by what is there; others are not spoken of."""
    wide = SymbolInfo("WIDEUSDT", step_size="0.00000001", max_quantity="92141578.00000000")
    info = ExchangeInfo({"BTCUSDT": SymbolInfo("BTCUSDT"), "WIDEUSDT": wide})
    named = settings("BTCUSDT", "WIDEUSDT")
    with capture_logs() as lines:
        named.warn_of_large_sizes(named.checked(info), named.wanted(info))
    assert [line["symbol"] for line in lines] == ["WIDEUSDT"]


def test_a_tape_begins_with_what_was_asked_for() -> None:
    """A reader needs nothing else."""
    start = settings("BTCUSDT").start(7, ("BTCUSDT",))
    assert (start.received_ns, start.every, start.symbols) == (7, 10, ("BTCUSDT",))
    assert (start.depth, start.witness, start.audit_s) == (5_000, "depth20", 900.0)
