"""The window: what a person sees while recording."""
