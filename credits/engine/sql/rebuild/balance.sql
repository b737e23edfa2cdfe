-- What the balance row must contain according to its transactions, entries, pins and holds. Its last change is never earlier than
-- that of a row of its history; a later one, such as that of a limit, is kept.
SELECT b.id,
       coalesce(t.balance, 0)::bigint AS balance,
       coalesce(p.amount, 0)::bigint AS held,
       coalesce(d.amount, 0)::bigint AS debt,
       coalesce(t.sequence, 0) AS sequence,
       coalesce(last.hash, decode(repeat('00', 32), 'hex')) AS head_hash,
       greatest(b.last_at, t.timestamp, h.changed_at) AS last_at
  FROM credits_creditbalance b
  LEFT JOIN LATERAL (
       SELECT sum(amount) AS balance, max(sequence) AS sequence, max(timestamp) AS timestamp
         FROM credits_credittransaction WHERE balance_id = b.id) AS t ON true
  LEFT JOIN credits_credittransaction last ON last.balance_id = b.id AND last.sequence = t.sequence
  LEFT JOIN LATERAL (
       SELECT -sum(amount) AS amount FROM credits_creditentry WHERE balance_id = b.id AND grant_id IS NULL) AS d ON true
  LEFT JOIN LATERAL (
       SELECT sum(p.amount) AS amount
         FROM credits_creditpin p
         JOIN credits_credithold h ON h.balance_id = p.balance_id AND h.id = p.hold_id AND h.status = 'open'
        WHERE p.balance_id = b.id) AS p ON true
  LEFT JOIN LATERAL (
       SELECT max(greatest(created_at, closed_at)) AS changed_at FROM credits_credithold WHERE balance_id = b.id) AS h ON true
 WHERE b.id = %(balance)s
