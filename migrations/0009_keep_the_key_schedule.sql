-- The key schedule by itself: settings that hold for all nodes, a clock that survives steps, a life for each algorithm.

ALTER TABLE installation
    ADD COLUMN longest_max_age bigint NOT NULL DEFAULT 0,
    -- `synchronous` only where every node says so.
    ADD COLUMN failover text NOT NULL DEFAULT 'lossy'
        CONSTRAINT installation_failover_is_known CHECK (failover IN ('lossy', 'synchronous'));

-- The settings that a node serves by, NULL where its version does not tell; what it has seen of the clock.
ALTER TABLE node_ticks
    ADD COLUMN access_token bigint,
    ADD COLUMN publish_lead bigint,
    ADD COLUMN max_age bigint,
    ADD COLUMN leeway bigint,
    ADD COLUMN failover text,
    ADD COLUMN algorithm text,
    -- The largest time of the clock below that the node has read; while the database's clock is behind it, carried on.
    ADD COLUMN seen_at timestamptz,
    -- The last step of the database's clock that the node noticed: what the clock below read then, and what it would
    -- have read.
    ADD COLUMN stepped_at timestamptz,
    ADD COLUMN stepped_from timestamptz,
    ADD CONSTRAINT node_tick_tells_a_step_whole CHECK ((stepped_at IS NULL) = (stepped_from IS NULL));

-- The clock by which keys and entries live. `raw`: the database's. `steady`: the greater of it and the largest time seen,
-- so that a step back brings nothing back. `settled`: the same, but what it was before a step for as long as caches and
-- tokens from before may live, so that a step forward ripens and empties nothing.
CREATE FUNCTION steady_clock(OUT raw timestamptz, OUT steady timestamptz, OUT settled timestamptz)
LANGUAGE sql VOLATILE AS $$
    SELECT c.raw, c.steady, LEAST(
        c.steady,
        (
            SELECT min(t.stepped_from)
            FROM node_ticks t, installation i
            WHERE t.stepped_at > c.steady
                - (i.longest_publish_lead + i.longest_access_token + i.longest_leeway) * interval '1 second'
        ))
    FROM (
        SELECT r.raw, GREATEST(r.raw, (SELECT max(seen_at) FROM node_ticks)) AS steady
        FROM (SELECT clock_timestamp() AS raw OFFSET 0) AS r
        OFFSET 0
    ) AS c
$$;

ALTER TABLE signing_keys
    -- When the last token that the key signed is dead; known once its retirement was read committed.
    ADD COLUMN leaves_at timestamptz,
    ADD CONSTRAINT signing_key_parts_after_it_retires CHECK (leaves_at IS NULL OR leaves_at >= retires_at);

-- Each algorithm has a last signer of its own.
DROP INDEX signing_keys_have_one_last_signer;
CREATE UNIQUE INDEX signing_keys_have_one_last_signer ON signing_keys (algorithm)
    WHERE activates_at IS NOT NULL AND retires_at IS NULL;
