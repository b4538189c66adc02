"""The way to the exchange: the recorder's only sockets and its only clock."""
