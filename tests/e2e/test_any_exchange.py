"""Against a server that is not ours: only the protocol counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.commands import start
from e2e.plain_exchange import PlainExchange
from e2e.promises import check_archive, gaps_of
from e2e.tables import until_rows


@pytest.mark.real_time
async def test_it_records_from_any_server_that_speaks_the_protocol(tmp_path: Path) -> None:
    """Each row equals that server's book at its update id, level by level; rows are five events apart."""
    async with PlainExchange("BTCUSDT", seed=1) as exchange:
        process = await start(
            *("record", "BTCUSDT", "--every", "5", "--out", tmp_path),
            *("--rest-url", f"http://{exchange.address}"),
            *("--ws-url", f"ws://{exchange.address}"),
        )
        await until_rows(tmp_path, ("BTCUSDT",), 21)
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        rows = check_archive(tmp_path, exchange.truth, every=5)
        assert len(rows["BTCUSDT"]) >= 21, err.decode()
        assert gaps_of(tmp_path) == []
        assert exchange.snapshots == 1
