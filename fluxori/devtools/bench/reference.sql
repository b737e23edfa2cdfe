-- The deduction as SQL functions: the cost of these rows in PostgreSQL, without Django. Only the databases of the
-- benchmarks contain them. They write the same rows and hashes as the ledger, so verify_ledger finds no difference.
-- They validate nothing. The burn order here is a copy of credits/domain/burn_order.py.
CREATE TABLE bench_balance (number int PRIMARY KEY, balance_id uuid NOT NULL);

CREATE FUNCTION bench_id() RETURNS uuid LANGUAGE sql VOLATILE
    RETURN (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
            || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid;

CREATE FUNCTION bench_entry(key uuid, written uuid, g credits_creditgrant, taken bigint) RETURNS credits_creditentry
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    e credits_creditentry;
BEGIN
    e.id := key;
    e.balance_id := g.balance_id;
    e.transaction_id := written;
    e.grant_id := g.id;
    e.position := 0;
    e.amount := -taken;
    e.remaining_after := g.remaining - taken;
    RETURN e;
END $$;

-- A complete transaction with its hash.
CREATE FUNCTION bench_transaction(
    key uuid, b credits_creditbalance, e credits_creditentry, caller_key text, at timestamptz
) RETURNS credits_credittransaction LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    t credits_credittransaction;
BEGIN
    t.id := key;
    t.balance_id := b.id;
    t.sequence := b.sequence + 1;
    t.type := 'usage';
    t.amount := e.amount;
    t.balance_after := b.balance + e.amount;
    t.timestamp := at;
    t.recorded_at := at;
    t.description := '';
    t.reference_id := 'bench';
    t.feature_id := 'simple-ai-insight';
    t.price_id := (SELECT p.id FROM credits_featureprice p
                    WHERE p.feature_id = 'simple-ai-insight' AND p.effective_from <= at
                    ORDER BY p.effective_from DESC LIMIT 1);
    t.quantity := 1;
    t.actor_id := b.id;
    t.idempotency_key := caller_key;
    t.reason := '';
    t.request_id := '';
    t.previous_hash := b.head_hash;
    t.hash_version := 1;
    t.hash := credits_hash_transaction_row(
        t, credits_hash_field('1'::text) || credits_hash_entry(e), credits_hash_field('0'::text));
    RETURN t;
END $$;

CREATE FUNCTION bench_request(t credits_credittransaction, available bigint) RETURNS credits_creditrequest
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r credits_creditrequest;
BEGIN
    r.id := bench_id();
    r.balance_id := t.balance_id;
    r.caller_id := t.actor_id;
    r.key := t.idempotency_key;
    r.operation := 'deduct_credits';
    r.fingerprint := sha256(convert_to(t.idempotency_key, 'UTF8'));
    r.result := json_build_object(
        'balance', json_build_object(
            'available', available, 'balance', t.balance_after, 'debt', 0, 'held', 0, 'id', t.balance_id,
            'last_updated', t.timestamp, 'next_expiry', NULL, 'organization_id', NULL, 'sequence', t.sequence,
            'suspended_at', NULL, 'user_id', t.balance_id, 'version', t.sequence),
        'tier_facts', json_build_object('next_allocation_at', t.timestamp, 'pending_tier', NULL, 'tier', 'enterprise'),
        'extras', json_build_object(), 'hold', NULL)::text;
    r.transaction_id := t.id;
    r.created_at := t.recorded_at;
    RETURN r;
END $$;

-- One round trip: lock the balance, look up the key, choose the grant, write the rows.
CREATE FUNCTION bench_deduct(balance_number int, cost bigint, caller_key text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    b credits_creditbalance;
    g credits_creditgrant;
    e credits_creditentry;
    t credits_credittransaction;
    at timestamptz;
BEGIN
    SELECT x.* INTO b FROM credits_creditbalance x
     WHERE x.id = (SELECT balance_id FROM bench_balance WHERE number = balance_number) FOR NO KEY UPDATE;
    PERFORM FROM credits_creditrequest r WHERE r.balance_id = b.id AND r.caller_id = b.id AND r.key = caller_key;
    IF FOUND THEN
        RETURN b.balance;
    END IF;
    -- The burn order, as in credits/domain/burn_order.py, credits/verification/rules/burn_order.sql and
    -- tests/model/balance.py. Change all of them together.
    SELECT x.* INTO g FROM credits_creditgrant x
     WHERE x.balance_id = b.id AND x.live
     ORDER BY x.priority, coalesce(x.expires_at, 'infinity'), x.source = 'purchase', x.effective_at, x.id LIMIT 1;
    IF g.remaining < cost THEN
        RAISE EXCEPTION 'the grant has too few credits for the benchmark';
    END IF;
    at := greatest(clock_timestamp(), b.last_at);
    t.id := bench_id();
    e := bench_entry(bench_id(), t.id, g, cost);
    t := bench_transaction(t.id, b, e, caller_key, at);
    INSERT INTO credits_credittransaction SELECT t.*;
    INSERT INTO credits_creditentry SELECT e.*;
    INSERT INTO credits_creditrequest SELECT r.* FROM bench_request(t, g.remaining - cost) r;
    UPDATE credits_creditgrant x SET remaining = remaining - cost, live = remaining - cost + held > 0
     WHERE x.balance_id = g.balance_id AND x.id = g.id;
    UPDATE credits_creditbalance x
       SET balance = t.balance_after, sequence = t.sequence, version = version + 1, head_hash = t.hash, last_at = at
     WHERE x.id = b.id;
    RETURN t.balance_after;
END $$;
