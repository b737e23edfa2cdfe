-- The hash of a transaction, computed from the stored rows. It hashes the same bytes as credits/domain/hash_chain.py; fields,
-- encoding and a test vector are in docs/reference/ledger-hash.md.
--
-- All functions but the last are single expressions, which PostgreSQL inlines into the calling query: hashing a hundred thousand
-- transactions is then one pass, not a million calls.
CREATE FUNCTION credits_hash_field(bytea) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN $1 IS NULL THEN '\xffffffff'::bytea ELSE int4send(octet_length($1)) || $1 END;

CREATE FUNCTION credits_hash_field(text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN $1 IS NULL THEN '\xffffffff'::bytea
           ELSE int4send(octet_length($1)) || convert_to($1, 'UTF8') END;

-- The ledger stores no infinite timestamps. A forged one must give a wrong hash, not an error.
CREATE FUNCTION credits_hash_micros(timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN isfinite($1) THEN (extract(epoch FROM $1 AT TIME ZONE 'UTC') * 1000000)::bigint::text
           ELSE 'infinite' END;

CREATE FUNCTION credits_hash_field(timestamptz) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN $1 IS NULL THEN '\xffffffff'::bytea
           ELSE int4send(octet_length(credits_hash_micros($1))) || convert_to(credits_hash_micros($1), 'UTF8') END;

CREATE FUNCTION credits_hash_entry(e credits_creditentry) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN credits_hash_field(e.id::text) || credits_hash_field(e.position::text)
        || credits_hash_field(e.grant_id::text) || credits_hash_field(e.amount::text)
        || credits_hash_field(e.remaining_after::text);

CREATE FUNCTION credits_hash_grant(g credits_creditgrant) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN credits_hash_field(g.id::text) || credits_hash_field(g.parent_id::text) || credits_hash_field(g.source)
        || credits_hash_field(g.amount::text) || credits_hash_field(g.priority::text)
        || credits_hash_field(g.effective_at) || credits_hash_field(g.expires_at)
        || credits_hash_field(g.unit_price::text) || credits_hash_field(g.roll_cap::text)
        || credits_hash_field(g.roll_until) || credits_hash_field(g.feature_id);

-- ``entries`` and ``opened`` are the encoded rows that belong to the transaction, in order, each list after its length.
CREATE FUNCTION credits_hash_transaction_row(t credits_credittransaction, entries bytea, opened bytea) RETURNS bytea
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
    );

CREATE FUNCTION credits_transaction_hash(t credits_credittransaction) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN credits_hash_transaction_row(
        t,
        (SELECT credits_hash_field(count(*)::text)
                || coalesce(string_agg(credits_hash_entry(e), ''::bytea ORDER BY e.position), ''::bytea)
           FROM credits_creditentry e
          WHERE e.balance_id = t.balance_id AND e.transaction_id = t.id),
        (SELECT credits_hash_field(count(*)::text)
                || coalesce(string_agg(credits_hash_grant(g), ''::bytea ORDER BY g.id), ''::bytea)
           FROM credits_creditgrant g
          WHERE g.balance_id = t.balance_id AND g.transaction_id = t.id)
    );
