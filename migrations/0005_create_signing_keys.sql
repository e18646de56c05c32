-- Raised by every change of signing_keys; minting statements return it, so that a node never signs with an older ring.
CREATE TABLE key_ring (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT key_ring_is_one_row CHECK (single),
    version bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO key_ring (version) VALUES (0);

CREATE TABLE signing_keys (
    -- RFC 7638 thumbprint.
    kid text COLLATE "C" PRIMARY KEY,
    algorithm text NOT NULL,
    public_jwk text NOT NULL,
    -- The private half (PKCS #8), sealed under the master key of this version and bound to kid and algorithm.
    sealed bytea,
    master_key_version smallint NOT NULL,
    -- Born with the empty installation: no JWKS without it was ever served, so it is ripe at once.
    founding boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Stamped by a transaction later than the one that made the key: a commit that a standby holds back must not ripen
    -- unseen.
    published_at timestamptz,
    activates_at timestamptz,
    retires_at timestamptz,
    removed_at timestamptz,
    compromised_at timestamptz,
    CONSTRAINT signing_key_is_published_before_it_signs CHECK (activates_at IS NULL OR published_at IS NOT NULL),
    CONSTRAINT signing_key_retires_after_it_activates CHECK (retires_at IS NULL OR retires_at >= activates_at),
    CONSTRAINT signing_key_leaves_after_it_retires CHECK (removed_at IS NULL OR removed_at >= retires_at)
);

-- At most one key has no successor yet.
CREATE UNIQUE INDEX signing_keys_have_one_last_signer ON signing_keys ((true))
    WHERE activates_at IS NOT NULL AND retires_at IS NULL;
