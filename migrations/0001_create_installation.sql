-- What is true of the installation as a whole.
CREATE TABLE installation (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_is_one_row CHECK (single),
    -- Every refresh token names the fence it was made under; a raised fence ends them all.
    fence bigint NOT NULL CONSTRAINT installation_fence_fits_32_bits CHECK (fence BETWEEN 1 AND 4294967295),
    -- The longest lifetime of an access token that may still be alive, in seconds. Nodes raise it before they serve
    -- with more, so that no entry of the revocation list expires before the token it names.
    longest_access_token bigint NOT NULL CONSTRAINT installation_longest_access_token_is_positive
        CHECK (longest_access_token > 0),
    -- The longest publish lead and clock leeway that a node has served by, in seconds: a rotation by a command with
    -- other settings keeps to them.
    longest_publish_lead bigint NOT NULL DEFAULT 0,
    longest_leeway bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO installation (fence, longest_access_token)
VALUES (floor(extract(epoch FROM clock_timestamp()))::bigint, 1);

-- One row for each node that serves, written at every tick: the write proves that the primary lives.
CREATE TABLE node_ticks (
    node uuid PRIMARY KEY,
    version text NOT NULL,
    master_keys smallint[] NOT NULL,
    ticked_at timestamptz NOT NULL
) WITH (fillfactor = 50);
