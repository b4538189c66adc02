"""What all pictures share: files, units, names."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.errors import UsageError
from booktape.plot import calendar, save
from booktape.plot.style import assets, name


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_has_the_format_of_its_name_and_always_the_same_bytes(
    rec: booktape.Recording, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    """The same rows give the same bytes."""
    first = save(calendar(rec), tmp_path / f"first{suffix}").read_bytes()
    assert first.startswith(begins)
    assert save(calendar(rec), tmp_path / f"second{suffix}").read_bytes() == first


def test_an_unusable_name_or_place_is_refused(rec: booktape.Recording, tmp_path: Path) -> None:
    """In a sentence that names it."""
    figure = calendar(rec)
    with pytest.raises(UsageError, match=r"picture\.gif is not a valid name for a picture"):
        save(figure, tmp_path / "picture.gif")
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        save(figure, tmp_path / "nowhere" / "picture.png")


@pytest.mark.parametrize(
    ("symbol", "units"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BATUSD", ("base asset", "quote asset")),
        ("BTC", ("base asset", "quote asset")),
    ],
)
def test_units_are_shown_only_when_the_name_leaves_no_doubt(
    symbol: str, units: tuple[str, str]
) -> None:
    """BATUSD may be BAT in USD, or BA in TUSD."""
    assert assets(symbol) == units


def test_a_symbol_missing_from_all_fonts_is_spelled_as_its_folder() -> None:
    """Instead of as empty boxes."""
    assert name("币安人生USDT") == "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"
