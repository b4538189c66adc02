"""A shipped archive is read from the bucket: by the reader, and by other tools as described in docs/scale.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

import booktape
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from bucket.faulty_proxy import FaultyProxy
from bucket.s3_server import make_bucket
from bucket.test_shipper import ship_all
from docs.generated import DOCS
from reader.day import SYMBOLS, write

SECTION = (DOCS / "scale.md").read_text().partition("\n## Buckets\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of two symbols, and a gap. Only the receipts of different buckets are written to it."""
    root = tmp_path_factory.mktemp("bucket") / "data"
    write(root, 200, segment_s=80, cuts=(100,))
    return root


def test_a_bucket_reads_like_the_archive(address: str, archive: Path) -> None:
    """Rows, gaps, checks, coverage, and every event of the tapes."""
    ship_all(archive, address)
    here, there = booktape.open(archive), booktape.open(address)
    assert there.symbols() == here.symbols() == list(SYMBOLS)
    assert there.gaps().equals(here.gaps())
    assert there.checks().equals(here.checks())
    assert there.coverage() == here.coverage()
    there.check_files()
    assert not there.damaged
    for symbol in SYMBOLS:
        rows = there.snapshots(symbol).to_arrow()
        assert rows.num_rows
        assert rows.equals(here.snapshots(symbol).to_arrow())
    assert len(list(there.replay("BTCUSDT"))) == len(list(here.replay("BTCUSDT")))


def test_a_segment_without_its_manifest_is_not_read_from_a_bucket(
    address: str, archive: Path
) -> None:
    """It may be on its way: readers see either all of a segment or nothing."""
    ship_all(archive, address)
    whole = booktape.open(address).snapshots("BTCUSDT").to_arrow().num_rows
    layout = Layout(archive)
    last = sealed_tapes(layout)[-1]
    store = from_url(address, client_options={"allow_http": True})
    obstore.delete(store, layout.manifest(last).relative_to(archive).as_posix())
    rec = booktape.open(address)
    files = archive.glob(f"snapshots/symbol=BTCUSDT/*/{last.name}*")
    rows = booktape.open(archive).snapshots("BTCUSDT").to_arrow()
    lost = rows.num_rows - rec.snapshots("BTCUSDT").to_arrow().num_rows
    assert whole == rows.num_rows
    assert list(files)
    assert 0 < lost < whole
    assert sum(1 for _ in rec.replay("BTCUSDT")) < sum(
        1 for _ in booktape.open(archive).replay("BTCUSDT")
    )


def test_the_recipes_run(
    proxy: FaultyProxy,
    s3_port: int,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As they stand in the document, one after the other, all with the same answer."""
    assert proxy.port
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    make_bucket(s3_port, "bucket")
    ship_all(archive, "s3://bucket/prefix")
    capsys.readouterr()
    names: dict[str, Any] = {}
    shown = []
    for example in EXAMPLES:
        exec(compile(example, "scale.md", "exec"), names)  # noqa: S102 it is our own guide
        shown.append(capsys.readouterr().out)
    counts = {
        symbol: booktape.open(archive).snapshots(symbol).to_arrow().num_rows for symbol in SYMBOLS
    }
    reader, arrow, duck, polars, delta = shown
    assert "ask_sz_04" in reader
    assert str(list(SYMBOLS)) in reader
    assert arrow == delta == f"{sum(counts.values())}\n"
    for symbol, count in counts.items():
        assert re.search(rf"{symbol}\W+{count}\b", duck)
        assert re.search(rf"{symbol}\W+{count}\b", polars)


def test_clickhouse_reads_the_bucket(proxy: FaultyProxy, address: str, archive: Path) -> None:
    """The query of the document, with another address."""
    chdb = pytest.importorskip("chdb", reason="chdb is not installed")
    ship_all(archive, address)
    (query,) = re.findall(r"```sql\n(.*?)```", SECTION, re.DOTALL)
    place = f"127.0.0.1:{proxy.port}/{address.removeprefix('s3://')}"
    answer = str(chdb.query(query.replace("host:port/bucket/prefix", place)))
    assert [line.split(",")[0].strip('"') for line in answer.splitlines()] == list(SYMBOLS)
