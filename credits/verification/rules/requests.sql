-- Each idempotent request and the transaction that it wrote refer to each other: both are committed together.
SELECT 'request_matches_transaction', r.balance_id, 'request', r.id,
       concat('key ', r.key, ', the transaction has key ', coalesce(t.idempotency_key, 'none'))
  FROM credits_creditrequest r
  JOIN credits_credittransaction t ON t.balance_id = r.balance_id AND t.id = r.transaction_id
 WHERE r.balance_id BETWEEN %(first)s AND %(last)s
   AND (t.idempotency_key IS DISTINCT FROM r.key OR t.actor_id IS DISTINCT FROM r.caller_id)
       -- A repeated request for an allocated period refers to the first transaction, under a key of its own.
   AND NOT (r.operation = 'add_monthly_allocation' AND t.type = 'allocation')
UNION ALL
SELECT 'idempotency_key_has_request', t.balance_id, 'transaction', t.id,
       concat('key ', t.idempotency_key, ' has no request')
  FROM credits_credittransaction t
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.idempotency_key IS NOT NULL
   AND NOT EXISTS (
       SELECT FROM credits_creditrequest r
        WHERE r.balance_id = t.balance_id AND r.key = t.idempotency_key AND r.caller_id IS NOT DISTINCT FROM t.actor_id)
