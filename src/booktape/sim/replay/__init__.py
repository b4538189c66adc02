"""Recorded tapes and captures, sent again by the simulated exchange."""
