-- Requests that named themselves (`Idempotency-Key`) and created something, for a day. Each row is written in the transaction
-- that creates what it tells of.
CREATE TABLE idempotency_keys (
    -- SHA-256 of caller, route and name.
    id bytea PRIMARY KEY CONSTRAINT idempotency_keys_id_is_sha256 CHECK (octet_length(id) = 32),
    salt bytea NOT NULL CONSTRAINT idempotency_keys_salt_is_16_bytes CHECK (octet_length(salt) = 16),
    -- The version that the two below are made under.
    master_key smallint NOT NULL,
    -- HMAC-SHA-256 of the body, which may hold a password.
    request bytea NOT NULL CONSTRAINT idempotency_keys_request_is_sha256 CHECK (octet_length(request) = 32),
    -- Sealed: it may hold a client's secret. The key takes the name, which stands nowhere.
    answer bytea NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_by_expires_at ON idempotency_keys (expires_at);
