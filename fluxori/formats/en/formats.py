"""Day before month in letters, 24 hours, and the zone: nobody has to guess."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i:s e"
DATETIME_FORMAT = "j M Y H:i:s e"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
