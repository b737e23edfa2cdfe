"""The maximum lengths of what staff write about an action, in characters."""

MAX_NOTE_LENGTH = 1000
MAX_TICKET_LENGTH = 64
