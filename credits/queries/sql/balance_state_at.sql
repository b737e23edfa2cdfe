-- The state of a balance at a past instant, rebuilt from what never changes: the last transaction dated by then, the entries up to
-- it, and the pins of the holds that were open. The columns are those of balance_states.sql. It has no limits, because nothing is
-- spent in the past.
WITH b AS (
    SELECT * FROM credits_creditbalance WHERE id = %(balance)s
), head AS (
    SELECT t.sequence, t.balance_after, t.hash, t.timestamp
      FROM credits_credittransaction t
     WHERE t.balance_id = %(balance)s AND t.timestamp <= %(at)s
     ORDER BY t.timestamp DESC, t.sequence DESC
     LIMIT 1
), entries AS (
    SELECT e.grant_id, sum(e.amount)::bigint AS amount
      FROM credits_creditentry e
      JOIN credits_credittransaction t ON t.balance_id = e.balance_id AND t.id = e.transaction_id
     WHERE e.balance_id = %(balance)s AND t.sequence <= (SELECT sequence FROM head)
     GROUP BY e.grant_id
), holds AS (
    SELECT h.*
      FROM credits_credithold h
     WHERE h.balance_id = %(balance)s AND h.created_at <= %(at)s AND (h.closed_at IS NULL OR h.closed_at > %(at)s)
), touched AS (
    -- The last change by then. greatest() ignores NULLs.
    SELECT greatest(
               (SELECT timestamp FROM head),
               (SELECT max(created_at) FROM holds),
               (SELECT max(closed_at) FROM credits_credithold
                 WHERE balance_id = %(balance)s AND closed_at <= %(at)s),
               (SELECT max(voided_at) FROM credits_creditgrant
                 WHERE balance_id = %(balance)s AND voided_at <= %(at)s),
               (SELECT suspended_at FROM b WHERE suspended_at <= %(at)s),
               (SELECT created_at FROM b WHERE created_at <= %(at)s)) AS at
), pins AS (
    SELECT p.* FROM credits_creditpin p JOIN holds h ON h.balance_id = p.balance_id AND h.id = p.hold_id
), pinned AS (
    SELECT grant_id, sum(amount)::bigint AS amount FROM pins GROUP BY grant_id
)
SELECT b.id, b.user_id, b.organization_id,
       coalesce((SELECT balance_after FROM head), 0) AS balance,
       coalesce((SELECT sum(amount) FROM pinned), 0)::bigint AS held,
       coalesce((SELECT -amount FROM entries WHERE grant_id IS NULL), 0)::bigint AS debt,
       coalesce((SELECT sequence FROM head), 0) AS sequence,
       0 AS version,
       coalesce((SELECT hash FROM head), decode(repeat('00', 32), 'hex')) AS head_hash,
       coalesce((SELECT at FROM touched), %(at)s) AS last_at,
       CASE WHEN b.suspended_at <= %(at)s THEN b.suspended_at END AS suspended_at,
       b.suspension_actor_id, b.suspension_reason,
       (
           SELECT json_agg(json_build_object(
                      'id', g.id, 'source', g.source, 'amount', g.amount,
                      'remaining', e.amount - coalesce(p.amount, 0), 'held', coalesce(p.amount, 0),
                      'priority', g.priority, 'effective_at', g.effective_at, 'expires_at', g.expires_at,
                      'voided_at', CASE WHEN g.voided_at <= %(at)s THEN g.voided_at END, 'roll_cap', g.roll_cap,
                      'roll_until', g.roll_until, 'unit_price', g.unit_price::text, 'feature_id', g.feature_id,
                      'transaction_id', g.transaction_id))
             FROM entries e
             JOIN credits_creditgrant g ON g.balance_id = b.id AND g.id = e.grant_id
             LEFT JOIN pinned p ON p.grant_id = g.id
            WHERE e.amount <> 0
       ) AS grants,
       (
           SELECT json_agg(json_build_object(
                      'id', h.id, 'amount', h.amount, 'created_at', h.created_at, 'expires_at', h.expires_at,
                      'pins', (SELECT json_agg(json_build_object('grant_id', p.grant_id, 'amount', p.amount)
                                               ORDER BY p.position)
                                 FROM pins p WHERE p.hold_id = h.id),
                      'feature_id', h.feature_id, 'price_id', h.price_id, 'quantity', h.quantity,
                      'description', h.description, 'reference_id', h.reference_id, 'metadata', h.metadata,
                      'actor_id', h.actor_id, 'member_id', h.member_id, 'request_id', h.request_id))
             FROM holds h
            WHERE h.expires_at <= %(at)s
       ) AS holds,
       NULL AS limits
  FROM b
