"""The trades of one symbol between two times, as an Arrow table."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.trades import TradeRow
from booktape.errors import NotRecorded
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.progress import tracked
from booktape.reader.rows import RowQuery
from booktape.reader.tape_query import FIRST_ROWS_ONLY, start_of, unsealed_outputs
from booktape.store.extents import time_range_us
from booktape.store.parquet_reader import check_schema, check_values, open_parquet
from booktape.store.schema import TRADES, trade_batch

SCHEMA: Final = pa.schema([pa.field("symbol", pa.string(), nullable=False), *TRADES])
"""`symbol`, which is stored in the folder's name, then the stored columns."""


def trade_table(archive: ArchiveFiles, query: RowQuery) -> pa.Table:
    """The trades with `start_us <= trade_time < end_us`, by `trade_time` and `trade_id`.

    Raises NotRecorded if no trades of the symbol were recorded at any time.
    """
    files, tapes = archive.with_tail(lambda: archive.trades(query.symbol))
    starts = [(tape, start_of(archive, tape)) for tape in tapes]
    tapes = [
        tape for tape, start in starts if start and start.trades and query.symbol in start.symbols
    ]
    if not (files or tapes):
        raise NotRecorded(
            f"{archive.root} has no trades of {query.symbol}. They are recorded with: --also trade"
        )
    found = [SCHEMA.empty_table()]
    for file in tracked([*files, *tapes], f"reading trades of {query.symbol}"):
        stored = _sealed if file in files else _from_tape
        table = stored(archive, file, query)
        table = table.filter(pa.array(query.select(table["trade_time"])))
        names = pa.repeat(query.symbol, table.num_rows)
        found.append(table.add_column(0, SCHEMA.field(0), names).cast(SCHEMA))
    return pa.concat_tables(found).sort_by([("trade_time", "ascending"), ("trade_id", "ascending")])


def _sealed(archive: ArchiveFiles, file: ArchiveFile, query: RowQuery) -> pa.Table:
    """The row groups that may have trades of the query's time. Their trades are in the order of arrival."""
    groups = [TRADES.empty_table()]
    with archive.skip_damaged(file.path), archive.open(file) as opened:
        parquet = open_parquet(opened)
        check_schema(parquet, TRADES)
        for number in range(parquet.num_row_groups):
            if _may_hold(parquet.metadata.row_group(number), query):
                group = parquet.read_row_group(number)
                check_values(group, TRADES)
                groups.append(group)
    return pa.concat_tables(groups)


def _may_hold(group: pq.RowGroupMetaData, query: RowQuery) -> bool:
    times = group.column(TRADES.names.index("trade_time")).statistics
    return query.may_hold(*time_range_us(times))


def _from_tape(archive: ArchiveFiles, tape: ArchiveFile, query: RowQuery) -> pa.Table:
    outputs = unsealed_outputs(archive, tape, query.symbol, every=FIRST_ROWS_ONLY)
    rows = [output for output in outputs if isinstance(output, TradeRow)]
    return pa.Table.from_batches([trade_batch(rows)])
