-- The part of the revocation list that has no expiry: signing keys that were declared compromised (a leaked key forges any
-- `exp`), and those taken back. At positions of the list's one sequence; a few rows, never emptied.
CREATE TABLE revoked_keys (
    seq bigint PRIMARY KEY,
    -- 3: the key is revoked; 4: that is lifted.
    kind smallint NOT NULL CONSTRAINT revoked_keys_kind_is_known CHECK (kind IN (3, 4)),
    -- RFC 7638 thumbprint.
    kid text COLLATE "C" NOT NULL CONSTRAINT revoked_keys_kid_is_a_thumbprint CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX revoked_keys_by_kid ON revoked_keys (kid, seq);
