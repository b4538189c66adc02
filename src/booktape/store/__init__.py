"""Tape, rows and gaps on disk: how they are written, sealed, found and recovered."""
