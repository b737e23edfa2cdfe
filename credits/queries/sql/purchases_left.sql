-- What is left of each purchase for a reversal, for the grants of balances that come from a purchase, up to a transaction of each
-- balance: bought, less what was reversed, and less what the grants of the purchase and their copies lost by expiry, void or
-- adjustment.
WITH RECURSIVE wanted AS (
    SELECT balance_id, sequence
      FROM unnest(%(balances)s::uuid[], %(sequences)s::bigint[]) AS w (balance_id, sequence)
), ancestors AS (
    SELECT g.balance_id, g.id AS grant_id, g.parent_id, g.transaction_id
      FROM credits_creditgrant g
     WHERE g.balance_id = ANY(%(balances)s::uuid[]) AND g.id = ANY(%(grants)s::uuid[])
    UNION ALL
    SELECT g.balance_id, a.grant_id, g.parent_id, g.transaction_id
      FROM ancestors a
      JOIN credits_creditgrant g ON g.balance_id = a.balance_id AND g.id = a.parent_id
), purchases AS (
    SELECT a.balance_id, a.grant_id, t.id AS purchase_id, t.amount
      FROM ancestors a
      JOIN credits_credittransaction t ON t.balance_id = a.balance_id AND t.id = a.transaction_id
     WHERE a.parent_id IS NULL AND t.type = 'purchase'
), descendants AS (
    SELECT p.balance_id, p.purchase_id, g.id
      FROM (SELECT DISTINCT balance_id, purchase_id FROM purchases) p
      JOIN credits_creditgrant g ON g.balance_id = p.balance_id AND g.transaction_id = p.purchase_id
    UNION ALL
    SELECT d.balance_id, d.purchase_id, g.id
      FROM descendants d
      JOIN credits_creditgrant g ON g.balance_id = d.balance_id AND g.parent_id = d.id
), lost AS (
    SELECT d.purchase_id, sum(e.amount) AS amount
      FROM descendants d
      JOIN wanted w ON w.balance_id = d.balance_id
      JOIN credits_creditentry e ON e.balance_id = d.balance_id AND e.grant_id = d.id
      JOIN credits_credittransaction t ON t.balance_id = e.balance_id AND t.id = e.transaction_id
     WHERE t.sequence <= w.sequence
       AND (t.type IN ('expiry', 'void') OR (t.type = 'adjustment' AND t.amount < 0))
     GROUP BY d.purchase_id
), reversed AS (
    SELECT t.reverses_id, sum(t.amount) AS amount
      FROM (SELECT DISTINCT balance_id, purchase_id FROM purchases) p
      JOIN wanted w ON w.balance_id = p.balance_id
      JOIN credits_credittransaction t ON t.balance_id = p.balance_id AND t.reverses_id = p.purchase_id
     WHERE t.type = 'reversal' AND t.sequence <= w.sequence
     GROUP BY t.reverses_id
)
SELECT p.balance_id, p.grant_id, p.purchase_id,
       (p.amount + coalesce(l.amount, 0) + coalesce(r.amount, 0))::bigint AS amount
  FROM purchases p
  LEFT JOIN lost l ON l.purchase_id = p.purchase_id
  LEFT JOIN reversed r ON r.reverses_id = p.purchase_id
