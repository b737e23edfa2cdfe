-- Balances with everything that planning an operation needs: the first live grants in burn order and those that time may change, the holds and limits that matter, remembered requests,
-- and prices. One statement, so one snapshot. Lists are JSON objects with the column names of their tables; an empty list is null.
SELECT b.id, b.user_id, b.organization_id, b.balance, b.held, b.debt, b.sequence, b.version, b.head_hash, b.last_at,
       b.suspended_at, b.suspension_actor_id, b.suspension_reason,
       (
           SELECT json_agg(json_build_object(
                      'id', g.id, 'source', g.source, 'amount', g.amount, 'remaining', g.remaining, 'held', g.held,
                      'priority', g.priority, 'effective_at', g.effective_at, 'expires_at', g.expires_at,
                      'voided_at', g.voided_at, 'roll_cap', g.roll_cap, 'roll_until', g.roll_until,
                      'unit_price', g.unit_price::text, 'feature_id', g.feature_id, 'transaction_id', g.transaction_id))
             FROM (SELECT * FROM credits_creditgrant
                    WHERE balance_id = b.id AND live
                      AND (final.id IS NULL
                           OR (priority, coalesce(expires_at, 'infinity'), source = 'purchase', effective_at, id)
                              <= (final.priority, final.expires_at, final.is_purchase, final.effective_at, final.id)
                           OR source = 'rollover' OR roll_cap IS NOT NULL
                           OR expires_at <= greatest(%(at)s, b.last_at)
                           OR id = ANY(pinned.grants || %(grants)s::uuid[]))
                   UNION ALL
                   SELECT * FROM credits_creditgrant
                    WHERE balance_id = b.id AND id = ANY(%(grants)s::uuid[]) AND NOT live) AS g
       ) AS grants,
       final.id AS final_grant_id, omitted.by_source AS omitted_by_source, omitted.next_expiry AS omitted_next_expiry,
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
  LEFT JOIN LATERAL (
           -- The last grant in burn order that is loaded, if there are more. With debt there is nothing to spend.
           SELECT g.id, g.priority, coalesce(g.expires_at, 'infinity') AS expires_at, g.source = 'purchase' AS is_purchase,
                  g.effective_at
             FROM credits_creditgrant g
            WHERE g.balance_id = b.id AND g.live AND g.remaining > 0 AND b.debt = 0
              AND (g.expires_at IS NULL OR g.expires_at > greatest(%(at)s, b.last_at))
            ORDER BY g.priority, g.expires_at, g.source = 'purchase', g.effective_at, g.id
            LIMIT 1 OFFSET %(grant_limit)s
       ) AS final ON true
 CROSS JOIN LATERAL (
           -- The grants of the holds that may end.
           SELECT ARRAY(
                  SELECT p.grant_id
                    FROM credits_credithold h
                    JOIN credits_creditpin p ON p.balance_id = h.balance_id AND p.hold_id = h.id
                   WHERE h.balance_id = b.id AND h.status = 'open'
                     AND (h.expires_at <= %(at)s OR h.id = ANY(%(holds)s::uuid[]))) AS grants
       ) AS pinned
 CROSS JOIN LATERAL (
           -- What remains of the live grants that are not loaded, by source, and how much of it expires first. The condition is
           -- the negation of that for the loaded grants.
           WITH other AS MATERIALIZED (
               SELECT source, expires_at, remaining
                 FROM credits_creditgrant
                WHERE balance_id = b.id AND live AND final.id IS NOT NULL
                  AND (priority, coalesce(expires_at, 'infinity'), source = 'purchase', effective_at, id)
                      > (final.priority, final.expires_at, final.is_purchase, final.effective_at, final.id)
                  AND source <> 'rollover' AND roll_cap IS NULL
                  AND (expires_at IS NULL OR expires_at > greatest(%(at)s, b.last_at))
                  AND id <> ALL(pinned.grants || %(grants)s::uuid[])
           )
           SELECT (SELECT json_object_agg(sums.source, sums.remaining)
                     FROM (SELECT source, sum(remaining) AS remaining FROM other WHERE remaining > 0 GROUP BY source) AS sums
                  ) AS by_source,
                  (SELECT json_build_array(sums.remaining, sums.expires_at)
                     FROM (SELECT expires_at, sum(remaining) AS remaining
                             FROM other
                            WHERE expires_at IS NOT NULL AND remaining > 0
                            GROUP BY expires_at ORDER BY expires_at LIMIT 1) AS sums
                  ) AS next_expiry
       ) AS omitted
 WHERE b.id = ANY(%(balances)s::uuid[])
 ORDER BY b.id
