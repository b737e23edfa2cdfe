-- Users are numbered in the order in which they become visible. The lock lasts until the commit, and it is taken before
-- the statement reads the default of the column, so a later number never becomes visible before an earlier one.
CREATE FUNCTION identity_lock_user_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('identity_user'::regclass::integer, 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER identity_user_numbered BEFORE INSERT ON identity_user
    FOR EACH STATEMENT EXECUTE FUNCTION identity_lock_user_numbers();

ALTER SEQUENCE identity_user_number OWNED BY identity_user.number;
