-- The sums of one balance's transactions in [from, to), by one dimension: full days up to the watermark from the
-- roll-ups, everything else from the ledger. A single statement has a single snapshot, so a concurrent aggregation causes
-- neither gaps nor double counting. Timestamps never decrease with sequence, so a time range is a sequence range.
WITH b AS (
    SELECT b.id, coalesce(f.sequence, 0) AS watermark
      FROM credits_creditbalance b
      LEFT JOIN credits_usagewatermark f ON f.balance_id = b.id
     WHERE b.id = %(balance)s
), marks AS (
    -- The sequence of the last transaction before each instant.
    SELECT b.watermark, array_agg(coalesce(t.sequence, 0) ORDER BY i.n) AS last
      FROM b, unnest(%(instants)s::timestamptz[]) WITH ORDINALITY AS i (at, n)
      LEFT JOIN LATERAL (
          SELECT sequence FROM credits_credittransaction
           WHERE balance_id = %(balance)s AND timestamp < i.at
           ORDER BY timestamp DESC, sequence DESC
           LIMIT 1
      ) t ON true
     GROUP BY b.watermark
), full_days AS (
    -- The days inside the range. A day at an edge counts as full if its part outside the range has no transaction.
    SELECT watermark, last[1] AS after, last[2] AS upto,
           CASE WHEN last[3] = last[1] THEN %(first_day)s::date ELSE %(second_day)s::date END AS first,
           CASE WHEN last[3] = last[1] THEN last[1] ELSE last[4] END AS before_first,
           CASE WHEN last[6] = last[2] THEN %(next_day)s::date ELSE %(last_day)s::date END AS beyond,
           CASE WHEN last[6] = last[2] THEN last[2] ELSE last[5] END AS before_beyond
      FROM marks
), plan AS (
    SELECT first, beyond, after, upto,
           CASE WHEN first < beyond THEN before_first ELSE after END AS pause,
           CASE WHEN first < beyond THEN greatest(least(watermark, before_beyond), before_first) ELSE after END AS resume
      FROM full_days
), parts AS (
    SELECT r.day, r.type, r.feature_id, r.member_id, r.credits_in, r.credits_out, r.count
      FROM plan p
      JOIN credits_creditrollup r ON r.balance_id = %(balance)s AND r.day >= p.first AND r.day < p.beyond
    UNION ALL
    SELECT m.day, m.type, m.feature_id, m.member_id, greatest(m.amount, 0), greatest(-m.amount, 0), 1
      FROM plan p
     CROSS JOIN LATERAL (VALUES (p.after, p.pause), (p.resume, p.upto)) AS live (after, upto)
      JOIN credits_movement m
        ON m.balance_id = %(balance)s AND m.sequence > live.after AND m.sequence <= live.upto
), keyed AS (
    SELECT CASE %(group_by)s
               WHEN 'day' THEN to_char(day, 'YYYY-MM-DD')
               WHEN 'type' THEN type
               WHEN 'feature' THEN feature_id
               WHEN 'member' THEN coalesce(member_id, %(person)s::uuid)::text END AS key,
           type, credits_in, credits_out, count
      FROM parts
     WHERE %(group_by)s = 'type' OR type IN ('usage', 'refund')
)
SELECT key,
       coalesce(sum(credits_out) FILTER (WHERE type = 'usage'), 0)::bigint,
       coalesce(sum(credits_in) FILTER (WHERE type = 'refund'), 0)::bigint,
       coalesce(sum(count) FILTER (WHERE type = 'usage' OR %(group_by)s = 'type'), 0)::bigint,
       CASE WHEN %(group_by)s = 'type' THEN (sum(credits_in) - sum(credits_out))::bigint END
  FROM keyed
 GROUP BY key
