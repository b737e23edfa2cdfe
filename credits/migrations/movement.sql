-- A transaction as it is counted: on its day in UTC, and a refund for the feature and the member of what it gives back.
CREATE VIEW credits_movement AS
SELECT t.balance_id, t.id AS transaction_id, t.sequence, (t.timestamp AT TIME ZONE 'UTC')::date AS day, t.type,
       coalesce(t.feature_id, o.feature_id) AS feature_id, coalesce(t.member_id, o.member_id) AS member_id, t.amount
  FROM credits_credittransaction t
  LEFT JOIN credits_credittransaction o ON o.balance_id = t.balance_id AND o.id = t.reverses_id;

-- Sums grow in place; their columns are in no index.
ALTER TABLE credits_creditrollup SET (fillfactor = 80);
ALTER TABLE credits_credittotal SET (fillfactor = 50);
ALTER TABLE credits_creditfold SET (fillfactor = 70);
