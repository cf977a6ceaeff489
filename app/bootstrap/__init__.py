"""The composition root: turns settings into plain values and wires the adapters with them.

One module for each kind of process, so that a command imports only what it needs.
"""
