"""Which symbols to record: named or chosen, and checked before anything is written."""

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


def test_listed_symbols_are_recorded() -> None:
    """Either those named, or all that trade."""
    assert settings("BTCUSDT").checked(LISTED) is LISTED
    assert settings().wanted(settings().checked(LISTED)) == ("BTCUSDT",)


def test_an_unlisted_symbol_is_the_user_s_mistake() -> None:
    """So is a choice that leaves no symbol."""
    with pytest.raises(UnknownSymbol, match="NOPEUSDT"):
        settings("BTCUSDT", "NOPEUSDT").checked(LISTED)
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(ExchangeInfo({}))
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(None)


def test_a_worker_without_a_symbol_is_no_error() -> None:
    """Of two workers for one symbol, one has none yet."""
    both = [
        replace(settings("BTCUSDT"), partition=Partition(index, 2, "run")) for index in range(2)
    ]
    found = [each.wanted(each.checked(LISTED)) for each in both]
    assert sorted(found) == [(), ("BTCUSDT",)]


NAMES = tuple(f"{base}{quote}" for base in map(str, range(500)) for quote in ("USDT", "BTC", "EUR"))


def owners(count: int, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    """The shard of each symbol; exactly one shard owns it."""
    shards = [SymbolShard(number, count) for number in range(1, count + 1)]
    found = {}
    for name in names:
        (found[name],) = (shard.number for shard in shards if shard.owns(name))
    return found


def test_a_symbol_stays_in_its_shard() -> None:
    """These are fixed, on every machine and in every version; other listed symbols move none."""
    assert owners(3, ("BTCUSDT", "ETHUSDT", "BNBUSDT", "币安人生USDT")) == {
        "BTCUSDT": 2,
        "ETHUSDT": 2,
        "BNBUSDT": 3,
        "币安人生USDT": 2,
    }
    assert SymbolShard().owns("BTCUSDT")


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_are_about_equal_and_an_additional_one_moves_only_its_own_symbols(
    count: int,
) -> None:
    """This is tested with 1,500 symbols."""
    before, after = owners(count), owners(count + 1)
    sizes = Counter(before.values())
    assert len(sizes) == count
    assert max(sizes.values()) < 1.25 * len(NAMES) / count
    assert {after[name] for name in NAMES if after[name] != before[name]} == {count + 1}


def test_the_workers_of_a_shard_share_it_evenly() -> None:
    """Both divide by a hash; if it were the same hash, a worker would get the whole shard or nothing."""
    own = [name for name in NAMES if SymbolShard(1, 2).owns(name)]
    first = [name for name in own if Partition(0, 2, "run").owns(name)]
    assert 0.4 < len(first) / len(own) < 0.6


def test_a_shard_records_only_its_symbols_named_or_listed() -> None:
    """Its tape says which shard it is."""
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


def test_without_a_list_the_names_are_accepted_unchecked() -> None:
    """Other servers speak the same protocol but have no list."""
    trusted = settings("NOPEUSDT").checked(None)
    assert settings("NOPEUSDT").wanted(trusted) == ("NOPEUSDT",)
    assert "NOPEUSDT" in trusted.symbols


def test_a_symbol_with_large_sizes_is_recorded_and_reported() -> None:
    """The exchange's maximum decides, not the sizes in the book; other symbols are not reported."""
    wide = SymbolInfo("WIDEUSDT", step_size="0.00000001", max_quantity="92141578.00000000")
    info = ExchangeInfo({"BTCUSDT": SymbolInfo("BTCUSDT"), "WIDEUSDT": wide})
    named = settings("BTCUSDT", "WIDEUSDT")
    with capture_logs() as lines:
        named.warn_of_large_sizes(named.checked(info), named.wanted(info))
    assert [line["symbol"] for line in lines] == ["WIDEUSDT"]


def test_a_tape_begins_with_the_settings() -> None:
    """A reader needs no other source."""
    start = settings("BTCUSDT").start(7, ("BTCUSDT",))
    assert (start.received_ns, start.every, start.symbols) == (7, 10, ("BTCUSDT",))
    assert (start.depth, start.witness, start.audit_s) == (5_000, "depth20", 900.0)
