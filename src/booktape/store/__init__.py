"""Tape, rows and gaps on disk: how they are written, sealed, found again and recovered."""
