-- Balances with everything that planning an operation needs: live grants, the holds and limits that matter, remembered requests,
-- and prices. One statement, so one snapshot. Lists are JSON objects with the column names of their tables; an empty list is null.
SELECT b.id, b.user_id, b.organization_id, b.balance, b.held, b.debt, b.sequence, b.version, b.head_hash, b.last_at,
       b.suspended_at, b.suspension_actor_id, b.suspension_reason,
       (
           SELECT json_agg(json_build_object(
                      'id', g.id, 'source', g.source, 'amount', g.amount, 'remaining', g.remaining, 'held', g.held,
                      'priority', g.priority, 'effective_at', g.effective_at, 'expires_at', g.expires_at,
                      'voided_at', g.voided_at, 'roll_cap', g.roll_cap, 'roll_until', g.roll_until,
                      'unit_price', g.unit_price::text, 'feature_id', g.feature_id, 'transaction_id', g.transaction_id))
             FROM (SELECT * FROM credits_creditgrant WHERE balance_id = b.id AND live
                   UNION ALL
                   SELECT * FROM credits_creditgrant
                    WHERE balance_id = b.id AND id = ANY(%(grants)s::uuid[]) AND NOT live) AS g
       ) AS grants,
       (
           SELECT json_agg(json_build_object(
                      'id', h.id, 'amount', h.amount, 'created_at', h.created_at, 'expires_at', h.expires_at,
                      'pins', (SELECT json_agg(json_build_object('grant_id', p.grant_id, 'amount', p.amount)
                                               ORDER BY p.position)
                                 FROM credits_creditpin p
                                WHERE p.balance_id = h.balance_id AND p.hold_id = h.id),
                      'feature_id', h.feature_id, 'price_id', h.price_id, 'quantity', h.quantity,
                      'description', h.description, 'reference_id', h.reference_id, 'metadata', h.metadata,
                      'actor_id', h.actor_id, 'member_id', h.member_id, 'request_id', h.request_id))
             FROM credits_credithold h
            WHERE h.balance_id = b.id AND h.status = 'open'
              AND (h.expires_at <= %(at)s OR h.id = ANY(%(holds)s::uuid[]))
       ) AS holds,
       (
           -- Limits of the whole balance, of the acting members, and of the members whose holds may end.
           SELECT json_agg(json_build_object(
                      'id', l.id, 'member_id', l.member_id, 'period', l.period, 'amount', l.amount,
                      'window_starts_at', l.window_starts_at, 'used', l.used, 'set_by_id', l.set_by_id,
                      'set_at', l.set_at))
             FROM credits_spendinglimit l
            WHERE l.balance_id = b.id AND l.removed_at IS NULL
              AND (l.member_id IS NULL
                   OR l.member_id = ANY(%(members)s::uuid[])
                   OR l.member_id = ANY(ARRAY(
                          SELECT h.member_id
                            FROM credits_credithold h
                           WHERE h.balance_id = b.id AND h.status = 'open'
                             AND (h.expires_at <= %(at)s OR h.id = ANY(%(holds)s::uuid[])))))
       ) AS limits,
       (
           -- Two halves: an index serves requests without a caller only under the condition caller_id IS NULL.
           SELECT json_agg(json_build_object(
                      'caller_id', r.caller_id, 'key', r.key, 'fingerprint', encode(r.fingerprint, 'hex'),
                      'result', r.result, 'transaction_id', r.transaction_id, 'hold_id', r.hold_id))
             FROM (SELECT * FROM credits_creditrequest
                    WHERE balance_id = b.id AND key = ANY(%(keys)s::text[]) AND caller_id = ANY(%(callers)s::uuid[])
                   UNION ALL
                   SELECT * FROM credits_creditrequest
                    WHERE balance_id = b.id AND key = ANY(%(keys)s::text[]) AND caller_id IS NULL) AS r
       ) AS requests,
       (
           -- Each price that is in force at some instant from the earliest to the latest at which the balance may be used.
           SELECT json_agg(json_build_object(
                      'feature_id', p.feature_id, 'id', p.id, 'credits', p.credits, 'effective_from', p.effective_from)
                      ORDER BY p.effective_from)
             FROM credits_featureprice p
            WHERE p.feature_id = ANY(%(features)s::text[])
              AND p.effective_from <= greatest(%(at)s, b.last_at)
              AND p.effective_from >= (
                  SELECT coalesce(max(first.effective_from), '-infinity')
                    FROM credits_featureprice first
                   WHERE first.feature_id = p.feature_id
                     AND first.effective_from <= greatest(%(earliest)s, b.last_at))
       ) AS prices
  FROM credits_creditbalance b
 WHERE b.id = ANY(%(balances)s::uuid[])
 ORDER BY b.id
