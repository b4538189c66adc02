"""An independent reading of the tape, and the comparison of everything stored with it.

It shares no rule with the recorder: the standard library's JSON, decimals instead of doubles, a dict
a side. A mistake in one is not repeated in the other, so what both agree on is most likely right.
"""
