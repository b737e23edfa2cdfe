-- Each subscription against its anchor, its changes of tier and its allocations.
WITH subscriptions AS (
    SELECT s.*, b.id AS balance,
           (s.anchor AT TIME ZONE 'UTC' + make_interval(months => s.next_period)) AT TIME ZONE 'UTC' AS next_begins,
           (SELECT count(*) FROM tiers_tierchange c WHERE c.balance_id = s.balance_id) AS changed,
           (SELECT c.to_tier_id FROM tiers_tierchange c
             WHERE c.balance_id = s.balance_id ORDER BY c.number DESC LIMIT 1) AS last_tier,
           (SELECT count(*) FROM tiers_monthlyallocation a
             WHERE a.balance_id = s.balance_id AND a.period >= 1 AND a.period < s.next_period) AS recorded
      FROM tiers_subscription s
      LEFT JOIN credits_creditbalance b ON b.id = s.balance_id
     WHERE s.balance_id BETWEEN %(first)s AND %(last)s
)
SELECT v.rule, s.balance_id, 'subscription', s.balance_id, v.details
  FROM subscriptions s, LATERAL (VALUES
       ('subscription_has_balance', CASE WHEN s.balance IS NULL THEN 'the balance does not exist' END),
       ('next_allocation_matches_anchor', CASE WHEN s.next_allocation_at <> s.next_begins THEN
           concat('period ', s.next_period, ' at ', s.next_allocation_at, ', counted from the anchor ',
                  s.next_begins) END),
       ('periods_have_no_gaps', CASE WHEN s.recorded <> s.next_period - 1 THEN
           concat('next is period ', s.next_period, ', ', s.recorded, ' periods before it are recorded') END),
       ('change_count_matches', CASE WHEN s.changes <> s.changed THEN
           concat(s.changes, ' changes counted, ', s.changed, ' are recorded') END),
       ('tier_matches_last_change', CASE WHEN s.tier_id <> s.last_tier THEN
           concat('tier ', s.tier_id, ', the last change led to ', s.last_tier) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
