-- Each entry of the history against its predecessor, its period and its transaction.
WITH terms AS (
    SELECT balance_id, anchor, first_period, NULL::integer AS next_period FROM tiers_subscription
     WHERE balance_id BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT balance_id, anchor, first_period, next_period FROM tiers_pastsubscription
     WHERE balance_id BETWEEN %(first)s AND %(last)s
), changes AS (
    SELECT c.*, lag(c.number, 1, 0) OVER w AS number_before, lag(c.to_tier_id) OVER w AS tier_before,
           lag(c.kind, 1, 'change') OVER w AS kind_before,
           lag(c.at) OVER w AS before, sum(c.credits) OVER p AS prorated, t.id AS recorded, t.type, t.amount,
           t.timestamp, s.balance_id AS subscribed,
           (s.anchor AT TIME ZONE 'UTC'
            + make_interval(months => c.period - s.first_period)) AT TIME ZONE 'UTC' AS begins,
           (s.anchor AT TIME ZONE 'UTC'
            + make_interval(months => c.period - s.first_period + 1)) AT TIME ZONE 'UTC' AS ends
      FROM tiers_tierchange c
      LEFT JOIN terms s ON s.balance_id = c.balance_id AND c.period >= s.first_period
                       AND (s.next_period IS NULL OR c.period < s.next_period)
      LEFT JOIN credits_credittransaction t ON t.balance_id = c.balance_id AND t.id = c.transaction_id
     WHERE c.balance_id BETWEEN %(first)s AND %(last)s
    WINDOW w AS (PARTITION BY c.balance_id ORDER BY c.number),
           p AS (PARTITION BY c.balance_id, c.period ORDER BY c.number)
)
SELECT v.rule, c.balance_id, 'tier change', c.id, v.details
  FROM changes c, LATERAL (VALUES
       ('change_numbers_have_no_gaps', CASE WHEN c.number <> c.number_before + 1 THEN
           concat('number ', c.number, ' follows number ', c.number_before) END),
       ('change_starts_from_held_tier', CASE WHEN c.from_tier_id <> c.tier_before
               OR (c.kind = 'start') <> (c.kind_before = 'end') THEN
           concat(c.kind, ' from ', c.from_tier_id, ', the previous ', c.kind_before, ' led to ', c.tier_before) END),
       ('timestamps_never_decrease', CASE WHEN c.at < c.before THEN
           concat('at ', c.at, ', the previous change at ', c.before) END),
       ('change_within_period', CASE WHEN c.at < c.begins OR c.at > c.ends
               OR c.at = c.ends AND c.kind <> 'end' THEN
           concat('at ', c.at, ', period ', c.period, ' lasts from ', c.begins, ' to ', c.ends) END),
       ('pauses_alternate', CASE WHEN c.kind IN ('pause', 'resume') AND c.kind_before = c.kind THEN
           concat(c.kind, ' follows ', c.kind_before) END),
       ('change_has_subscription', CASE WHEN c.subscribed IS NULL THEN 'the balance has no tier' END),
       ('proration_matches_transaction', CASE
           WHEN c.transaction_id IS NOT NULL AND c.recorded IS NULL THEN
               concat('transaction ', c.transaction_id, ' does not exist')
           WHEN c.type <> 'allocation' OR c.amount <> c.credits OR c.timestamp <> c.at THEN
               concat(c.credits, ' credits at ', c.at, ', recorded as ', c.type, ' of ', c.amount, ' at ', c.timestamp)
           END),
       ('prorations_within_highest_tier', CASE WHEN c.kind = 'change' AND c.prorated > c.high_credits THEN
           concat('prorations ', c.prorated, ' so far, the highest tier promises ', c.high_credits) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
