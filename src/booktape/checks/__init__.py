"""Whether a book is right: it is compared with later snapshots and with other streams. Pure, like core."""
