UPDATE credits_creditbalance AS b
   SET balance = r.balance, held = r.held, debt = r.debt, sequence = r.sequence, version = r.version,
       head_hash = r.head_hash, last_at = r.last_at, suspended_at = r.suspended_at,
       suspension_actor_id = r.suspension_actor_id, suspension_reason = r.suspension_reason
  FROM json_populate_recordset(NULL::credits_creditbalance, %(balances)s::json) AS r
 WHERE b.id = r.id AND b.id = ANY(%(balances_ids)s::uuid[])
