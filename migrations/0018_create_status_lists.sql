-- Status lists (draft-ietf-oauth-status-list): which bits of which list were handed out. One row a list of 2^20 bits,
-- written once for a thousand sessions. Which bit a session or a client's epoch has stands in its id.
CREATE TABLE status_lists (
    -- Drawn at random.
    list bigint PRIMARY KEY CONSTRAINT status_list_has_32_bits CHECK (list BETWEEN 0 AND 4294967295),
    -- 1: of sessions, 2: of clients' epochs.
    kind smallint NOT NULL CONSTRAINT status_list_kind_is_known CHECK (kind IN (1, 2)),
    -- The order in which the bits are handed out follows from it.
    seed bytea NOT NULL CONSTRAINT status_list_seed_is_16_bytes CHECK (octet_length(seed) = 16),
    -- The history that its bits were handed out in; NULL while none was.
    identity text,
    -- How many were.
    next bigint NOT NULL DEFAULT 0 CONSTRAINT status_list_has_2_to_the_20_bits CHECK (next BETWEEN 0 AND 1048576),
    is_open boolean NOT NULL DEFAULT true,
    -- Until then a token may be alive that names it.
    lives_until timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE UNIQUE INDEX status_lists_have_one_open ON status_lists (kind) WHERE is_open;

CREATE FUNCTION begin_status_list(wanted smallint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO status_lists (list, kind, seed)
    VALUES (
        ('x' || left(gen_random_uuid()::text, 8))::bit(32)::bigint, wanted, uuid_send(gen_random_uuid()))
$$;

SELECT begin_status_list(kind) FROM unnest(ARRAY[1, 2]::smallint[]) AS kind;

-- Numbers of the open list from `first` on, which nobody else gets. Where it has not as many left, or is of another
-- history (what a restored backup says of its numbers was said before it was made), another one begins. `life`: seconds
-- from now until the last token that may name one of them is dead; NULL: there is no end.
CREATE FUNCTION lease_status_indices(wanted smallint, amount bigint, life bigint)
RETURNS TABLE (list bigint, seed bytea, first bigint, now timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    present CONSTANT text := history_identity();
BEGIN
    IF amount NOT BETWEEN 1 AND 1048576 THEN RAISE 'no list has % bits to lease', amount; END IF;
    LOOP
        RETURN QUERY
        UPDATE status_lists AS l
        SET next = l.next + amount, identity = present,
            lives_until = GREATEST(l.lives_until, COALESCE(c.steady + life * interval '1 second', 'infinity'))
        FROM steady_clock() AS c
        WHERE l.kind = wanted AND l.is_open AND COALESCE(l.identity, present) = present AND l.next + amount <= 1048576
        RETURNING l.list, l.seed, l.next - amount, c.raw;
        IF FOUND THEN RETURN; END IF;
        -- Of several that come here at once one closes it; the others have waited, find it closed and see the next one.
        UPDATE status_lists AS l
        SET is_open = false
        WHERE l.kind = wanted AND l.is_open
          AND (COALESCE(l.identity, present) <> present OR l.next + amount > 1048576);
        IF FOUND THEN PERFORM begin_status_list(wanted); END IF;
    END LOOP;
END
$$;
