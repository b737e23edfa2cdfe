"""Validation of arguments in the engine and the operations: the rules of ``credits.arguments``."""

from credits.arguments import Validator, id_of, resolve_timestamp

__all__ = ["Validator", "id_of", "resolve_timestamp"]
