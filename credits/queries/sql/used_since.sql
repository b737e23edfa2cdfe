-- Credits used of a balance from an instant on, by one member or by all: usage less the refunds of that usage, plus the open
-- holds. The counter of a new spending limit starts with this sum.
SELECT coalesce(sum(u.amount), 0)::bigint AS used
  FROM (SELECT -t.amount AS amount, t.member_id
          FROM credits_credittransaction t
         WHERE t.balance_id = %(balance)s AND t.timestamp >= %(since)s AND t.type = 'usage'
        UNION ALL
        SELECT -r.amount, t.member_id
          FROM credits_credittransaction r
          JOIN credits_credittransaction t ON t.balance_id = r.balance_id AND t.id = r.reverses_id
         WHERE r.balance_id = %(balance)s AND r.timestamp >= %(since)s AND r.type = 'refund'
           AND t.timestamp >= %(since)s
        UNION ALL
        SELECT h.amount, h.member_id
          FROM credits_credithold h
         WHERE h.balance_id = %(balance)s AND h.created_at >= %(since)s AND h.status = 'open'
           AND h.expires_at > %(at)s) AS u
 WHERE %(member)s::uuid IS NULL OR u.member_id = %(member)s
