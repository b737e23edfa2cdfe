-- The counter of each limit in force, against the usage of its window: usage less refunds, plus open holds.
WITH limits AS (
    SELECT l.*, (l.window_starts_at AT TIME ZONE 'UTC' + ('1 ' || l.period)::interval) AT TIME ZONE 'UTC' AS ends_at
      FROM credits_spendinglimit l
     WHERE l.balance_id BETWEEN %(first)s AND %(last)s AND l.removed_at IS NULL
), sums AS (
    SELECT l.*, coalesce(u.amount, 0) AS spent, coalesce(h.amount, 0) AS held
      FROM limits l, LATERAL (
           SELECT -sum(t.amount) - sum((SELECT coalesce(sum(r.amount), 0)
                                          FROM credits_credittransaction r
                                         WHERE r.balance_id = t.balance_id AND r.reverses_id = t.id
                                           AND r.type = 'refund')) AS amount
             FROM credits_credittransaction t
            WHERE t.balance_id = l.balance_id AND t.type = 'usage'
              AND t.timestamp >= l.window_starts_at AND t.timestamp < l.ends_at
              AND (l.member_id IS NULL OR t.member_id = l.member_id)) AS u, LATERAL (
           SELECT sum(o.amount) AS amount
             FROM credits_credithold o
            WHERE o.balance_id = l.balance_id AND o.status = 'open'
              AND o.created_at >= l.window_starts_at AND o.created_at < l.ends_at
              AND (l.member_id IS NULL OR o.member_id = l.member_id)) AS h
)
SELECT v.rule, s.balance_id, 'limit', s.id, v.details
  FROM sums s, LATERAL (VALUES
       ('limit_counter_matches_usage', CASE WHEN s.used <> s.spent + s.held THEN
           concat('used ', s.used, ' since ', s.window_starts_at, ', spent ', s.spent, ' + held ', s.held) END),
       ('limit_window_on_calendar', CASE WHEN s.window_starts_at
               <> date_trunc(s.period, s.window_starts_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' THEN
           concat('the ', s.period, ' begins at ', s.window_starts_at) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
