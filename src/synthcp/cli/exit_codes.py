"""How a command can end."""

FINE, INTERNAL_ERROR, BAD_INPUT, SOME_FAILED, ALARM = range(5)
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143
"""128 and the number of the signal, as shells have it."""
