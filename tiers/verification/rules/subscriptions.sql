-- Each subscription against its anchor, its changes of tier, and the months it has been given.
WITH subscriptions AS (
    SELECT s.*, b.id AS balance,
           (s.anchor AT TIME ZONE 'UTC' + make_interval(months => s.next_period)) AT TIME ZONE 'UTC' AS next_begins,
           (SELECT count(*) FROM tiers_tierchange c WHERE c.balance_id = s.balance_id) AS changed,
           (SELECT c.to_tier_id FROM tiers_tierchange c
             WHERE c.balance_id = s.balance_id ORDER BY c.number DESC LIMIT 1) AS last_tier,
           (SELECT count(*) FROM tiers_monthlyallocation a
             WHERE a.balance_id = s.balance_id AND a.period >= 1 AND a.period < s.next_period) AS looked_after
      FROM tiers_subscription s
      LEFT JOIN credits_creditbalance b ON b.id = s.balance_id
     WHERE s.balance_id BETWEEN %(first)s AND %(last)s
)
SELECT v.rule, s.balance_id, 'subscription', s.balance_id, v.words
  FROM subscriptions s, LATERAL (VALUES
       ('subscription_has_a_balance', CASE WHEN s.balance IS NULL THEN 'the balance is not there' END),
       ('next_period_is_counted_from_the_anchor', CASE WHEN s.next_allocation_at <> s.next_begins THEN
           concat('period ', s.next_period, ' at ', s.next_allocation_at, ', by the anchor at ', s.next_begins) END),
       ('every_period_is_looked_after', CASE WHEN s.looked_after <> s.next_period - 1 THEN
           concat('next is period ', s.next_period, ', ', s.looked_after, ' before it are recorded') END),
       ('changes_are_counted', CASE WHEN s.changes <> s.changed THEN
           concat('says ', s.changes, ' changes, ', s.changed, ' are recorded') END),
       ('tier_is_where_the_last_change_led', CASE WHEN s.tier_id <> s.last_tier THEN
           concat('tier ', s.tier_id, ', the last change led to ', s.last_tier) END)
  ) AS v (rule, words)
 WHERE v.words IS NOT NULL
