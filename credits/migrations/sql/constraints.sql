-- References between rows of the ledger include the balance: no row can refer to a row of another balance. Django cannot
-- declare foreign keys over two columns, and has no CHECK on the length of a binary column.
ALTER TABLE credits_creditentry
    ADD CONSTRAINT credits_entry_of_transaction FOREIGN KEY (balance_id, transaction_id)
        REFERENCES credits_credittransaction (balance_id, id),
    ADD CONSTRAINT credits_entry_on_grant FOREIGN KEY (balance_id, grant_id)
        REFERENCES credits_creditgrant (balance_id, id);

ALTER TABLE credits_creditgrant
    ADD CONSTRAINT credits_grant_opened_by FOREIGN KEY (balance_id, transaction_id)
        REFERENCES credits_credittransaction (balance_id, id),
    ADD CONSTRAINT credits_grant_child_of FOREIGN KEY (balance_id, parent_id)
        REFERENCES credits_creditgrant (balance_id, id);

ALTER TABLE credits_credittransaction
    ADD CONSTRAINT credits_transaction_for_hold FOREIGN KEY (balance_id, hold_id)
        REFERENCES credits_credithold (balance_id, id),
    ADD CONSTRAINT credits_transaction_reverses FOREIGN KEY (balance_id, reverses_id)
        REFERENCES credits_credittransaction (balance_id, id),
    ADD CONSTRAINT credits_transaction_hashes_are_sha256
        CHECK (octet_length(hash) = 32 AND octet_length(previous_hash) = 32);

ALTER TABLE credits_creditpin
    ADD CONSTRAINT credits_pin_of_hold FOREIGN KEY (balance_id, hold_id)
        REFERENCES credits_credithold (balance_id, id),
    ADD CONSTRAINT credits_pin_on_grant FOREIGN KEY (balance_id, grant_id)
        REFERENCES credits_creditgrant (balance_id, id);

ALTER TABLE credits_creditrequest
    ADD CONSTRAINT credits_request_wrote_transaction FOREIGN KEY (balance_id, transaction_id)
        REFERENCES credits_credittransaction (balance_id, id),
    ADD CONSTRAINT credits_request_wrote_hold FOREIGN KEY (balance_id, hold_id)
        REFERENCES credits_credithold (balance_id, id),
    ADD CONSTRAINT credits_request_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32);

ALTER TABLE credits_creditbalance
    ADD CONSTRAINT credits_balance_head_is_sha256 CHECK (octet_length(head_hash) = 32);

-- A window of a limit begins at a UTC day or month, whatever the time zone of the session is.
ALTER TABLE credits_spendinglimit
    ADD CONSTRAINT credits_limit_window_of_the_calendar
        CHECK (window_starts_at = date_trunc(period, window_starts_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
