"""From Arrow batches to Arrow tables, polars, pandas and numpy: the base of `Snapshots` and `Resampled`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from booktape.core.events import Floats
from booktape.processes.extras import import_extra
from booktape.reader.shapes import Shape, checked_depth, lobster, shaped

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Tabular(ABC):
    """Rows that are read only when they are used. Each `to_…` reads them again."""

    depth: int | None

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns in the shape `lists`."""

    @abstractmethod
    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches with lists, one at a time. With `columns`, only those columns."""

    def to_arrow(self, shape: Shape = "lists") -> pa.Table:
        """An Arrow table. booktape.reader.shapes describes `wide` and `long`."""
        like = shaped(pa.RecordBatch.from_pylist([], self.schema), shape, self.depth)
        return pa.Table.from_batches(
            (shaped(batch, shape, self.depth) for batch in self.batches()), like.schema
        )

    def to_polars(self, shape: Shape = "lists") -> pl.DataFrame:
        """A polars data frame. Raises UsageError if polars cannot be imported."""
        polars = import_extra("polars", "polars", "read")
        frame: pl.DataFrame = polars.from_arrow(self.to_arrow(shape))
        return frame

    def to_pandas(self, shape: Shape = "lists") -> pd.DataFrame:
        """A pandas data frame. Raises UsageError if pandas cannot be imported."""
        import_extra("pandas", "pandas", "read")
        return self.to_arrow(shape).to_pandas()

    def to_numpy(self) -> Floats:
        """(T, 4K) doubles in LOBSTER's order. Missing levels are NaN. The query must have a depth.

        The array does not show where the book was not known; `epochs()` does.
        """
        depth = checked_depth(self.depth, "an array")
        arrays = [lobster(batch, depth) for batch in self.batches()]
        return np.concatenate(arrays) if arrays else np.empty((0, 4 * depth))

    def epochs(self) -> NDArray[np.int64]:
        """(T,) The epoch of each row. Between rows of different epochs updates are missing."""
        found = [batch.column("epoch") for batch in self.batches(["epoch"])]
        return pa.chunked_array(found, pa.int64()).to_numpy()
