"""Processes of the operating system: this one (`descriptors`, `terminal`, `tuning`, `extras`), and several that share work.

`task_map` runs one function over many segments, in processes of this machine (`process_pool`), on a Dask cluster
(`dask_cluster`) or by any executor.
"""
