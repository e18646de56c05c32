-- The feed of the revocation list: whose history the list is of, and the key that signs messages.

-- What names this database and its history: the cluster, its timeline, the database in it, the list's own table. A restore,
-- a clone and a failover change some of it.
CREATE FUNCTION history_identity() RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT concat_ws(
        ':', (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()), 'feed_head'::regclass::oid)
$$;

-- NULL until a node has looked: what is migrated is not another history.
ALTER TABLE feed_head ADD COLUMN identity text;

-- A follower that stands at the head of a list that grew by nothing since must find its position too.
INSERT INTO feed_batches (seq, digest)
SELECT seq, digest FROM feed_head
ON CONFLICT (seq) DO NOTHING;

-- The feed's own signing key. No token is signed by it, and none of the token keys signs the feed: a thief of one of those
-- would sign "nothing is revoked".
CREATE TABLE feed_key (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT feed_key_is_one_row CHECK (single),
    -- RFC 7638 thumbprint of the public half.
    kid text COLLATE "C" NOT NULL CONSTRAINT feed_key_kid_is_a_thumbprint CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
    -- The private half, sealed under the master key of this version.
    sealed bytea NOT NULL,
    master_key smallint NOT NULL,
    -- The oldest that it was ever sealed under.
    first_master_key smallint NOT NULL
        CONSTRAINT feed_key_is_sealed_under_newer_keys CHECK (first_master_key <= master_key),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
