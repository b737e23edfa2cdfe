-- The last active superuser of the admin and the last active administrator of the API keep their access, whatever
-- program changes or deletes the row. The advisory lock serializes such changes: two administrators cannot remove each
-- other. The checks are statements of their own, so they see what was committed before the lock was free.
CREATE FUNCTION identity_keep_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('identity_user'::regclass::integer, 1);
    IF (OLD.is_superuser AND OLD.is_staff AND OLD.is_active
            AND NOT EXISTS (SELECT FROM identity_user WHERE is_superuser AND is_staff AND is_active))
        OR (OLD.role = 'admin' AND OLD.is_active
            AND NOT EXISTS (SELECT FROM identity_user WHERE role = 'admin' AND is_active))
    THEN
        RAISE EXCEPTION 'at least one active administrator must remain'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'identity_last_admin';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER identity_admin_changed AFTER UPDATE ON identity_user FOR EACH ROW
    WHEN (OLD.is_superuser AND OLD.is_staff AND OLD.is_active
            AND NOT (NEW.is_superuser AND NEW.is_staff AND NEW.is_active)
        OR OLD.role = 'admin' AND OLD.is_active AND NOT (NEW.role = 'admin' AND NEW.is_active))
    EXECUTE FUNCTION identity_keep_an_admin();

CREATE TRIGGER identity_admin_deleted AFTER DELETE ON identity_user FOR EACH ROW
    WHEN (OLD.is_active AND (OLD.is_superuser AND OLD.is_staff OR OLD.role = 'admin'))
    EXECUTE FUNCTION identity_keep_an_admin();
