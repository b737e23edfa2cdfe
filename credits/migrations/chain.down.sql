DROP FUNCTION credits_transaction_hash(credits_credittransaction);
DROP FUNCTION credits_hash_whole(credits_credittransaction, bytea, bytea);
DROP FUNCTION credits_hash_grant(credits_creditgrant);
DROP FUNCTION credits_hash_entry(credits_creditentry);
DROP FUNCTION credits_hash_field(timestamptz);
DROP FUNCTION credits_hash_micros(timestamptz);
DROP FUNCTION credits_hash_field(text);
DROP FUNCTION credits_hash_field(bytea);
