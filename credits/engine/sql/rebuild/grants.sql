-- What each grant of the balance must have: its entries add up to what remains and what the pins of open holds reserve.
SELECT g.id,
       (coalesce(e.amount, 0) - coalesce(p.amount, 0))::bigint AS remaining,
       coalesce(p.amount, 0)::bigint AS held,
       coalesce(e.amount, 0) > 0 AS live
  FROM credits_creditgrant g
  LEFT JOIN (
       SELECT grant_id, sum(amount) AS amount FROM credits_creditentry WHERE balance_id = %(balance)s GROUP BY grant_id
       ) AS e ON e.grant_id = g.id
  LEFT JOIN (
       SELECT p.grant_id, sum(p.amount) AS amount
         FROM credits_creditpin p
         JOIN credits_credithold h ON h.balance_id = p.balance_id AND h.id = p.hold_id AND h.status = 'open'
        WHERE p.balance_id = %(balance)s
        GROUP BY p.grant_id
       ) AS p ON p.grant_id = g.id
 WHERE g.balance_id = %(balance)s
 ORDER BY g.id
