-- The balances that will have nothing available within %(days)s days at the pace of the last thirty, the first ones
-- first. From roll-ups and balance rows alone: what each account's own page works out grant by grant may differ a little.
WITH pace AS (
    SELECT balance_id, sum(credits_out) - sum(credits_in) AS spent
    FROM credits_creditrollup
    WHERE day > %(today)s::date - 30 AND type IN ('usage', 'refund')
    GROUP BY balance_id
    HAVING sum(credits_out) > sum(credits_in)
),
facing AS (
    SELECT
        b.id,
        greatest(b.balance - b.held, 0) AS available,
        pace.spent::numeric / greatest(least(30, %(today)s::date - b.created_at::date), 1) AS a_day
    FROM pace
    JOIN credits_creditbalance AS b ON b.id = pace.balance_id
    WHERE b.suspended_at IS NULL
)
SELECT id, available, round(a_day, 1), round(available / a_day, 1) AS days_left
FROM facing
WHERE available <= a_day * %(days)s
ORDER BY available / a_day, id
LIMIT %(limit)s
