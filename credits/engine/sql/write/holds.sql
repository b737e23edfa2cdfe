INSERT INTO credits_credithold
SELECT r.* FROM json_populate_recordset(NULL::credits_credithold, %(holds)s::json) AS r
