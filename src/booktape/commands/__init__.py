"""What each command takes, checks and starts; `cli` puts them together."""
