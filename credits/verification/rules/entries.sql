-- Each transaction against its entries and the grants that it created.
WITH entries AS (
    SELECT balance_id, transaction_id, sum(amount) AS amount, count(*) AS many, min(position) AS lowest,
           max(position) AS highest, count(DISTINCT position) AS places, count(DISTINCT grant_id) AS grants,
           count(*) FILTER (WHERE grant_id IS NULL) AS debts
      FROM credits_creditentry
     WHERE balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY balance_id, transaction_id
), created AS (
    SELECT balance_id, transaction_id, count(*) AS many, min(amount) AS amount, min(effective_at) AS effective_at
      FROM credits_creditgrant
     WHERE balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY balance_id, transaction_id
)
SELECT v.rule, t.balance_id, 'transaction', t.id, v.details
  FROM credits_credittransaction t
  LEFT JOIN entries e ON e.balance_id = t.balance_id AND e.transaction_id = t.id
  LEFT JOIN created o ON o.balance_id = t.balance_id AND o.transaction_id = t.id,
       LATERAL (VALUES
       ('entries_sum_to_amount', CASE WHEN e.many IS NULL THEN concat('amount ', t.amount, ', no entries')
           WHEN e.amount <> t.amount THEN concat('amount ', t.amount, ', entries add up to ', e.amount) END),
       ('entry_positions_have_no_gaps', CASE WHEN e.lowest <> 0 OR e.highest <> e.many - 1 OR e.places <> e.many THEN
           concat(e.many, ' entries at positions ', e.lowest, ' to ', e.highest) END),
       ('one_entry_per_grant', CASE WHEN e.grants + e.debts <> e.many OR e.debts > 1 THEN
           concat(e.many, ' entries on ', e.grants, ' grants and ', e.debts, ' on debt') END),
       ('usage_takes_debt_by_capture_only', CASE WHEN e.debts > 0 AND t.type = 'usage' AND t.hold_id IS NULL THEN
           concat('usage of ', t.amount, ' without a hold, with an entry on debt') END),
       ('addition_creates_one_grant', CASE WHEN t.type IN ('allocation', 'purchase', 'promotion')
               AND (o.many IS DISTINCT FROM 1 OR o.amount <> t.amount OR o.effective_at <> t.timestamp) THEN
           concat(t.type, ' of ', t.amount, ' at ', t.timestamp, ' created ', coalesce(o.many, 0), ' grants of ',
                  o.amount, ' from ', o.effective_at) END)
  ) AS v (rule, details)
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND v.details IS NOT NULL
