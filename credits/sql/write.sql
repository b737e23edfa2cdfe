-- Everything that was planned for the locked balances, written at once. Each part of the document holds whole rows,
-- named by column; the keys of the ledger are checked when the statement ends, so the order of the parts is free. A
-- part that the document has no rows for is left out before the statement is sent.
WITH w AS (
    SELECT %(document)s::json AS document
), holds AS (
    INSERT INTO credits_credithold
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_credithold, w.document -> 'holds') AS r
), pins AS (
    INSERT INTO credits_creditpin
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_creditpin, w.document -> 'pins') AS r
), transactions AS (
    INSERT INTO credits_credittransaction
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_credittransaction, w.document -> 'transactions') AS r
), grants AS (
    INSERT INTO credits_creditgrant
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_creditgrant, w.document -> 'grants') AS r
), entries AS (
    INSERT INTO credits_creditentry
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_creditentry, w.document -> 'entries') AS r
), requests AS (
    INSERT INTO credits_creditrequest
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_creditrequest, w.document -> 'requests') AS r
), changed_grants AS (
    UPDATE credits_creditgrant AS g
       SET remaining = r.remaining, held = r.held, live = r.remaining + r.held > 0, voided_at = r.voided_at
      FROM w, json_populate_recordset(NULL::credits_creditgrant, w.document -> 'changed_grants') AS r
     WHERE g.balance_id = r.balance_id AND g.id = r.id
), changed_holds AS (
    UPDATE credits_credithold AS h
       SET status = r.status, captured = r.captured, closed_at = r.closed_at, expires_at = r.expires_at
      FROM w, json_populate_recordset(NULL::credits_credithold, w.document -> 'changed_holds') AS r
     WHERE h.balance_id = r.balance_id AND h.id = r.id
), limits AS (
    INSERT INTO credits_spendinglimit AS l
    SELECT r.* FROM w, json_populate_recordset(NULL::credits_spendinglimit, w.document -> 'limits') AS r
    ON CONFLICT (id) DO UPDATE
       SET amount = EXCLUDED.amount, window_starts_at = EXCLUDED.window_starts_at, used = EXCLUDED.used,
           set_by_id = EXCLUDED.set_by_id, set_at = EXCLUDED.set_at, removed_at = EXCLUDED.removed_at
)
UPDATE credits_creditbalance AS b
   SET balance = r.balance, held = r.held, debt = r.debt, sequence = r.sequence, version = r.version,
       head_hash = r.head_hash, last_at = r.last_at, suspended_at = r.suspended_at,
       suspension_actor_id = r.suspension_actor_id, suspension_reason = r.suspension_reason
  FROM w, json_populate_recordset(NULL::credits_creditbalance, w.document -> 'balances') AS r
 WHERE b.id = r.id
