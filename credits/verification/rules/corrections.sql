-- Each refund and each reversal, against the usage or the purchase that it corrects. What the grants of a purchase and their
-- copies lost before, by expiry, void or an adjustment downwards, cannot be reversed.
WITH RECURSIVE purchased AS (
    SELECT DISTINCT t.balance_id, t.reverses_id AS purchase_id, g.id
      FROM credits_credittransaction t
      JOIN credits_creditgrant g ON g.balance_id = t.balance_id AND g.transaction_id = t.reverses_id
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s AND t.type = 'reversal'
    UNION ALL
    SELECT p.balance_id, p.purchase_id, g.id
      FROM purchased p
      JOIN credits_creditgrant g ON g.balance_id = p.balance_id AND g.parent_id = p.id
), lost AS (
    SELECT p.balance_id, p.purchase_id, t.sequence, -e.amount AS amount
      FROM purchased p
      JOIN credits_creditentry e ON e.balance_id = p.balance_id AND e.grant_id = p.id
      JOIN credits_credittransaction t ON t.balance_id = e.balance_id AND t.id = e.transaction_id
     WHERE t.type IN ('expiry', 'void') OR (t.type = 'adjustment' AND t.amount < 0)
), corrections AS (
    SELECT t.*, o.type AS original_type, o.amount AS original_amount, o.sequence AS original_sequence,
           sum(t.amount) OVER (PARTITION BY t.balance_id, t.type, t.reverses_id ORDER BY t.sequence) AS corrected,
           (SELECT coalesce(sum(l.amount), 0)
              FROM lost l
             WHERE t.type = 'reversal' AND l.balance_id = t.balance_id AND l.purchase_id = t.reverses_id
               AND l.sequence < t.sequence) AS lost
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
       ('corrections_within_original', CASE WHEN abs(t.corrected) + t.lost > abs(t.original_amount) THEN
           concat(abs(t.corrected), ' corrected and ', t.lost, ' lost of ', abs(t.original_amount)) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
