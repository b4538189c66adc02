"""Reads whole files of the small tables: gaps, checks, notes and trade_gaps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from booktape.errors import Damaged
from booktape.store.extents import check_times_us
from booktape.store.layout import GROUP_BYTES_MAX
from booktape.store.parquet_reader import check_columns, check_values, open_parquet, parquet_errors

_OBJECT_BYTES: Final = 64  # of one value, once it is a Python object


@parquet_errors()
def read_table(source: Any, schema: pa.Schema) -> pa.Table:  # noqa: ANN401 whatever pyarrow opens
    """All of a small table, with the columns of this schema.

    Raises OSError, and Damaged if it lacks a column, has one of another type or two of the same name, or is too large
    to be booktape's.

    Its rows become Python objects, so each value is counted with the size of one. Texts are read as a dictionary first,
    because one long text can stand in a million rows.
    """
    file = open_parquet(source)
    metadata = file.metadata
    check_columns(file.schema_arrow, schema)
    if not metadata.num_rows:
        return schema.empty_table()
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    values = sum(
        group.column(number).num_values for group in groups for number in range(group.num_columns)
    )
    _check_table(values * _OBJECT_BYTES)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    opened = pq.ParquetFile(source, read_dictionary=texts)
    table = opened.read(columns=schema.names, use_threads=False)
    _check_table(sum(_text_bytes(chunk) for name in texts for chunk in table[name].chunks))
    for field in schema:
        if pa.types.is_timestamp(field.type):
            moments: Any = pc.min_max(table[field.name].cast(pa.int64())).as_py()
            check_times_us(*filter(None, moments.values()))
    check_values(table, schema)
    return table.select(schema.names).cast(schema)


def rows_max(schema: pa.Schema) -> int:
    """The largest number of rows that `read_table` reads from a small table."""
    return GROUP_BYTES_MAX // (_OBJECT_BYTES * len(schema))


def _check_table(decoded_bytes: int) -> None:
    if decoded_bytes > GROUP_BYTES_MAX:
        raise Damaged(f"it has more than {GROUP_BYTES_MAX >> 20} MiB, decoded")


def _text_bytes(texts: pa.Array[Any]) -> int:
    if not isinstance(texts, pa.DictionaryArray):
        return texts.nbytes
    lengths = pc.call_function("binary_length", [texts.dictionary]).to_numpy()
    # A text that is null has no place in the dictionary.
    return int(lengths[texts.indices.drop_null().to_numpy()].sum(dtype=np.int64))
