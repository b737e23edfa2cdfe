-- A transaction as it is counted: on its day in UTC, and a refund for the feature and the member of what it gives back.
-- The original is looked up one by one, where there is one: a join would be free to read the whole ledger for it.
CREATE VIEW credits_movement AS
SELECT t.balance_id, t.id AS transaction_id, t.sequence, (t.timestamp AT TIME ZONE 'UTC')::date AS day, t.type,
       CASE WHEN t.reverses_id IS NULL THEN t.feature_id ELSE (
           SELECT o.feature_id FROM credits_credittransaction o
            WHERE o.balance_id = t.balance_id AND o.id = t.reverses_id) END AS feature_id,
       CASE WHEN t.reverses_id IS NULL THEN t.member_id ELSE (
           SELECT o.member_id FROM credits_credittransaction o
            WHERE o.balance_id = t.balance_id AND o.id = t.reverses_id) END AS member_id,
       t.amount
  FROM credits_credittransaction t;

-- Sums grow in place; their columns are in no index.
ALTER TABLE credits_creditrollup SET (fillfactor = 80);
ALTER TABLE credits_credittotal SET (fillfactor = 50);
ALTER TABLE credits_creditfold SET (fillfactor = 70);
