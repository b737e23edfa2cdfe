-- Every reference between rows of the ledger leads to an existing row of the same balance.
WITH refs AS (
    SELECT balance_id, 'transaction' AS kind, id, NULL::uuid AS transaction_id, NULL::uuid AS grant_id, hold_id
      FROM credits_credittransaction
     WHERE balance_id BETWEEN %(first)s AND %(last)s AND hold_id IS NOT NULL
    UNION ALL
    SELECT balance_id, 'transaction', id, reverses_id, NULL, NULL
      FROM credits_credittransaction
     WHERE balance_id BETWEEN %(first)s AND %(last)s AND reverses_id IS NOT NULL
    UNION ALL
    SELECT balance_id, 'entry', id, transaction_id, grant_id, NULL
      FROM credits_creditentry WHERE balance_id BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT balance_id, 'grant', id, transaction_id, parent_id, NULL
      FROM credits_creditgrant WHERE balance_id BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT balance_id, 'pin', id, NULL, grant_id, hold_id
      FROM credits_creditpin WHERE balance_id BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT balance_id, 'request', id, transaction_id, NULL, hold_id
      FROM credits_creditrequest WHERE balance_id BETWEEN %(first)s AND %(last)s
)
SELECT 'references_exist_in_balance', n.balance_id, n.kind, n.id,
       concat_ws(', ',
                 CASE WHEN n.transaction_id IS NOT NULL AND t.id IS NULL THEN 'transaction ' || n.transaction_id END,
                 CASE WHEN n.grant_id IS NOT NULL AND g.id IS NULL THEN 'grant ' || n.grant_id END,
                 CASE WHEN n.hold_id IS NOT NULL AND h.id IS NULL THEN 'hold ' || n.hold_id END) || ' does not exist'
  FROM refs n
  LEFT JOIN credits_credittransaction t ON t.balance_id = n.balance_id AND t.id = n.transaction_id
  LEFT JOIN credits_creditgrant g ON g.balance_id = n.balance_id AND g.id = n.grant_id
  LEFT JOIN credits_credithold h ON h.balance_id = n.balance_id AND h.id = n.hold_id
 WHERE (n.transaction_id IS NOT NULL AND t.id IS NULL) OR (n.grant_id IS NOT NULL AND g.id IS NULL)
    OR (n.hold_id IS NOT NULL AND h.id IS NULL)
UNION ALL
SELECT 'references_exist_in_balance', t.balance_id, 'transaction', t.id,
       concat('balance ', t.balance_id, ' does not exist')
  FROM credits_credittransaction t
  LEFT JOIN credits_creditbalance b ON b.id = t.balance_id
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND b.id IS NULL
UNION ALL
SELECT 'references_exist_in_balance', h.balance_id, 'hold', h.id, concat('balance ', h.balance_id, ' does not exist')
  FROM credits_credithold h
  LEFT JOIN credits_creditbalance b ON b.id = h.balance_id
 WHERE h.balance_id BETWEEN %(first)s AND %(last)s AND b.id IS NULL
UNION ALL
SELECT 'references_exist_in_balance', l.balance_id, 'limit', l.id, concat('balance ', l.balance_id, ' does not exist')
  FROM credits_spendinglimit l
  LEFT JOIN credits_creditbalance b ON b.id = l.balance_id
 WHERE l.balance_id BETWEEN %(first)s AND %(last)s AND b.id IS NULL
