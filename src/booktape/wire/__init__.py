"""The exchange's bytes ↔ our values, its addresses and its limits."""
