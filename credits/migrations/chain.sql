-- The hash of a transaction, computed from what the tables hold. The same bytes as credits/chain.py; fields, encoding
-- and a test vector stand in docs/ledger-hash.md.
CREATE FUNCTION credits_hash_field(bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN $1 IS NULL THEN '\xffffffff'::bytea ELSE int4send(octet_length($1)) || $1 END;

CREATE FUNCTION credits_hash_field(text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN $1 IS NULL THEN '\xffffffff'::bytea
           ELSE int4send(octet_length($1)) || convert_to($1, 'UTF8') END;

CREATE FUNCTION credits_hash_field(timestamptz) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN credits_hash_field(
        -- No instant of ours is infinite; a falsified one must give a wrong hash rather than an error.
        CASE WHEN isfinite($1) THEN ((extract(epoch FROM $1) * 1000000)::bigint)::text ELSE $1::text END);

CREATE FUNCTION credits_hash_entries(a_balance uuid, a_transaction uuid) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT credits_hash_field(count(*)::text) || coalesce(string_agg(
                   credits_hash_field(id::text) || credits_hash_field(position::text)
                       || credits_hash_field(grant_id::text) || credits_hash_field(amount::text)
                       || credits_hash_field(remaining_after::text),
                   ''::bytea ORDER BY position), ''::bytea)
          FROM credits_creditentry
         WHERE balance_id = a_balance AND transaction_id = a_transaction
    );

CREATE FUNCTION credits_hash_opened(a_balance uuid, a_transaction uuid) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT credits_hash_field(count(*)::text) || coalesce(string_agg(
                   credits_hash_field(id::text) || credits_hash_field(parent_id::text) || credits_hash_field(source)
                       || credits_hash_field(amount::text) || credits_hash_field(priority::text)
                       || credits_hash_field(effective_at) || credits_hash_field(expires_at)
                       || credits_hash_field(unit_price::text) || credits_hash_field(roll_cap::text)
                       || credits_hash_field(roll_until) || credits_hash_field(feature_id),
                   ''::bytea ORDER BY id), ''::bytea)
          FROM credits_creditgrant
         WHERE balance_id = a_balance AND transaction_id = a_transaction
    );

CREATE FUNCTION credits_transaction_hash(t credits_credittransaction) RETURNS bytea
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
        || credits_hash_entries(t.balance_id, t.id)
        || credits_hash_opened(t.balance_id, t.id)
    );
