-- Usage, downward adjustments and transfers take free credits in burn order, and use up each grant before the next one.
--
-- The burn order is written in five places on purpose, so that they check each other. Change all of them together:
-- credits/domain/burn_order.py (the rule that operations apply), credits/queries/sql/balance_states.sql (which grants are
-- loaded), this file, tests/model/balance.py (the model) and fluxori/devtools/bench/reference.sql (the benchmark reference).
--
-- The rule applies to transactions recorded from valid_from on. A change of the burn order sets it to the time of the
-- release, because older transactions followed the previous order and must not be reported.
WITH rule AS (
    SELECT timestamptz '2020-01-01 00:00:00+00' AS valid_from
), deltas AS (
    SELECT e.*, lead(e.id) OVER w IS NOT NULL AS followed,
           lag(g.id) OVER w IS NOT NULL AND (
               lag(g.priority) OVER w, coalesce(lag(g.expires_at) OVER w, 'infinity'),
               lag(g.source) OVER w = 'purchase', lag(g.effective_at) OVER w, lag(g.id) OVER w
           ) > (g.priority, coalesce(g.expires_at, 'infinity'), g.source = 'purchase', g.effective_at, g.id) AS late
      FROM credits_credittransaction t
      JOIN rule ON t.recorded_at >= rule.valid_from
      JOIN credits_creditentry e ON e.balance_id = t.balance_id AND e.transaction_id = t.id
      JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.amount < 0 AND t.hold_id IS NULL
       AND t.type IN ('usage', 'adjustment', 'transfer')
    WINDOW w AS (PARTITION BY e.balance_id, e.transaction_id ORDER BY e.position)
)
SELECT 'spent_in_burn_order', d.balance_id, 'entry', d.id,
       CASE WHEN d.late THEN concat('position ', d.position, ' follows a grant that is later in the burn order')
            ELSE concat('position ', d.position, ' leaves ', d.remaining_after, ' credits unused') END
  FROM deltas d
 WHERE d.late OR (d.followed AND d.remaining_after > 0)
