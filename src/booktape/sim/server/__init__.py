"""The simulated exchange's REST and WebSocket servers on loopback."""
