-- Add the transactions beyond the watermarks of these balances to the roll-ups and totals, and move the watermarks: at most
-- %(most)s transactions, in order of the balance id. The caller has locked the watermarks, so no other run adds the same rows.
WITH pending AS (
    SELECT f.balance_id, f.sequence AS watermark, b.sequence - f.sequence AS beyond,
           sum(b.sequence - f.sequence) OVER (ORDER BY f.balance_id) - (b.sequence - f.sequence) AS before_it
      FROM credits_usagewatermark f
      JOIN credits_creditbalance b ON b.id = f.balance_id
     WHERE f.balance_id = ANY(%(balances)s::uuid[]) AND b.sequence > f.sequence
), spans AS (
    SELECT balance_id, watermark, (watermark + least(beyond, %(most)s - before_it))::bigint AS target
      FROM pending
     WHERE before_it < %(most)s
), moved AS MATERIALIZED (
    SELECT m.*
      FROM spans s
      JOIN credits_movement m ON m.balance_id = s.balance_id AND m.sequence > s.watermark AND m.sequence <= s.target
), parts AS (
    SELECT balance_id, day, type, feature_id, member_id, greatest(amount, 0) AS credits_in, greatest(-amount, 0) AS credits_out,
           1 AS count, 0 AS value, 0 AS unpriced
      FROM moved
    UNION ALL
    SELECT m.balance_id, m.day, m.type, m.feature_id, m.member_id, 0, 0,
           0, coalesce(e.amount * g.unit_price, 0), CASE WHEN g.unit_price IS NULL THEN e.amount ELSE 0 END
      FROM moved m
      JOIN credits_creditentry e ON e.balance_id = m.balance_id AND e.transaction_id = m.transaction_id
      LEFT JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
), sums AS (
    SELECT balance_id, day, type, feature_id, member_id, sum(credits_in) AS credits_in, sum(credits_out) AS credits_out, sum(count) AS count,
           sum(value) AS value, sum(unpriced) AS unpriced
      FROM parts
     GROUP BY balance_id, day, type, feature_id, member_id
), rolled AS (
    INSERT INTO credits_creditrollup AS r
           (id, balance_id, day, type, feature_id, member_id, credits_in, credits_out, count, value, unpriced)
    SELECT gen_random_uuid(), s.* FROM sums s
        ON CONFLICT (balance_id, day, type, feature_id, member_id) DO UPDATE
       SET credits_in = r.credits_in + excluded.credits_in, credits_out = r.credits_out + excluded.credits_out, count = r.count + excluded.count,
           value = r.value + excluded.value, unpriced = r.unpriced + excluded.unpriced
), totalled AS (
    -- Rows that other runs add to as well: always in this order, so that two of them wait instead of deadlocking.
    INSERT INTO credits_credittotal AS t (id, day, type, feature_id, credits_in, credits_out, count, value, unpriced)
    SELECT gen_random_uuid(), day, type, feature_id, sum(credits_in), sum(credits_out), sum(count), sum(value), sum(unpriced)
      FROM sums
     GROUP BY day, type, feature_id
     ORDER BY day, type, feature_id
        ON CONFLICT (day, type, feature_id) DO UPDATE
       SET credits_in = t.credits_in + excluded.credits_in, credits_out = t.credits_out + excluded.credits_out, count = t.count + excluded.count,
           value = t.value + excluded.value, unpriced = t.unpriced + excluded.unpriced
)
UPDATE credits_usagewatermark f
   SET sequence = s.target
  FROM spans s
 WHERE f.balance_id = s.balance_id
RETURNING f.balance_id, s.target - s.watermark AS aggregated
