-- Each allocation against its transaction, its period against the anchor of the subscription at that time, and a skip
-- against the history of pauses.
WITH terms AS (
    SELECT balance_id, anchor, first_period, NULL::integer AS next_period FROM tiers_subscription
     WHERE balance_id BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT balance_id, anchor, first_period, next_period FROM tiers_pastsubscription
     WHERE balance_id BETWEEN %(first)s AND %(last)s
), allocations AS (
    SELECT a.*, t.id AS recorded, t.type, t.amount, t.timestamp, s.balance_id AS subscribed,
           (s.anchor AT TIME ZONE 'UTC'
            + make_interval(months => a.period - s.first_period)) AT TIME ZONE 'UTC' AS begins,
           (s.anchor AT TIME ZONE 'UTC'
            + make_interval(months => a.period - s.first_period + 1)) AT TIME ZONE 'UTC' AS ends
      FROM tiers_monthlyallocation a
      LEFT JOIN terms s ON s.balance_id = a.balance_id AND a.period >= s.first_period
                       AND (s.next_period IS NULL OR a.period < s.next_period)
      LEFT JOIN credits_credittransaction t ON t.balance_id = a.balance_id AND t.id = a.transaction_id
     WHERE a.balance_id BETWEEN %(first)s AND %(last)s
), changes AS (
    SELECT a.id, sum(c.credits) AS prorated, max(c.high_credits) AS high, max(c.at) AS last_at
      FROM allocations a
      JOIN tiers_tierchange c ON c.balance_id = a.balance_id AND c.period = a.period AND c.kind = 'change'
     GROUP BY a.id
), pauses AS (
    -- The last pause or resumption of the subscription by the first instant of the period.
    SELECT a.id, p.kind, p.at
      FROM allocations a
      JOIN LATERAL (
           SELECT c.kind, c.at FROM tiers_tierchange c
            WHERE c.balance_id = a.balance_id AND c.kind IN ('pause', 'resume', 'start') AND c.at <= a.starts_at
            ORDER BY c.number DESC LIMIT 1) AS p ON true
     WHERE a.period > 0
)
SELECT v.rule, a.balance_id, 'allocation', a.id, v.details
  FROM allocations a
  LEFT JOIN pauses p ON p.id = a.id
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
       -- A period that was recorded at its first instant may have been so before a pause or after it.
       ('skip_matches_pauses', CASE
           WHEN (a.skipped = 'paused') <> (coalesce(p.kind, '') = 'pause')
                AND (p.at = a.starts_at AND a.allocated_at = a.starts_at) IS NOT TRUE THEN
           concat('skipped: ', coalesce(nullif(a.skipped, ''), 'no'), ', the last entry by ', a.starts_at, ' is ',
                  coalesce(p.kind, 'none')) END),
       -- Only allocations before the last change are compared: a later one grants the tier's credits less the
       -- prorations, and staff may have changed the credits of the tier since.
       ('period_within_highest_tier', CASE WHEN a.allocated_at < g.last_at
               AND a.credits + g.prorated > g.high THEN
           concat('allocation ', a.credits, ' + prorations ', g.prorated, ', the highest tier grants ', g.high) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
