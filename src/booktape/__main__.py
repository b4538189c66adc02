"""`python -m booktape` is `booktape`."""

from booktape.cli import main

main()
