"""Two machines that divide the symbols: each book is recorded once, and the two archives read as one."""

from __future__ import annotations

from pathlib import Path

import booktape
from booktape.reader import summary
from booktape.reader.archive_files import ArchiveFiles
from booktape.recorder.settings import SymbolShard
from e2e.promises import check_archive, truth_of
from rerecord.twins import SYMBOLS, Plan, merge_folders, record_twins
from store.contents import final_files, stored


def test_two_shards_record_every_symbol_once(tmp_path: Path) -> None:
    """Below one folder, each in its own; read as one, merged into one, or copied into one."""
    folders = tmp_path / "data" / "first", tmp_path / "data" / "second"
    first, second = (
        Plan(((0, 20),), settings={"shard": SymbolShard(number, 2)}) for number in (1, 2)
    )
    market = record_twins(first, second, folders)
    parts = [booktape.open(folder) for folder in folders]
    assert sorted(symbol for part in parts for symbol in part.symbols()) == sorted(SYMBOLS)
    assert all(part.symbols() for part in parts)
    whole = booktape.open(folders)
    rows = {symbol: whole.snapshots(symbol).to_arrow().num_rows for symbol in whole.symbols()}
    assert sorted(rows) == sorted(SYMBOLS)
    for number, folder in enumerate(folders, 1):
        found = summary.summarize(ArchiveFiles.find(folder), booktape.open(folder, unsealed=False))
        assert found.shards == (f"{number}/2",)
    merge_folders(*folders, out=tmp_path / "merged")
    check_archive(tmp_path / "merged", truth_of(market), every=2)
    assert {symbol: len(each) for symbol, each in stored(tmp_path / "merged").rows.items()} == rows
    # Their files have distinct names, so one folder can hold both.
    for folder in folders:
        for path in [*final_files(folder), *folder.glob("manifests/*/*")]:
            target = tmp_path / "copied" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    check_archive(tmp_path / "copied", truth_of(market), every=2)
    copied = summary.summarize(
        ArchiveFiles.find(tmp_path / "copied"), booktape.open(tmp_path / "copied")
    )
    assert copied.shards == ("1/2", "2/2")
    assert "shard 1/2, 2/2" in summary._footer(copied)
