"""One function over many segments, by processes of this machine, a Dask cluster, or any executor."""
