"""Values, books and the state machine. Standard library and numpy only; no I/O, no clock."""
