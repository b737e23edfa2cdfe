-- The totals over all balances again, from the roll-ups. The caller has locked the table of the totals and emptied it.
INSERT INTO credits_credittotal (id, day, type, feature_id, credits_in, credits_out, count, value, unpriced)
SELECT gen_random_uuid(), day, type, feature_id, sum(credits_in), sum(credits_out), sum(count), sum(value), sum(unpriced)
  FROM credits_creditrollup
 GROUP BY day, type, feature_id
