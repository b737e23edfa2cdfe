-- A transaction as usage counts it: on its UTC day; a refund counts for the feature and the member of the usage that it refunds.
-- The sub-selects look up the refunded transaction by key. A join would allow a plan that reads the whole ledger.
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
