UPDATE credits_credithold AS h
   SET status = r.status, captured = r.captured, closed_at = r.closed_at, expires_at = r.expires_at
  FROM json_populate_recordset(NULL::credits_credithold, %(changed_holds)s::json) AS r
 WHERE h.balance_id = r.balance_id AND h.id = r.id AND h.id = ANY(%(changed_holds_ids)s::uuid[])
