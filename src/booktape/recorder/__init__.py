"""The recorder: from the queue of `net` to the archive, with status, log, settings and worker processes."""
