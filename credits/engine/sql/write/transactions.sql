INSERT INTO credits_credittransaction
SELECT r.* FROM json_populate_recordset(NULL::credits_credittransaction, %(transactions)s::json) AS r
