"""The recorder: it listens, writes the tape, follows it, and asks the exchange for what it needs."""
