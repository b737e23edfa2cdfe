-- Each refund and each reversal, against the usage or the purchase that it corrects.
WITH corrections AS (
    SELECT t.*, o.type AS original_type, o.amount AS original_amount, o.sequence AS original_sequence,
           sum(t.amount) OVER (PARTITION BY t.balance_id, t.type, t.reverses_id ORDER BY t.sequence) AS corrected
      FROM credits_credittransaction t
      LEFT JOIN credits_credittransaction o ON o.balance_id = t.balance_id AND o.id = t.reverses_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s
       AND (t.type = 'refund' OR (t.type = 'reversal' AND t.amount <> 0))
)
SELECT v.rule, t.balance_id, 'transaction', t.id, v.details
  FROM corrections t, LATERAL (VALUES
       ('correction_follows_original', CASE WHEN t.original_sequence IS NULL OR t.original_sequence >= t.sequence
               OR t.original_type <> CASE t.type WHEN 'refund' THEN 'usage' ELSE 'purchase' END THEN
           concat(t.type, ', sequence ', t.sequence, ', of ', coalesce(t.original_type, 'nothing'), ', sequence ',
                  t.original_sequence) END),
       ('corrections_within_original', CASE WHEN abs(t.corrected) > abs(t.original_amount) THEN
           concat(abs(t.corrected), ' corrected of ', abs(t.original_amount)) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
