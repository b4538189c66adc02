"""booktape records Binance Spot order books that its users can prove right."""
