UPDATE credits_creditgrant AS g
   SET remaining = r.remaining, held = r.held, live = r.remaining + r.held > 0, voided_at = r.voided_at
  FROM json_populate_recordset(NULL::credits_creditgrant, %(changed_grants)s::json) AS r
 WHERE g.balance_id = r.balance_id AND g.id = r.id AND g.id = ANY(%(changed_grants_ids)s::uuid[])
