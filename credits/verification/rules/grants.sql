-- Each grant against its entries, its pins and the transaction that created it.
WITH entries AS (
    SELECT balance_id, grant_id, sum(amount) AS amount
      FROM credits_creditentry
     WHERE balance_id BETWEEN %(first)s AND %(last)s AND grant_id IS NOT NULL
     GROUP BY balance_id, grant_id
), pins AS (
    SELECT p.balance_id, p.grant_id, sum(p.amount) AS amount
      FROM credits_creditpin p
      JOIN credits_credithold h ON h.balance_id = p.balance_id AND h.id = p.hold_id AND h.status = 'open'
     WHERE p.balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY p.balance_id, p.grant_id
)
SELECT v.rule, g.balance_id, 'grant', g.id, v.details
  FROM credits_creditgrant g
  LEFT JOIN entries e ON e.balance_id = g.balance_id AND e.grant_id = g.id
  LEFT JOIN pins p ON p.balance_id = g.balance_id AND p.grant_id = g.id
  LEFT JOIN credits_credittransaction t ON t.balance_id = g.balance_id AND t.id = g.transaction_id,
       LATERAL (VALUES
       ('entries_sum_to_grant', CASE WHEN coalesce(e.amount, 0) <> g.remaining + coalesce(p.amount, 0) THEN
           concat('remaining ', g.remaining, ' + pinned ', coalesce(p.amount, 0), ', entries add up to ',
                  coalesce(e.amount, 0)) END),
       ('held_matches_pins', CASE WHEN g.held <> coalesce(p.amount, 0) THEN
           concat('held ', g.held, ', open holds pin ', coalesce(p.amount, 0)) END),
       ('grant_within_amount', CASE WHEN g.remaining < 0 OR g.held < 0 OR g.remaining + g.held > g.amount THEN
           concat('amount ', g.amount, ', remaining ', g.remaining, ', held ', g.held) END),
       ('live_iff_credits', CASE WHEN g.live <> (g.remaining + g.held > 0) THEN
           concat('live ', g.live, ', remaining ', g.remaining, ', held ', g.held) END),
       ('source_matches_transaction', CASE WHEN NOT (
               g.source = t.type OR (g.source = 'adjustment' AND t.type = 'refund')
               OR (g.parent_id IS NOT NULL AND t.type = 'adjustment')
               OR (t.type = 'transfer' AND t.amount > 0)) THEN
           concat('source ', g.source, ', created by a transaction of type ', t.type) END),
       ('voided_without_remaining', CASE WHEN g.voided_at IS NOT NULL AND g.remaining > 0 THEN
           concat('voided, although ', g.remaining, ' credits remain') END)
  ) AS v (rule, details)
 WHERE g.balance_id BETWEEN %(first)s AND %(last)s AND v.details IS NOT NULL
