-- Each transfer against its counterpart: the same credits at the same instant in another balance, and grants with the same
-- terms. The grants that arrive have no rollover.
WITH transfers AS (
    SELECT t.*, c.balance_id AS other_balance_id, c.type AS other_type, c.counterpart_id AS back, c.amount AS other_amount,
           c.timestamp AS other_timestamp
      FROM credits_credittransaction t
      LEFT JOIN credits_credittransaction c ON c.id = t.counterpart_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.type = 'transfer'
), arrived AS (
    SELECT t.balance_id, t.id, count(g.id) FILTER (WHERE g.roll_cap IS NOT NULL OR g.parent_id IS NOT NULL) AS rolling,
           array_agg(concat_ws('/', g.amount, g.source, g.priority, extract(epoch FROM g.expires_at), g.unit_price)
                     ORDER BY g.amount, g.source, g.priority, g.expires_at, g.unit_price) AS terms
      FROM transfers t
      JOIN credits_creditgrant g ON g.balance_id = t.balance_id AND g.transaction_id = t.id
     WHERE t.amount > 0
     GROUP BY t.balance_id, t.id
), sent AS (
    SELECT t.balance_id, t.id,
           array_agg(concat_ws('/', -e.amount, g.source, g.priority, extract(epoch FROM g.expires_at), g.unit_price)
                     ORDER BY -e.amount, g.source, g.priority, g.expires_at, g.unit_price) AS terms
      FROM transfers t
      JOIN credits_creditentry e ON e.balance_id = t.other_balance_id AND e.transaction_id = t.counterpart_id
      LEFT JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     WHERE t.amount > 0
     GROUP BY t.balance_id, t.id
)
SELECT v.rule, t.balance_id, 'transaction', t.id, v.details
  FROM transfers t
  LEFT JOIN arrived a ON a.balance_id = t.balance_id AND a.id = t.id
  LEFT JOIN sent s ON s.balance_id = t.balance_id AND s.id = t.id,
       LATERAL (VALUES
       ('transfer_matches_counterpart', CASE WHEN t.other_type IS DISTINCT FROM 'transfer' OR t.back IS DISTINCT FROM t.id
               OR t.other_balance_id = t.balance_id OR t.other_amount <> -t.amount OR t.other_timestamp <> t.timestamp THEN
           concat(t.amount, ' credits at ', t.timestamp, ', the counterpart is ', coalesce(t.other_type, 'missing'), ' of ',
                  t.other_amount, ' at ', t.other_timestamp) END),
       ('transferred_grants_keep_their_terms', CASE WHEN t.amount > 0
               AND (a.terms IS DISTINCT FROM s.terms OR a.rolling > 0) THEN
           concat('arrived: ', a.terms::text, ', sent: ', s.terms::text, ', with rollover or parent: ', a.rolling) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
