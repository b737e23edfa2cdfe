-- Remembered requests and the transactions they wrote name each other: key and effect were committed together.
SELECT 'request_names_its_effect', r.balance_id, 'request', r.id,
       concat('key ', r.key, ', its transaction has key ', coalesce(t.idempotency_key, 'none'))
  FROM credits_creditrequest r
  JOIN credits_credittransaction t ON t.balance_id = r.balance_id AND t.id = r.transaction_id
 WHERE r.balance_id BETWEEN %(first)s AND %(last)s
   AND (t.idempotency_key IS DISTINCT FROM r.key OR t.actor_id IS DISTINCT FROM r.caller_id)
       -- Asking again for a month that has its credits is answered with the first transaction, under a key of its own.
   AND NOT (r.operation = 'add_monthly_allocation' AND t.type = 'allocation')
UNION ALL
SELECT 'key_is_remembered', t.balance_id, 'transaction', t.id, concat('key ', t.idempotency_key, ' is not remembered')
  FROM credits_credittransaction t
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.idempotency_key IS NOT NULL
   AND NOT EXISTS (
       SELECT FROM credits_creditrequest r
        WHERE r.balance_id = t.balance_id AND r.key = t.idempotency_key AND r.caller_id IS NOT DISTINCT FROM t.actor_id)
