-- What the row of the balance says, against everything written under it.
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
    SELECT b.*, coalesce(t.amount, 0) AS moved, coalesce(t.sequence, 0) AS numbered,
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
SELECT v.rule, s.id, 'balance', s.id, v.words
  FROM sums s, LATERAL (VALUES
       ('balance_is_sum_of_amounts', CASE WHEN s.balance <> s.moved THEN
           concat('balance ', s.balance, ', amounts add up to ', s.moved) END),
       ('balance_is_what_remains', CASE WHEN s.balance <> s.remaining + s.held - s.debt THEN
           concat('balance ', s.balance, ', remaining ', s.remaining, ' + held ', s.held, ' - debt ', s.debt) END),
       ('held_is_sum_of_grants', CASE WHEN s.held <> s.pinned THEN
           concat('held ', s.held, ', grants hold ', s.pinned) END),
       ('debt_is_entries_without_grant', CASE WHEN s.debt <> s.owed THEN
           concat('debt ', s.debt, ', entries without grant say ', s.owed) END),
       ('debt_leaves_nothing', CASE WHEN s.debt > 0 AND s.remaining > 0 THEN
           concat('debt ', s.debt, ', and yet ', s.remaining, ' remaining') END),
       ('sequence_has_no_gaps', CASE WHEN s.sequence <> s.numbered THEN
           concat('sequence ', s.sequence, ', the last transaction has number ', s.numbered) END),
       ('head_is_last_hash', CASE WHEN s.head_hash <> s.last_hash THEN
           concat('head ', encode(s.head_hash, 'hex'), ', last hash ', encode(s.last_hash, 'hex')) END),
       ('time_never_runs_back', CASE WHEN s.last_at < s.changed_at THEN
           concat('last change said to be at ', s.last_at, ', but something is dated ', s.changed_at) END)
  ) AS v (rule, words)
 WHERE v.words IS NOT NULL
