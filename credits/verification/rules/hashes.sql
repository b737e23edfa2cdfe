-- Each stored hash against the hash of the stored rows: a change of any hashed column is reported at its transaction.
-- The parts are those of the SQL function credits_transaction_hash, collected for the whole range of balances at once.
WITH entries AS (
    SELECT e.balance_id, e.transaction_id,
           credits_hash_field(count(*)::text)
               || string_agg(credits_hash_entry(e), ''::bytea ORDER BY e.position) AS part
      FROM credits_creditentry e
     WHERE e.balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY e.balance_id, e.transaction_id
), created AS (
    SELECT g.balance_id, g.transaction_id,
           credits_hash_field(count(*)::text)
               || string_agg(credits_hash_grant(g), ''::bytea ORDER BY g.id) AS part
      FROM credits_creditgrant g
     WHERE g.balance_id BETWEEN %(first)s AND %(last)s
     GROUP BY g.balance_id, g.transaction_id
)
SELECT 'hash_matches_row', t.balance_id, 'transaction', t.id,
       concat('sequence ', t.sequence, ' has hash ', encode(t.hash, 'hex'))
  FROM credits_credittransaction t
  LEFT JOIN entries e ON e.balance_id = t.balance_id AND e.transaction_id = t.id
  LEFT JOIN created o ON o.balance_id = t.balance_id AND o.transaction_id = t.id
 WHERE t.balance_id BETWEEN %(first)s AND %(last)s
   AND t.hash <> credits_hash_transaction_row(
           t, coalesce(e.part, credits_hash_field('0'::text)), coalesce(o.part, credits_hash_field('0'::text)))
