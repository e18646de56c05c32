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
    -- The last step of the database's clock that the node noticed: what it read then, and what it would have read.
    ADD COLUMN stepped_at timestamptz,
    ADD COLUMN stepped_from timestamptz,
    ADD CONSTRAINT node_tick_tells_a_step_whole CHECK ((stepped_at IS NULL) = (stepped_from IS NULL));

-- The clock by which keys and entries live. `raw`: the database's. `steady`: the greater of it and the largest time seen,
-- so that a step back brings nothing back. `settled`: the same, but what it was before a step for as long as caches and
-- tokens from before may live, so that a step forward ripens and empties nothing. A step that lies too far ahead was
-- taken back meanwhile, and who noticed that has told of it.
CREATE FUNCTION steady_clock(OUT raw timestamptz, OUT steady timestamptz, OUT settled timestamptz)
LANGUAGE sql VOLATILE AS $$
    SELECT c.raw, GREATEST(c.raw, seen.at), LEAST(GREATEST(c.raw, seen.at), seen.stepped_from)
    FROM (SELECT clock_timestamp() AS raw) AS c
        CROSS JOIN LATERAL (
            SELECT max(t.seen_at) AS at,
                   min(t.stepped_from) FILTER (
                       WHERE t.stepped_at BETWEEN c.raw - i.settling AND c.raw + i.settling) AS stepped_from
            FROM node_ticks t,
                 (
                     SELECT (longest_publish_lead + longest_access_token + longest_leeway) * interval '1 second'
                            AS settling
                     FROM installation
                 ) AS i
        ) AS seen
$$;

ALTER TABLE signing_keys
    -- When the last token that the key signed is dead; known once its retirement was read committed.
    ADD COLUMN leaves_at timestamptz,
    ADD CONSTRAINT signing_key_parts_after_it_retires CHECK (leaves_at IS NULL OR leaves_at >= retires_at);

-- Each algorithm has a last signer of its own.
DROP INDEX signing_keys_have_one_last_signer;
CREATE UNIQUE INDEX signing_keys_have_one_last_signer ON signing_keys (algorithm)
    WHERE activates_at IS NOT NULL AND retires_at IS NULL;
