-- Each roll-up against the sums of the ledger up to the balance's watermark.
WITH moved AS MATERIALIZED (
    SELECT m.*
      FROM credits_movement m
      JOIN credits_usagewatermark f ON f.balance_id = m.balance_id AND m.sequence <= f.sequence
     WHERE m.balance_id BETWEEN %(first)s AND %(last)s
), sold AS (
    SELECT m.balance_id, m.day, m.type, m.feature_id, m.member_id, coalesce(sum(e.amount * g.unit_price), 0) AS value,
           coalesce(sum(e.amount) FILTER (WHERE g.unit_price IS NULL), 0) AS unpriced
      FROM moved m
      JOIN credits_creditentry e ON e.balance_id = m.balance_id AND e.transaction_id = m.transaction_id
      LEFT JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     GROUP BY m.balance_id, m.day, m.type, m.feature_id, m.member_id
), ledger AS (
    SELECT m.balance_id, m.day, m.type, m.feature_id, m.member_id, sum(greatest(m.amount, 0)) AS credits_in,
           sum(greatest(-m.amount, 0)) AS credits_out, count(*) AS count
      FROM moved m
     GROUP BY m.balance_id, m.day, m.type, m.feature_id, m.member_id
), due AS (
    SELECT l.*, coalesce(w.value, 0) AS value, coalesce(w.unpriced, 0) AS unpriced
      FROM ledger l
      LEFT JOIN sold w ON w.balance_id = l.balance_id AND w.day = l.day AND w.type = l.type
       AND w.feature_id IS NOT DISTINCT FROM l.feature_id AND w.member_id IS NOT DISTINCT FROM l.member_id
), sums AS (
    SELECT * FROM credits_creditrollup WHERE balance_id BETWEEN %(first)s AND %(last)s
)
SELECT 'rollups_match_ledger', coalesce(r.balance_id, d.balance_id), 'roll-up', coalesce(r.id, d.balance_id),
       concat(coalesce(r.day, d.day), ' ', coalesce(r.type, d.type), ': ',
              CASE WHEN r.id IS NULL THEN 'nothing' ELSE concat(
                  r.credits_in, ' credits in, ', r.credits_out, ' credits out, ', r.count, ' counted, value ', r.value,
                  ', unpriced ', r.unpriced) END,
              '; the ledger has ',
              CASE WHEN d.balance_id IS NULL THEN 'nothing' ELSE concat(
                  d.credits_in, ' credits in, ', d.credits_out, ' credits out, ', d.count, ' counted, value ',
                  d.value, ', unpriced ', d.unpriced) END)
  FROM sums r
  FULL JOIN due d ON d.balance_id = r.balance_id AND d.day = r.day AND d.type = r.type
   AND coalesce(d.feature_id, '') = coalesce(r.feature_id, '')
   AND coalesce(d.member_id::text, '') = coalesce(r.member_id::text, '')
 WHERE (r.credits_in, r.credits_out, r.count, r.value, r.unpriced)
       IS DISTINCT FROM (d.credits_in, d.credits_out, d.count, d.value, d.unpriced)
UNION ALL
SELECT 'watermark_within_ledger', f.balance_id, 'watermark', f.balance_id,
       concat('aggregated up to sequence ', f.sequence, ', the last transaction has sequence ', b.sequence)
  FROM credits_usagewatermark f
  JOIN credits_creditbalance b ON b.id = f.balance_id
 WHERE f.balance_id BETWEEN %(first)s AND %(last)s AND f.sequence > b.sequence
