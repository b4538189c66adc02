"""`booktape plot` as its user meets it: a file and its name, or one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from booktape.cli import app
from booktape.commands.plot import plot
from booktape.errors import BooktapeError, NotRecorded, UsageError
from e2e.commands import run_here
from reader.day import write


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of two symbols, with a gap."""
    folder = tmp_path_factory.mktemp("plotted")
    write(folder, 60, segment_s=60, cuts=(20,))
    return folder


@pytest.mark.parametrize(
    "options",
    [
        "heatmap --symbol btcusdt --from 2026-06-09T00:00:05 --to 2026-06-09T00:00:40 --bps 500",
        "depth --symbol BTCUSDT --at 2026-06-09T00:00:10Z --bps 100",
        "spread --symbol BTCUSDT --levels 3 --file spread.svg",
        "calendar",
    ],
)
def test_each_picture_is_written_and_named(
    root: Path,
    options: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where it was requested, or in the current folder."""
    monkeypatch.chdir(tmp_path)
    command, bound, _ = app.parse_args(["plot", str(root), *options.split()])
    command(*bound.args, **bound.kwargs)
    (picture,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"{picture.name}\n"
    assert options.split(maxsplit=1)[0] in picture.name
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({}, UsageError, "holds 2 symbols. Choose one"),
        ({"symbol": "XMRBTC"}, NotRecorded, "has no data for XMRBTC"),
        ({"symbol": "BTCUSDT", "at": "2026-06-09"}, UsageError, "--at does not apply to a heatmap"),
        ({"symbol": "BTCUSDT", "to": "noon"}, UsageError, "--to noon is not a valid time"),
        (
            {"symbol": "BTCUSDT", "file": Path("x.gif")},
            UsageError,
            "x.gif is not a valid name for a picture",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(
    root: Path, options: dict[str, str], error: type[BooktapeError], sentence: str
) -> None:
    """This happens before anything is drawn."""
    with pytest.raises(error, match=sentence):
        plot(root, "heatmap", **options)  # type: ignore[arg-type] # as the command line gives them


@pytest.mark.parametrize(
    ("picture", "inside", "before"),
    [
        ("depth", "--at 2026-06-09T00:00:25", "--at 2025-06-09T00:00:25"),
        *(
            (
                kind,
                "--from 2026-06-09T00:00:22 --to 2026-06-09T00:00:28",
                "--from 2025-06-09T00:00:22 --to 2025-06-09T00:00:28",
            )
            for kind in ("spread", "heatmap")
        ),
    ],
)
def test_a_time_without_a_book_is_a_mistake_whatever_is_drawn(
    root: Path, picture: str, inside: str, before: str
) -> None:
    """Inside a gap, or where nothing was recorded: the same exit code for each picture, and one sentence."""
    for when in (inside, before):
        code, _, sentence = run_here("plot", root, picture, "--symbol", "BTCUSDT", *when.split())
        assert (code, sentence.count("\n")) == (2, 1), sentence


def test_without_matplotlib_it_says_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other commands do not need it."""
    for module in [name for name in sys.modules if name.startswith("booktape.plot")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'booktape\[plot\]'"):
        plot(str(root), "calendar")


def test_a_matplotlibrc_in_the_folder_changes_nothing(root: Path, tmp_path: Path) -> None:
    """It may be a stranger's: the picture is the same byte for byte. matplotlib reads the file on import."""
    rc, with_it, without_it = (tmp_path / name for name in ("matplotlibrc", "1.png", "2.png"))
    rc.write_text("figure.facecolor: red\nsavefig.facecolor: red\n")
    assert run_here("plot", root, "calendar", "--file", without_it)[0] == 0
    mpl.rc_file(rc)
    assert mpl.rcParams["figure.facecolor"] == "red"
    assert run_here("plot", root, "calendar", "--file", with_it)[0] == 0
    assert with_it.read_bytes() == without_it.read_bytes()
