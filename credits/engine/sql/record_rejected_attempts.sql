-- Count rejected attempts. No request waits long for it: the commit is asynchronous, and the lock time-out is short.
WITH settings AS (
    SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '250ms', true)
),
deleted AS (
    DELETE FROM credits_rejectedattempt WHERE balance_id = ANY(%(balances)s::uuid[]) AND hour < %(oldest)s
)
INSERT INTO credits_rejectedattempt AS known
    (id, balance_id, hour, code, feature, count, last_at, actor_id, member_id, facts)
SELECT row.id, row.balance_id, row.hour, row.code, row.feature, row.count, row.last_at, row.actor_id, row.member_id, row.facts
FROM settings, jsonb_to_recordset(%(rows)s::jsonb) AS row (
    id uuid, balance_id uuid, hour timestamptz, code text, feature text, count bigint, last_at timestamptz,
    actor_id uuid, member_id uuid, facts jsonb
)
ON CONFLICT (balance_id, hour, code, feature) DO UPDATE SET
    count = known.count + excluded.count,
    last_at = greatest(known.last_at, excluded.last_at),
    actor_id = excluded.actor_id,
    member_id = excluded.member_id,
    facts = excluded.facts
