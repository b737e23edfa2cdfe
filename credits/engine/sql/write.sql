-- Everything that was planned for the locked balances, written at once. Each parameter holds whole rows, named by
-- column; the keys of the ledger are checked when the statement ends, so the order of the parts is free. A part that
-- there are no rows for is left out before the statement is sent. PostgreSQL takes each list of rows to be a hundred
-- long, whatever it holds; the ids beside it keep it from reading a whole table for that many.
WITH anything AS (
    SELECT
), balances AS (
    UPDATE credits_creditbalance AS b
       SET balance = r.balance, held = r.held, debt = r.debt, sequence = r.sequence, version = r.version,
           head_hash = r.head_hash, last_at = r.last_at, suspended_at = r.suspended_at,
           suspension_actor_id = r.suspension_actor_id, suspension_reason = r.suspension_reason
      FROM json_populate_recordset(NULL::credits_creditbalance, %(balances)s::json) AS r
     WHERE b.id = r.id AND b.id = ANY(%(balances_ids)s::uuid[])
), holds AS (
    INSERT INTO credits_credithold
    SELECT r.* FROM json_populate_recordset(NULL::credits_credithold, %(holds)s::json) AS r
), pins AS (
    INSERT INTO credits_creditpin
    SELECT r.* FROM json_populate_recordset(NULL::credits_creditpin, %(pins)s::json) AS r
), transactions AS (
    INSERT INTO credits_credittransaction
    SELECT r.* FROM json_populate_recordset(NULL::credits_credittransaction, %(transactions)s::json) AS r
), grants AS (
    INSERT INTO credits_creditgrant
    SELECT r.* FROM json_populate_recordset(NULL::credits_creditgrant, %(grants)s::json) AS r
), entries AS (
    INSERT INTO credits_creditentry
    SELECT r.* FROM json_populate_recordset(NULL::credits_creditentry, %(entries)s::json) AS r
), requests AS (
    INSERT INTO credits_creditrequest
    SELECT r.* FROM json_populate_recordset(NULL::credits_creditrequest, %(requests)s::json) AS r
), changed_grants AS (
    UPDATE credits_creditgrant AS g
       SET remaining = r.remaining, held = r.held, live = r.remaining + r.held > 0, voided_at = r.voided_at
      FROM json_populate_recordset(NULL::credits_creditgrant, %(changed_grants)s::json) AS r
     WHERE g.balance_id = r.balance_id AND g.id = r.id AND g.id = ANY(%(changed_grants_ids)s::uuid[])
), changed_holds AS (
    UPDATE credits_credithold AS h
       SET status = r.status, captured = r.captured, closed_at = r.closed_at, expires_at = r.expires_at
      FROM json_populate_recordset(NULL::credits_credithold, %(changed_holds)s::json) AS r
     WHERE h.balance_id = r.balance_id AND h.id = r.id AND h.id = ANY(%(changed_holds_ids)s::uuid[])
), limits AS (
    INSERT INTO credits_spendinglimit AS l
    SELECT r.* FROM json_populate_recordset(NULL::credits_spendinglimit, %(limits)s::json) AS r
    ON CONFLICT (id) DO UPDATE
       SET amount = EXCLUDED.amount, window_starts_at = EXCLUDED.window_starts_at, used = EXCLUDED.used,
           set_by_id = EXCLUDED.set_by_id, set_at = EXCLUDED.set_at, removed_at = EXCLUDED.removed_at
)
SELECT 1
