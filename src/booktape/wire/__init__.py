"""The ground floor: the exchange's bytes ↔ our nouns, its addresses and its limits."""
