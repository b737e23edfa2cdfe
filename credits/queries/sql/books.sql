-- Balances with their live grants, the holds and limits that matter, what is remembered of the requests named, and the
-- prices of the features named: one statement, so one snapshot.
SELECT b.id, b.user_id, b.organization_id, b.balance, b.held, b.debt, b.sequence, b.version, b.head_hash, b.last_at,
       b.suspended_at, b.suspension_actor_id, b.suspension_reason,
       (
           SELECT json_agg(json_build_array(
                      g.id, g.source, g.amount, g.remaining, g.held, g.priority, g.effective_at, g.expires_at,
                      g.voided_at, g.roll_cap, g.roll_until, g.feature_id,
                      g.unit_price::text, g.transaction_id))
             FROM (SELECT * FROM credits_creditgrant WHERE balance_id = b.id AND live
                   UNION ALL
                   SELECT * FROM credits_creditgrant
                    WHERE balance_id = b.id AND id = ANY(%(grants)s::uuid[]) AND NOT live) AS g
       ) AS grants,
       (
           SELECT json_agg(json_build_array(
                      h.id, h.amount, h.created_at, h.expires_at,
                      (SELECT json_agg(json_build_array(p.grant_id, p.amount) ORDER BY p.position)
                         FROM credits_creditpin p
                        WHERE p.balance_id = h.balance_id AND p.hold_id = h.id),
                      h.feature_id, h.price_id, h.quantity, h.description, h.reference_id, h.metadata, h.actor_id,
                      h.member_id, h.request_id))
             FROM credits_credithold h
            WHERE h.balance_id = b.id AND h.status = 'open'
              AND (h.expires_at <= %(at)s OR h.id = ANY(%(holds)s::uuid[]))
       ) AS holds,
       (
           -- Of the whole balance, of the members acting, and of those whose holds may end.
           SELECT json_agg(json_build_array(
                      l.id, l.member_id, l.period, l.amount, l.window_starts_at, l.used, l.set_by_id, l.set_at))
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
           -- Two halves, because an index finds nobody's requests only by asking for nobody.
           SELECT json_agg(json_build_array(
                      r.caller_id, r.key, encode(r.fingerprint, 'hex'), r.answer, r.transaction_id, r.hold_id))
             FROM (SELECT * FROM credits_creditrequest
                    WHERE balance_id = b.id AND key = ANY(%(keys)s::text[]) AND caller_id = ANY(%(callers)s::uuid[])
                   UNION ALL
                   SELECT * FROM credits_creditrequest
                    WHERE balance_id = b.id AND key = ANY(%(keys)s::text[]) AND caller_id IS NULL) AS r
       ) AS requests,
       (
           SELECT json_agg(json_build_array(p.feature_id, p.id, p.credits))
             FROM unnest(%(features)s::text[]) AS f(code)
            CROSS JOIN LATERAL (
                  SELECT *
                    FROM credits_featureprice
                   WHERE feature_id = f.code AND effective_from <= greatest(%(at)s, b.last_at)
                   ORDER BY effective_from DESC
                   LIMIT 1) AS p
       ) AS prices
  FROM credits_creditbalance b
 WHERE b.id = ANY(%(balances)s::uuid[])
 ORDER BY b.id
