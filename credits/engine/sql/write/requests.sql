INSERT INTO credits_creditrequest
SELECT r.* FROM json_populate_recordset(NULL::credits_creditrequest, %(requests)s::json) AS r
