INSERT INTO credits_creditgrant
SELECT r.* FROM json_populate_recordset(NULL::credits_creditgrant, %(grants)s::json) AS r
