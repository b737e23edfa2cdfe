-- Each past subscription against its allocations, its end in the history, and the subscription that followed it.
WITH past AS (
    SELECT p.*,
           (SELECT count(*) FROM tiers_monthlyallocation a
             WHERE a.balance_id = p.balance_id AND a.period > p.first_period AND a.period < p.next_period) AS recorded,
           (SELECT max(c.at) FROM tiers_tierchange c
             WHERE c.balance_id = p.balance_id AND c.kind = 'end' AND c.period >= p.first_period
               AND c.period < p.next_period) AS ended,
           EXISTS (SELECT FROM tiers_tierchange c
                    WHERE c.balance_id = p.balance_id AND c.kind = 'start' AND c.period = p.next_period) AS followed
      FROM tiers_pastsubscription p
     WHERE p.balance_id BETWEEN %(first)s AND %(last)s
)
SELECT v.rule, p.balance_id, 'past subscription', p.id, v.details
  FROM past p, LATERAL (VALUES
       ('past_periods_have_no_gaps', CASE WHEN p.recorded <> p.next_period - p.first_period - 1 THEN
           concat('periods ', p.first_period, ' to ', p.next_period - 1, ', ', p.recorded, ' after the first are recorded')
           END),
       ('past_end_matches_history', CASE WHEN p.ended IS DISTINCT FROM p.ended_at THEN
           concat('ended at ', p.ended_at, ', the history has ', p.ended) END),
       ('past_has_successor', CASE WHEN NOT p.followed THEN
           concat('no subscription starts with period ', p.next_period) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
