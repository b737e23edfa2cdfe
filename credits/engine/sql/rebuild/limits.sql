-- What each limit in force must have counted in its window: usage less refunds, plus open holds.
SELECT l.id, (coalesce(u.amount, 0) - coalesce(u.refunded, 0) + coalesce(h.amount, 0))::bigint AS used
  FROM (SELECT *, (window_starts_at AT TIME ZONE 'UTC' + ('1 ' || period)::interval) AT TIME ZONE 'UTC' AS ends_at
          FROM credits_spendinglimit
         WHERE balance_id = %(balance)s AND removed_at IS NULL) AS l
  LEFT JOIN LATERAL (
       SELECT -sum(t.amount) AS amount,
              sum((SELECT coalesce(sum(r.amount), 0)
                     FROM credits_credittransaction r
                    WHERE r.balance_id = t.balance_id AND r.reverses_id = t.id AND r.type = 'refund')) AS refunded
         FROM credits_credittransaction t
        WHERE t.balance_id = l.balance_id AND t.type = 'usage'
          AND t.timestamp >= l.window_starts_at AND t.timestamp < l.ends_at
          AND (l.member_id IS NULL OR t.member_id = l.member_id)) AS u ON true
  LEFT JOIN LATERAL (
       SELECT sum(o.amount) AS amount
         FROM credits_credithold o
        WHERE o.balance_id = l.balance_id AND o.status = 'open'
          AND o.created_at >= l.window_starts_at AND o.created_at < l.ends_at
          AND (l.member_id IS NULL OR o.member_id = l.member_id)) AS h ON true
 ORDER BY l.id
