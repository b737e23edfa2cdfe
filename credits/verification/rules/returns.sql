-- What gives back, or takes back, an earlier transaction, against that transaction.
WITH returns AS (
    SELECT t.*, o.type AS original_type, o.amount AS original_amount, o.sequence AS original_sequence,
           sum(t.amount) OVER (PARTITION BY t.balance_id, t.type, t.reverses_id ORDER BY t.sequence) AS returned
      FROM credits_credittransaction t
      LEFT JOIN credits_credittransaction o ON o.balance_id = t.balance_id AND o.id = t.reverses_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s
       AND (t.type = 'refund' OR (t.type = 'reversal' AND t.amount <> 0))
)
SELECT v.rule, t.balance_id, 'transaction', t.id, v.words
  FROM returns t, LATERAL (VALUES
       ('return_follows_its_original', CASE WHEN t.original_sequence IS NULL OR t.original_sequence >= t.sequence
               OR t.original_type <> CASE t.type WHEN 'refund' THEN 'usage' ELSE 'purchase' END THEN
           concat(t.type, ' number ', t.sequence, ' of ', coalesce(t.original_type, 'nothing'), ' number ',
                  t.original_sequence) END),
       ('returns_no_more_than_there_was', CASE WHEN abs(t.returned) > abs(t.original_amount) THEN
           concat(abs(t.returned), ' returned of ', abs(t.original_amount)) END)
  ) AS v (rule, words)
 WHERE v.words IS NOT NULL
