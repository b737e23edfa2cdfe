"""Display formats of dates and times, named by the setting ``FORMAT_MODULE_PATH``."""
