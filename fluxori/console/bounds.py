"""How much staff may write."""

MAX_NOTE = 1000
MAX_TICKET = 64
