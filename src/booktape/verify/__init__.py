"""Replays each tape with a second implementation, and compares everything stored with the result.

The second implementation (`model/`) shares no rule with the recorder: the standard library's JSON, decimals
instead of doubles, a dict a side. A mistake in one is not repeated in the other, so a result on which both
agree is most likely right.
"""
