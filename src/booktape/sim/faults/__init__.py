"""What the simulated exchange can do wrong, one class a kind of fault."""
