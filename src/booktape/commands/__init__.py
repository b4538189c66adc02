"""The commands, one file each: the options, their checks, and what they start. `cli` puts the commands together."""
