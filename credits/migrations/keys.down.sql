ALTER TABLE credits_creditentry
    DROP CONSTRAINT credits_entry_of_transaction,
    DROP CONSTRAINT credits_entry_on_grant;

ALTER TABLE credits_creditgrant
    DROP CONSTRAINT credits_grant_opened_by,
    DROP CONSTRAINT credits_grant_child_of;

ALTER TABLE credits_creditpin
    DROP CONSTRAINT credits_pin_of_hold,
    DROP CONSTRAINT credits_pin_on_grant;

ALTER TABLE credits_creditrequest
    DROP CONSTRAINT credits_request_wrote_transaction,
    DROP CONSTRAINT credits_request_wrote_hold,
    DROP CONSTRAINT credits_request_fingerprint_is_sha256;

ALTER TABLE credits_credittransaction
    DROP CONSTRAINT credits_transaction_for_hold,
    DROP CONSTRAINT credits_transaction_reverses,
    DROP CONSTRAINT credits_transaction_hashes_are_sha256;

ALTER TABLE credits_creditbalance DROP CONSTRAINT credits_balance_head_is_sha256;
