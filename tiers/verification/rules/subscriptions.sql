-- Each subscription against its anchor, its changes of tier and its allocations.
WITH subscriptions AS (
    SELECT s.*, b.id AS balance,
           (s.anchor AT TIME ZONE 'UTC' + make_interval(months => s.next_period - s.first_period)) AT TIME ZONE 'UTC' AS next_begins,
           (SELECT count(*) FROM tiers_tierchange c WHERE c.balance_id = s.balance_id) AS changed,
           (SELECT count(*) FROM tiers_monthlyallocation a
             WHERE a.balance_id = s.balance_id AND a.period > s.first_period AND a.period < s.next_period) AS recorded,
           l.kind AS last_kind, l.at AS last_at, coalesce(l.to_tier_id, l.from_tier_id) AS last_tier,
           p.kind AS pause_kind, p.at AS pause_at,
           (SELECT max(e.next_period) FROM tiers_pastsubscription e WHERE e.balance_id = s.balance_id) AS past_period,
           (SELECT max(e.ended_at) FROM tiers_pastsubscription e WHERE e.balance_id = s.balance_id) AS past_end,
           (SELECT c.at FROM tiers_tierchange c
             WHERE c.balance_id = s.balance_id AND c.kind = 'start' AND c.period = s.first_period) AS started_at
      FROM tiers_subscription s
      LEFT JOIN LATERAL (
           SELECT c.kind, c.at, c.from_tier_id, c.to_tier_id FROM tiers_tierchange c
            WHERE c.balance_id = s.balance_id ORDER BY c.number DESC LIMIT 1) AS l ON true
      LEFT JOIN LATERAL (
           SELECT c.kind, c.at FROM tiers_tierchange c
            WHERE c.balance_id = s.balance_id AND c.period >= s.first_period AND c.kind IN ('pause', 'resume')
            ORDER BY c.number DESC LIMIT 1) AS p ON true
      LEFT JOIN credits_creditbalance b ON b.id = s.balance_id
     WHERE s.balance_id BETWEEN %(first)s AND %(last)s
)
SELECT v.rule, s.balance_id, 'subscription', s.balance_id, v.details
  FROM subscriptions s, LATERAL (VALUES
       ('subscription_has_balance', CASE WHEN s.balance IS NULL THEN 'the balance does not exist' END),
       ('next_allocation_matches_anchor', CASE WHEN s.next_allocation_at <> s.next_begins THEN
           concat('period ', s.next_period, ' at ', s.next_allocation_at, ', counted from the anchor ',
                  s.next_begins) END),
       ('periods_have_no_gaps', CASE WHEN s.recorded <> s.next_period - s.first_period - 1 THEN
           concat('next is period ', s.next_period, ', ', s.recorded, ' periods are recorded after period ',
                  s.first_period) END),
       ('change_count_matches', CASE WHEN s.changes <> s.changed THEN
           concat(s.changes, ' changes counted, ', s.changed, ' are recorded') END),
       ('tier_matches_last_change', CASE WHEN s.tier_id <> s.last_tier THEN
           concat('tier ', s.tier_id, ', the last change led to ', s.last_tier) END),
       ('end_matches_history', CASE
           WHEN (s.status = 'ended') <> (coalesce(s.last_kind, '') = 'end') OR s.ended_at <> s.last_at THEN
               concat(s.status, ', ended at ', s.ended_at, ', the last entry is ', s.last_kind, ' at ', s.last_at) END),
       ('pause_matches_history', CASE
           WHEN s.paused_at IS DISTINCT FROM CASE WHEN s.pause_kind = 'pause' THEN s.pause_at END THEN
               concat('paused at ', s.paused_at, ', the last entry is ', s.pause_kind, ' at ', s.pause_at) END),
       ('start_matches_history', CASE
           WHEN s.first_period <> coalesce(s.past_period, 0) OR s.anchor < s.past_end
                OR s.first_period > 0 AND s.started_at IS DISTINCT FROM s.anchor THEN
               concat('period ', s.first_period, ' at ', s.anchor, ', the past periods end with ', s.past_period - 1,
                      ' at ', s.past_end, ', the start is recorded at ', s.started_at) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
