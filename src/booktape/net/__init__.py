"""The doors: the recorder's only sockets and clock."""
