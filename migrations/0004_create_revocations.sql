-- The end of the revocation list. Its row is locked last in every transaction that revokes, so positions are dense and in
-- the order of commits.
CREATE TABLE feed_head (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT feed_head_is_one_row CHECK (single),
    epoch uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT feed_head_seq_is_not_negative CHECK (seq >= 0),
    digest bytea NOT NULL CONSTRAINT feed_head_digest_is_sha256 CHECK (octet_length(digest) = 32)
) WITH (fillfactor = 50);

INSERT INTO feed_head (epoch, seq, digest) VALUES (gen_random_uuid(), 0, sha256(''));

-- The digest at each position that ended a batch, for a day.
CREATE TABLE feed_batches (
    seq bigint PRIMARY KEY,
    digest bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The list: ids with an expiry, in a ring of 16 partitions by expiry, each emptied by TRUNCATE.
CREATE TABLE revocation_entries (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    -- 1: jti, 2: sid.
    kind smallint NOT NULL CONSTRAINT revocation_entries_kind_is_known CHECK (kind IN (1, 2)),
    id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (slot, seq)
) PARTITION BY LIST (slot);

CREATE INDEX revocation_entries_by_seq ON revocation_entries (seq);

CREATE TABLE revocation_entries_00 PARTITION OF revocation_entries FOR VALUES IN (0);
CREATE TABLE revocation_entries_01 PARTITION OF revocation_entries FOR VALUES IN (1);
CREATE TABLE revocation_entries_02 PARTITION OF revocation_entries FOR VALUES IN (2);
CREATE TABLE revocation_entries_03 PARTITION OF revocation_entries FOR VALUES IN (3);
CREATE TABLE revocation_entries_04 PARTITION OF revocation_entries FOR VALUES IN (4);
CREATE TABLE revocation_entries_05 PARTITION OF revocation_entries FOR VALUES IN (5);
CREATE TABLE revocation_entries_06 PARTITION OF revocation_entries FOR VALUES IN (6);
CREATE TABLE revocation_entries_07 PARTITION OF revocation_entries FOR VALUES IN (7);
CREATE TABLE revocation_entries_08 PARTITION OF revocation_entries FOR VALUES IN (8);
CREATE TABLE revocation_entries_09 PARTITION OF revocation_entries FOR VALUES IN (9);
CREATE TABLE revocation_entries_10 PARTITION OF revocation_entries FOR VALUES IN (10);
CREATE TABLE revocation_entries_11 PARTITION OF revocation_entries FOR VALUES IN (11);
CREATE TABLE revocation_entries_12 PARTITION OF revocation_entries FOR VALUES IN (12);
CREATE TABLE revocation_entries_13 PARTITION OF revocation_entries FOR VALUES IN (13);
CREATE TABLE revocation_entries_14 PARTITION OF revocation_entries FOR VALUES IN (14);
CREATE TABLE revocation_entries_15 PARTITION OF revocation_entries FOR VALUES IN (15);
