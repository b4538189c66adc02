"""The second implementation: it reads a tape and derives all that must be stored. It shares no rule with the recorder."""
