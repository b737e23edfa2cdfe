INSERT INTO credits_creditentry
SELECT r.* FROM json_populate_recordset(NULL::credits_creditentry, %(entries)s::json) AS r
