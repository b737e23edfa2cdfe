-- Count refused attempts. Nobody waits for it: neither for the disk, nor long for another's count of the same hour.
WITH hurry AS (
    SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '250ms', true)
),
forgotten AS (
    DELETE FROM credits_rejectedattempt WHERE balance_id = %(balance)s AND hour < %(oldest)s
)
INSERT INTO credits_rejectedattempt AS known
    (id, balance_id, hour, code, feature, count, last_at, actor_id, member_id, facts)
SELECT row.id, %(balance)s, row.hour, row.code, row.feature, row.count, row.last_at, row.actor_id, row.member_id, row.facts
FROM hurry, jsonb_to_recordset(%(rows)s::jsonb) AS row (
    id uuid, hour timestamptz, code text, feature text, count bigint, last_at timestamptz, actor_id uuid,
    member_id uuid, facts jsonb
)
ON CONFLICT (balance_id, hour, code, feature) DO UPDATE SET
    count = known.count + excluded.count,
    last_at = greatest(known.last_at, excluded.last_at),
    actor_id = excluded.actor_id,
    member_id = excluded.member_id,
    facts = excluded.facts
