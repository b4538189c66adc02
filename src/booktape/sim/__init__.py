"""The playroom: a built-in exchange that speaks Binance's protocol on loopback."""
