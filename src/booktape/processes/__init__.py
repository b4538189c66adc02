"""Processes of the operating system: this one, and several that share work.

This one: `descriptors`, `terminal`, `tuning`, `extras`. Several: `task_map` runs one function over many segments, in
processes on this machine (`process_pool`), on a Dask cluster (`dask_cluster`) or with any executor.
"""
