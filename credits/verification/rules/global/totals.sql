-- Each total against the sum of the roll-ups of all balances: the aggregation writes both in one transaction.
WITH due AS (
    SELECT day, type, feature_id, sum(credits_in) AS credits_in, sum(credits_out) AS credits_out, sum(count) AS count,
           sum(value) AS value, sum(unpriced) AS unpriced
      FROM credits_creditrollup
     GROUP BY day, type, feature_id
)
SELECT 'totals_match_rollups', NULL::uuid, 'total', coalesce(t.id, '00000000-0000-0000-0000-000000000000'),
       concat(coalesce(t.day, d.day), ' ', coalesce(t.type, d.type), ': ',
              CASE WHEN t.id IS NULL THEN 'nothing' ELSE concat(
                  t.credits_in, ' credits in, ', t.credits_out, ' credits out, ', t.count, ' counted, value ', t.value,
                  ', unpriced ', t.unpriced) END,
              '; the roll-ups have ',
              CASE WHEN d.day IS NULL THEN 'nothing' ELSE concat(
                  d.credits_in, ' credits in, ', d.credits_out, ' credits out, ', d.count, ' counted, value ', d.value,
                  ', unpriced ', d.unpriced) END)
  FROM credits_credittotal t
  FULL JOIN due d ON d.day = t.day AND d.type = t.type AND coalesce(d.feature_id, '') = coalesce(t.feature_id, '')
 WHERE (t.credits_in, t.credits_out, t.count, t.value, t.unpriced)
       IS DISTINCT FROM (d.credits_in, d.credits_out, d.count, d.value, d.unpriced)
