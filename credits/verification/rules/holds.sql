-- Each hold against its pins and the usage transaction of its capture.
WITH pins AS (
    SELECT p.balance_id, p.hold_id, sum(p.amount) AS amount,
           count(*) FILTER (WHERE h.created_at < g.effective_at OR h.created_at >= g.expires_at
                               OR h.created_at > g.voided_at) AS unspendable
      FROM credits_creditpin p
      JOIN credits_credithold h ON h.balance_id = p.balance_id AND h.id = p.hold_id
      JOIN credits_creditgrant g ON g.balance_id = p.balance_id AND g.id = p.grant_id
     WHERE p.balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY p.balance_id, p.hold_id
), usages AS (
    SELECT balance_id, hold_id, count(*) AS many, -sum(amount) AS amount
      FROM credits_credittransaction
     WHERE balance_id BETWEEN %(first)s AND %(last)s AND hold_id IS NOT NULL AND type = 'usage'
     GROUP BY balance_id, hold_id
)
SELECT v.rule, h.balance_id, 'hold', h.id, v.details
  FROM credits_credithold h
  LEFT JOIN pins p ON p.balance_id = h.balance_id AND p.hold_id = h.id
  LEFT JOIN usages u ON u.balance_id = h.balance_id AND u.hold_id = h.id,
       LATERAL (VALUES
       ('hold_amount_matches_pins', CASE WHEN h.amount IS DISTINCT FROM p.amount THEN
           concat('amount ', h.amount, ', pins add up to ', coalesce(p.amount, 0)) END),
       ('pinned_grants_spendable', CASE WHEN p.unspendable > 0 THEN
           concat('placed at ', h.created_at, ' on ', p.unspendable, ' grants that were not spendable then') END),
       ('capture_matches_usage', CASE
           WHEN h.status = 'captured' AND (u.many IS DISTINCT FROM 1 OR u.amount <> h.captured) THEN
               concat('captured ', h.captured, ', ', coalesce(u.many, 0), ' usages of ', coalesce(u.amount, 0))
           WHEN h.status <> 'captured' AND (u.many > 0 OR h.captured <> 0) THEN
               concat(h.status, ', but captured is ', h.captured, ' with ', coalesce(u.many, 0), ' usages') END)
  ) AS v (rule, details)
 WHERE h.balance_id BETWEEN %(first)s AND %(last)s AND v.details IS NOT NULL
