-- The hash of a transfer ends with the id of its counterpart. Those of all other transactions are as before.
--
-- ``entries`` and ``opened`` are the encoded rows that belong to the transaction, in order, each list after its length.
CREATE OR REPLACE FUNCTION credits_hash_transaction_row(t credits_credittransaction, entries bytea, opened bytea) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(
        credits_hash_field(t.hash_version::text)
        || credits_hash_field(t.previous_hash)
        || credits_hash_field(t.id::text)
        || credits_hash_field(t.balance_id::text)
        || credits_hash_field(t.sequence::text)
        || credits_hash_field(t.type)
        || credits_hash_field(t.amount::text)
        || credits_hash_field(t.balance_after::text)
        || credits_hash_field(t.timestamp)
        || credits_hash_field(t.recorded_at)
        || credits_hash_field(t.description)
        || credits_hash_field(t.reference_id)
        || credits_hash_field(t.feature_id)
        || credits_hash_field(t.price_id::text)
        || credits_hash_field(t.quantity::text)
        || credits_hash_field(t.actor_id::text)
        || credits_hash_field(t.member_id::text)
        || credits_hash_field(t.hold_id::text)
        || credits_hash_field(t.reverses_id::text)
        || credits_hash_field(t.idempotency_key)
        || credits_hash_field(t.reason)
        || credits_hash_field(t.request_id)
        || credits_hash_field(t.metadata)
        || entries
        || opened
        || CASE WHEN t.counterpart_id IS NULL THEN ''::bytea ELSE credits_hash_field(t.counterpart_id::text) END
    );
