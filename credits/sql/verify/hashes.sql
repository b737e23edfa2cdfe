-- Each hash against what the tables hold. A change of any hashed column shows here, at its own transaction.
SELECT 'hash_is_true', t.balance_id, 'transaction', t.id, concat('number ', t.sequence, ' has hash ', encode(t.hash, 'hex'))
  FROM credits_credittransaction t
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.hash <> credits_transaction_hash(t)
