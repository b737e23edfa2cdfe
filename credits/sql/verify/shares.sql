-- Each entry against the history of its grant: what had come and gone by then, and whether the grant might pay.
WITH shares AS (
    SELECT e.*, t.type, t.timestamp, t.sequence, t.hold_id, t.amount AS total, g.amount AS given, g.source,
           g.effective_at, g.expires_at, g.voided_at, g.priority,
           sum(e.amount) OVER (PARTITION BY e.balance_id, e.grant_id ORDER BY t.sequence, e.position) AS running
      FROM credits_creditentry e
      JOIN credits_credittransaction t ON t.balance_id = e.balance_id AND t.id = e.transaction_id
      JOIN credits_creditgrant g ON g.balance_id = e.balance_id AND g.id = e.grant_id
     WHERE e.balance_id BETWEEN %(first)s AND %(last)s
), pinned AS (
    SELECT DISTINCT balance_id, grant_id
      FROM credits_creditpin
     WHERE balance_id BETWEEN %(first)s AND %(last)s
), judged AS (
    SELECT s.*, p.grant_id IS NULL AS never_pinned,
           s.type = 'usage' AND NOT EXISTS (
               SELECT FROM credits_creditpin x
                WHERE x.balance_id = s.balance_id AND x.hold_id = s.hold_id AND x.grant_id = s.grant_id) AS spent
      FROM shares s
      LEFT JOIN pinned p ON p.balance_id = s.balance_id AND p.grant_id = s.grant_id
)
SELECT v.rule, s.balance_id, 'entry', s.id, v.words
  FROM judged s, LATERAL (VALUES
       ('grant_within_its_amount', CASE WHEN s.running < 0 OR s.running > s.given THEN
           concat('after it the grant of ', s.given, ' holds ', s.running) END),
       ('remaining_after_is_true', CASE WHEN s.remaining_after IS NULL OR s.remaining_after < 0
               OR s.remaining_after > s.running OR (s.never_pinned AND s.remaining_after <> s.running) THEN
           concat('says ', s.remaining_after, ' remaining, entries add up to ', s.running) END),
       ('spent_while_spendable', CASE WHEN s.spent AND (s.timestamp < s.effective_at OR s.timestamp >= s.expires_at
               OR s.timestamp > s.voided_at) THEN
           concat('spent at ', s.timestamp, ' from a grant of ', s.effective_at, ' to ',
                  coalesce(least(s.expires_at, s.voided_at)::text, 'for ever')) END),
       ('expires_no_sooner', CASE WHEN s.type = 'expiry' AND s.source <> 'rollover'
               AND (s.expires_at IS NULL OR s.timestamp < s.expires_at) THEN
           concat('expired at ', s.timestamp, ', the grant lasts to ', coalesce(s.expires_at::text, 'for ever')) END),
       ('void_follows_a_voiding', CASE WHEN s.type = 'void' AND (s.voided_at IS NULL OR s.timestamp < s.voided_at) THEN
           concat('void at ', s.timestamp, ', the grant was voided at ', coalesce(s.voided_at::text, 'no time')) END)
  ) AS v (rule, words)
 WHERE v.words IS NOT NULL
