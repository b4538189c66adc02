"""What concerns the process as a whole: its descriptors, its interpreter, and what it writes to a terminal."""
