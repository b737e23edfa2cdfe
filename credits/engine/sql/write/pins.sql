INSERT INTO credits_creditpin
SELECT r.* FROM json_populate_recordset(NULL::credits_creditpin, %(pins)s::json) AS r
