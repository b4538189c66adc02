"""Is the book right? What a later snapshot and the other streams say of it. Pure, like the core."""
