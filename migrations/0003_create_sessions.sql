-- One row for each session, however often it is refreshed. A ring of 16 partitions by time of birth: the slot stands in
-- the refresh token, so that a refresh touches one partition; an old partition is emptied by TRUNCATE. No foreign keys:
-- a session's birth locks its user and its client itself, in a mode that a disable conflicts with.
CREATE TABLE sessions (
    slot smallint NOT NULL,
    -- Secret: it stands in the refresh token alone.
    rid bytea NOT NULL CONSTRAINT sessions_rid_is_16_bytes CHECK (octet_length(rid) = 16),
    -- Public: it stands in access tokens and in the revocation list.
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamptz NOT NULL,
    issued_at timestamptz NOT NULL,
    idle_until timestamptz NOT NULL,
    max_until timestamptz NOT NULL,
    ended_at timestamptz,
    end_cause text,
    auth_time timestamptz NOT NULL,
    -- NULL: all that the user's roles carry at each refresh.
    scope text[],
    audience text[] NOT NULL,
    PRIMARY KEY (slot, rid),
    CONSTRAINT session_confirms_an_earlier_generation CHECK (conf < gen AND gen <= 4294967295),
    CONSTRAINT session_idles_within_its_life CHECK (idle_until <= max_until),
    CONSTRAINT session_ends_with_a_cause CHECK ((ended_at IS NULL) = (end_cause IS NULL))
) PARTITION BY LIST (slot);

CREATE INDEX sessions_by_sid ON sessions (sid);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- A refresh changes no indexed column and finds room on its page (HOT).
CREATE TABLE sessions_00 PARTITION OF sessions FOR VALUES IN (0) WITH (fillfactor = 60);
CREATE TABLE sessions_01 PARTITION OF sessions FOR VALUES IN (1) WITH (fillfactor = 60);
CREATE TABLE sessions_02 PARTITION OF sessions FOR VALUES IN (2) WITH (fillfactor = 60);
CREATE TABLE sessions_03 PARTITION OF sessions FOR VALUES IN (3) WITH (fillfactor = 60);
CREATE TABLE sessions_04 PARTITION OF sessions FOR VALUES IN (4) WITH (fillfactor = 60);
CREATE TABLE sessions_05 PARTITION OF sessions FOR VALUES IN (5) WITH (fillfactor = 60);
CREATE TABLE sessions_06 PARTITION OF sessions FOR VALUES IN (6) WITH (fillfactor = 60);
CREATE TABLE sessions_07 PARTITION OF sessions FOR VALUES IN (7) WITH (fillfactor = 60);
CREATE TABLE sessions_08 PARTITION OF sessions FOR VALUES IN (8) WITH (fillfactor = 60);
CREATE TABLE sessions_09 PARTITION OF sessions FOR VALUES IN (9) WITH (fillfactor = 60);
CREATE TABLE sessions_10 PARTITION OF sessions FOR VALUES IN (10) WITH (fillfactor = 60);
CREATE TABLE sessions_11 PARTITION OF sessions FOR VALUES IN (11) WITH (fillfactor = 60);
CREATE TABLE sessions_12 PARTITION OF sessions FOR VALUES IN (12) WITH (fillfactor = 60);
CREATE TABLE sessions_13 PARTITION OF sessions FOR VALUES IN (13) WITH (fillfactor = 60);
CREATE TABLE sessions_14 PARTITION OF sessions FOR VALUES IN (14) WITH (fillfactor = 60);
CREATE TABLE sessions_15 PARTITION OF sessions FOR VALUES IN (15) WITH (fillfactor = 60);
