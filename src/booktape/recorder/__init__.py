"""The recorder: from `net`'s queue to the archive, with status, log, settings and worker processes."""
