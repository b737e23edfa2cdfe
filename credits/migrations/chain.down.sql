DROP FUNCTION credits_transaction_hash(credits_credittransaction);
DROP FUNCTION credits_hash_opened(uuid, uuid);
DROP FUNCTION credits_hash_entries(uuid, uuid);
DROP FUNCTION credits_hash_field(timestamptz);
DROP FUNCTION credits_hash_field(text);
DROP FUNCTION credits_hash_field(bytea);
