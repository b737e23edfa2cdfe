INSERT INTO credits_spendinglimit AS l
SELECT r.* FROM json_populate_recordset(NULL::credits_spendinglimit, %(limits)s::json) AS r
ON CONFLICT (id) DO UPDATE
   SET amount = EXCLUDED.amount, window_starts_at = EXCLUDED.window_starts_at, used = EXCLUDED.used,
       set_by_id = EXCLUDED.set_by_id, set_at = EXCLUDED.set_at, removed_at = EXCLUDED.removed_at
