"""What the simulated exchange can do wrong, one class for each kind of fault.

`fault` says what a fault is, `conditions` when it strikes, `steps` and `outcomes` what it makes happen. The kinds are
in `messages`, `connections`, `requests`, `market` and `undetectable`; `parse` makes them from a script.
"""
