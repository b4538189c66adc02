"""The simulated market: symbols, orders that change their books, and the streams that show them."""
