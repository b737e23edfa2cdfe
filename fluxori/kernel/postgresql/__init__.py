"""The database backend, as ``ENGINE`` names it."""
