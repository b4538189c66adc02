"""The simulated exchange: Binance's protocol on loopback."""
