"""The commands, one file each: options, their checks, and what they start. `cli` puts them together."""
