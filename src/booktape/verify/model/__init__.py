"""The second implementation: it derives all that must be stored from a tape, and shares no rule with the recorder."""
