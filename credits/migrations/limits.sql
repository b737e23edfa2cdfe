-- The calendar is UTC's, whatever the session thinks.
ALTER TABLE credits_spendinglimit
    ADD CONSTRAINT credits_limit_window_of_the_calendar
        CHECK (window_starts_at = date_trunc(period, window_starts_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');

-- The counters change in place, again and again: room on the page keeps those updates out of the indexes.
ALTER TABLE credits_spendinglimit SET (fillfactor = 70);
