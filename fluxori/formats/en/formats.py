"""Day, month as letters, year; 24-hour time with its time zone. No date can be misread by country."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i:s e"
DATETIME_FORMAT = "j M Y H:i:s e"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
