"""The cellar: nouns, book and state machine. Standard library and numpy only; no I/O, no clock."""
