"""The lowest layer: clock, identifiers, error kinds, timestamps, input rules, logging and command-line helpers.

Nothing here imports another package of the project.
"""
