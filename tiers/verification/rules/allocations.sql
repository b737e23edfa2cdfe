-- Each allocation against its transaction, and its period against the anchor of the subscription.
WITH allocations AS (
    SELECT a.*, t.id AS recorded, t.type, t.amount, t.timestamp, s.balance_id AS subscribed,
           (s.anchor AT TIME ZONE 'UTC' + make_interval(months => a.period)) AT TIME ZONE 'UTC' AS begins,
           (s.anchor AT TIME ZONE 'UTC' + make_interval(months => a.period + 1)) AT TIME ZONE 'UTC' AS ends
      FROM tiers_monthlyallocation a
      LEFT JOIN tiers_subscription s ON s.balance_id = a.balance_id
      LEFT JOIN credits_credittransaction t ON t.balance_id = a.balance_id AND t.id = a.transaction_id
     WHERE a.balance_id BETWEEN %(first)s AND %(last)s
), changes AS (
    SELECT a.id, sum(c.credits) AS prorated, max(c.high_credits) AS high, max(c.at) AS last_at
      FROM allocations a
      JOIN tiers_tierchange c ON c.balance_id = a.balance_id AND c.period = a.period
     GROUP BY a.id
)
SELECT v.rule, a.balance_id, 'allocation', a.id, v.details
  FROM allocations a
  LEFT JOIN changes g ON g.id = a.id, LATERAL (VALUES
       ('allocation_matches_transaction', CASE
           WHEN a.transaction_id IS NOT NULL AND a.recorded IS NULL THEN
               concat('transaction ', a.transaction_id, ' does not exist')
           WHEN a.type <> 'allocation' OR a.amount <> a.credits OR a.timestamp <> a.allocated_at THEN
               concat(a.credits, ' credits at ', a.allocated_at, ', recorded as ', a.type, ' of ', a.amount, ' at ',
                      a.timestamp) END),
       ('allocation_has_subscription', CASE WHEN a.subscribed IS NULL THEN 'the balance has no tier' END),
       ('period_matches_anchor', CASE WHEN a.starts_at <> a.begins OR a.ends_at <> a.ends THEN
           concat('period ', a.period, ' from ', a.starts_at, ' to ', a.ends_at, ', counted from the anchor ', a.begins,
                  ' to ', a.ends) END),
       ('allocation_not_before_period', CASE WHEN a.period > 0 AND a.allocated_at < a.starts_at THEN
           concat('allocated at ', a.allocated_at, ', the period begins at ', a.starts_at) END),
       -- Only allocations before the last change are compared: a later one grants the tier's credits less the
       -- prorations, and staff may have changed the credits of the tier since.
       ('period_within_highest_tier', CASE WHEN a.allocated_at < g.last_at
               AND a.credits + g.prorated > g.high THEN
           concat('allocation ', a.credits, ' + prorations ', g.prorated, ', the highest tier grants ', g.high) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
