"""Limits of saved filters."""

MAX_NAME_LENGTH = 60  # characters
MAX_QUERY_LENGTH = 2000  # characters
MAX_FILTERS_PER_USER = 50  # over all lists
