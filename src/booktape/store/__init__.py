"""The pantry: tape, snapshots and gaps on disk."""
