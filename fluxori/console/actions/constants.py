"""How much staff may write, and keep."""

MAX_NOTE = 1000
MAX_TICKET = 64

# Filters of lists that are kept under a name.
MAX_FILTER_NAME = 60
MAX_FILTER = 2000
MAX_FILTERS = 50  # of one person, over all lists
