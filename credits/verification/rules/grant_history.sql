-- Each entry against the history of its grant: the credits of the grant at that point, and whether it was spendable.
WITH entries AS (
    SELECT e.*, t.type, t.timestamp, t.sequence, t.hold_id, t.amount AS total, g.amount AS granted, g.source,
           g.effective_at, g.expires_at, g.voided_at, g.priority,
           sum(e.amount) OVER (PARTITION BY e.balance_id, e.grant_id ORDER BY t.sequence, e.position) AS running
      FROM credits_creditentry e
      JOIN credits_credittransaction t ON t.balance_id = e.balance_id AND t.id = e.transaction_id
      JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     WHERE e.balance_id BETWEEN %(first)s AND %(last)s
), pins AS (
    -- The start and the end of each pin. The tables do not show whether an entry at the same instant came before or
    -- after the pin, except that the usage of a capture follows the end of its hold, and that a lapse comes first.
    -- Therefore the events are ordered twice: once for the most pins possible at each entry, once for the least.
    SELECT p.balance_id, p.grant_id, p.amount, h.created_at, h.closed_at, coalesce(u.sequence, 0) AS usage,
           CASE h.status WHEN 'captured' THEN 1 WHEN 'lapsed' THEN 0 ELSE 2 END AS late,
           CASE h.status WHEN 'captured' THEN 1 ELSE 0 END AS early
      FROM credits_creditpin p
      JOIN credits_credithold h ON h.balance_id = p.balance_id AND h.id = p.hold_id
      LEFT JOIN credits_credittransaction u ON u.balance_id = h.balance_id AND u.hold_id = h.id
     WHERE p.balance_id BETWEEN %(first)s AND %(last)s
), events AS (
    SELECT balance_id, grant_id, amount, created_at AS at, NULL::uuid AS entry_id, 0 AS late, 0::bigint AS late_number,
           CASE WHEN created_at = closed_at THEN early ELSE 2 END AS early,
           CASE WHEN created_at = closed_at THEN usage ELSE 0 END AS early_number
      FROM pins
     UNION ALL
    SELECT balance_id, grant_id, -amount, closed_at, NULL, late, usage, early, usage
      FROM pins
     WHERE closed_at IS NOT NULL
     UNION ALL
    SELECT s.balance_id, s.grant_id, 0, s.timestamp, s.id, 1, s.sequence, 1, s.sequence
      FROM entries s
     WHERE EXISTS (SELECT FROM pins p WHERE p.balance_id = s.balance_id AND p.grant_id = s.grant_id)
), pinned AS (
    SELECT entry_id,
           sum(amount) OVER (PARTITION BY balance_id, grant_id
                             ORDER BY at, late, late_number, entry_id NULLS FIRST ROWS UNBOUNDED PRECEDING) AS most,
           sum(amount) OVER (PARTITION BY balance_id, grant_id
                             ORDER BY at, early, early_number, entry_id NULLS FIRST ROWS UNBOUNDED PRECEDING) AS least
      FROM events
), judged AS (
    SELECT s.*, coalesce(p.most, 0) AS most, coalesce(p.least, 0) AS least,
           (s.type = 'usage' OR (s.type = 'transfer' AND s.total < 0)) AND NOT EXISTS (
               SELECT FROM credits_creditpin x
                WHERE x.balance_id = s.balance_id AND x.hold_id = s.hold_id AND x.grant_id = s.grant_id) AS spent
      FROM entries s
      LEFT JOIN pinned p ON p.entry_id = s.id
)
SELECT v.rule, s.balance_id, 'entry', s.id, v.details
  FROM judged s, LATERAL (VALUES
       ('grant_within_amount', CASE WHEN s.running < 0 OR s.running > s.granted THEN
           concat('after the entry, the grant of ', s.granted, ' has ', s.running) END),
       ('remaining_after_matches_history', CASE WHEN s.remaining_after IS NULL OR s.remaining_after < 0
               OR s.remaining_after NOT BETWEEN s.running - s.most AND s.running - s.least THEN
           concat('remaining after ', s.remaining_after, ', entries add up to ', s.running, ', ',
                  s.least, ' to ', s.most, ' of them pinned') END),
       ('spent_while_spendable', CASE WHEN s.spent AND (s.timestamp < s.effective_at OR s.timestamp >= s.expires_at
               OR s.timestamp > s.voided_at) THEN
           concat('spent at ', s.timestamp, ' from a grant effective from ', s.effective_at, ' to ',
                  coalesce(least(s.expires_at, s.voided_at)::text, 'no expiry')) END),
       ('expired_not_before_expiry', CASE WHEN s.type = 'expiry' AND s.source <> 'rollover'
               AND (s.expires_at IS NULL OR s.timestamp < s.expires_at) THEN
           concat('expired at ', s.timestamp, ', the expiry of the grant is ', coalesce(s.expires_at::text, 'none')) END),
       ('void_follows_voided_at', CASE WHEN s.type = 'void' AND (s.voided_at IS NULL OR s.timestamp < s.voided_at) THEN
           concat('void at ', s.timestamp, ', the grant was voided at ', coalesce(s.voided_at::text, 'no instant')) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
