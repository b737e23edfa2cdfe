-- Each balance row against the transactions, grants, entries and holds of the balance.
WITH transactions AS (
    SELECT balance_id, sum(amount) AS amount, max(sequence) AS sequence, max(timestamp) AS timestamp
      FROM credits_credittransaction
     WHERE balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY balance_id
), grants AS (
    SELECT balance_id, sum(remaining) AS remaining, sum(held) AS held
      FROM credits_creditgrant
     WHERE balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY balance_id
), debts AS (
    SELECT balance_id, -sum(amount) AS amount
      FROM credits_creditentry
     WHERE balance_id BETWEEN %(first)s AND %(last)s AND grant_id IS NULL
     GROUP BY balance_id
), holds AS (
    SELECT balance_id, max(greatest(created_at, closed_at)) AS changed_at
      FROM credits_credithold
     WHERE balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY balance_id
), sums AS (
    SELECT b.*, coalesce(t.amount, 0) AS amounts, coalesce(t.sequence, 0) AS last_sequence,
           coalesce(g.remaining, 0) AS remaining, coalesce(g.held, 0) AS pinned, coalesce(d.amount, 0) AS owed,
           coalesce(head.hash, decode(repeat('00', 32), 'hex')) AS last_hash,
           greatest(t.timestamp, h.changed_at) AS changed_at
      FROM credits_creditbalance b
      LEFT JOIN transactions t ON t.balance_id = b.id
      LEFT JOIN credits_credittransaction head ON head.balance_id = b.id AND head.sequence = t.sequence
      LEFT JOIN grants g ON g.balance_id = b.id
      LEFT JOIN debts d ON d.balance_id = b.id
      LEFT JOIN holds h ON h.balance_id = b.id
     WHERE b.id BETWEEN %(first)s AND %(last)s
)
SELECT v.rule, s.id, 'balance', s.id, v.details
  FROM sums s, LATERAL (VALUES
       ('balance_is_sum_of_amounts', CASE WHEN s.balance <> s.amounts THEN
           concat('balance ', s.balance, ', amounts add up to ', s.amounts) END),
       ('balance_matches_grants', CASE WHEN s.balance <> s.remaining + s.held - s.debt THEN
           concat('balance ', s.balance, ', remaining ', s.remaining, ' + held ', s.held, ' - debt ', s.debt) END),
       ('held_matches_grants', CASE WHEN s.held <> s.pinned THEN
           concat('held ', s.held, ', grants hold ', s.pinned) END),
       ('debt_matches_entries', CASE WHEN s.debt <> s.owed THEN
           concat('debt ', s.debt, ', entries without a grant add up to ', s.owed) END),
       ('debt_excludes_remaining', CASE WHEN s.debt > 0 AND s.remaining > 0 THEN
           concat('debt ', s.debt, ', although ', s.remaining, ' credits remain') END),
       ('sequence_has_no_gaps', CASE WHEN s.sequence <> s.last_sequence THEN
           concat('sequence ', s.sequence, ', the last transaction has sequence ', s.last_sequence) END),
       ('head_hash_is_last_hash', CASE WHEN s.head_hash <> s.last_hash THEN
           concat('head hash ', encode(s.head_hash, 'hex'), ', last hash ', encode(s.last_hash, 'hex')) END),
       ('timestamps_never_decrease', CASE WHEN s.last_at < s.changed_at THEN
           concat('last change at ', s.last_at, ', but a row is dated ', s.changed_at) END)
  ) AS v (rule, details)
 WHERE v.details IS NOT NULL
