-- Each transaction against its predecessor, its type and its price.
WITH chain AS (
    SELECT t.*,
           lag(t.sequence, 1, 0::bigint) OVER w AS sequence_before,
           lag(t.balance_after, 1, 0::bigint) OVER w AS balance_before,
           lag(t.timestamp) OVER w AS timestamp_before,
           lag(t.hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS hash_before,
           -p.credits * t.quantity AS cost
      FROM credits_credittransaction t
      LEFT JOIN credits_featureprice p ON p.id = t.price_id AND t.type = 'usage' AND t.hold_id IS NULL
     WHERE t.balance_id BETWEEN %(first)s AND %(last)s
    WINDOW w AS (PARTITION BY t.balance_id ORDER BY t.sequence)
)
SELECT v.rule, t.balance_id, 'transaction', t.id, v.details
  FROM chain t, LATERAL (VALUES
       ('sequence_has_no_gaps', CASE WHEN t.sequence <> t.sequence_before + 1 THEN
           concat('sequence ', t.sequence, ' follows sequence ', t.sequence_before) END),
       ('balance_after_adds_up', CASE WHEN t.balance_after <> t.balance_before + t.amount THEN
           concat('balance after ', t.balance_after, ', before ', t.balance_before, ', amount ', t.amount) END),
       ('timestamps_never_decrease', CASE WHEN t.timestamp < t.timestamp_before THEN
           concat('dated ', t.timestamp, ', the predecessor is dated ', t.timestamp_before) END),
       ('previous_hash_matches', CASE WHEN t.previous_hash <> t.hash_before THEN
           concat('previous hash ', encode(t.previous_hash, 'hex'), ', the predecessor has ',
                  encode(t.hash_before, 'hex')) END),
       ('amount_matches_type', CASE WHEN NOT CASE t.type
               WHEN 'allocation' THEN t.amount > 0 WHEN 'purchase' THEN t.amount > 0
               WHEN 'promotion' THEN t.amount > 0 WHEN 'refund' THEN t.amount > 0
               WHEN 'usage' THEN t.amount < 0 WHEN 'expiry' THEN t.amount < 0 WHEN 'void' THEN t.amount < 0
               WHEN 'reversal' THEN t.amount <= 0 WHEN 'rollover' THEN t.amount = 0
               WHEN 'transfer' THEN t.amount <> 0
               ELSE t.type = 'adjustment' END THEN
           concat(t.type, ' of ', t.amount) END),
       ('usage_matches_price', CASE WHEN t.amount <> t.cost THEN
           concat('amount ', t.amount, ', quantity times price is ', t.cost) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
