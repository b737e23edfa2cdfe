-- The balances that will have nothing available within %(days)s days at the rate of the last thirty days, soonest first.
-- It reads roll-ups and balance rows only. The account page computes grant by grant, so its forecast may differ slightly.
WITH rates AS (
    SELECT balance_id, sum(credits_out) - sum(credits_in) AS spent
    FROM credits_creditrollup
    WHERE day > %(today)s::date - 30 AND type IN ('usage', 'refund')
    GROUP BY balance_id
    HAVING sum(credits_out) > sum(credits_in)
),
candidates AS (
    SELECT
        b.id,
        greatest(b.balance - b.held, 0) AS available,
        rates.spent::numeric / greatest(least(30, %(today)s::date - b.created_at::date), 1) AS per_day
    FROM rates
    JOIN credits_creditbalance AS b ON b.id = rates.balance_id
    WHERE b.suspended_at IS NULL
)
SELECT id, available, round(per_day, 1), round(available / per_day, 1) AS days_left
FROM candidates
WHERE available <= per_day * %(days)s
ORDER BY available / per_day, id
LIMIT %(limit)s
