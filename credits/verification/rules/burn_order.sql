-- Free credits are spent in burn order, each grant emptied before the next one pays.
WITH draws AS (
    SELECT e.*, lead(e.id) OVER w IS NOT NULL AS followed,
           lag(g.id) OVER w IS NOT NULL AND (
               lag(g.priority) OVER w, coalesce(lag(g.expires_at) OVER w, 'infinity'),
               lag(g.source) OVER w = 'purchase', lag(g.effective_at) OVER w, lag(g.id) OVER w
           ) > (g.priority, coalesce(g.expires_at, 'infinity'), g.source = 'purchase', g.effective_at, g.id) AS late
      FROM credits_credittransaction t
      JOIN credits_creditentry e ON e.balance_id = t.balance_id AND e.transaction_id = t.id
      JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.amount < 0 AND t.hold_id IS NULL
       AND t.type IN ('usage', 'adjustment')
    WINDOW w AS (PARTITION BY e.balance_id, e.transaction_id ORDER BY e.position)
)
SELECT 'paid_in_burn_order', d.balance_id, 'entry', d.id,
       CASE WHEN d.late THEN concat('position ', d.position, ' pays after a grant that comes later in the burn order')
            ELSE concat('position ', d.position, ' leaves ', d.remaining_after, ' where the next one pays') END
  FROM draws d
 WHERE d.late OR (d.followed AND d.remaining_after > 0)
