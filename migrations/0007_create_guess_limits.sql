-- Guess limits: before a password is looked at, a slot is taken in every bucket that counts its caller, or in none.

ALTER TABLE users
    -- Raised by every change of the password: devices that were known under an older one are known no more.
    ADD COLUMN password_version bigint NOT NULL DEFAULT 1 CONSTRAINT users_password_version_fits_32_bits
        CHECK (password_version BETWEEN 1 AND 4294967295);

-- One row for each name, each place of a known device and each network that a password was tried from. The key is an
-- HMAC, so that the table tells nobody what was typed where a name is asked for. Unlogged: a slot costs no flush, and
-- after a crash of the database the counting begins anew.
CREATE UNLOGGED TABLE guess_buckets (
    key bytea PRIMARY KEY CONSTRAINT guess_bucket_has_a_key CHECK (octet_length(key) BETWEEN 16 AND 17),
    -- When each was taken, oldest first: the sliding window itself, no longer than the limit.
    slots timestamptz[] NOT NULL,
    -- From then on the row says nothing. In whole minutes, so that taking a slot seldom touches its index.
    spent_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX guess_buckets_by_spent_at ON guess_buckets (spent_at);

-- The nine newest devices of each user that have shown their token, under one version of the password. A device's place
-- among them, from 1, has a bucket; whoever pushes out the oldest takes over its place and the bucket with it, so that
-- however many tokens were stolen there are never more than nine buckets of an account.
CREATE UNLOGGED TABLE guess_devices (
    user_id uuid PRIMARY KEY,
    password_version bigint NOT NULL,
    devices uuid[] NOT NULL CONSTRAINT guess_devices_are_nine_at_most CHECK (cardinality(devices) BETWEEN 1 AND 9)
);

-- How long until one of `most` slots is free; NULL where one is. The window is 15 minutes; a slot from the future (the
-- clock was stepped back) counts as one taken now.
CREATE FUNCTION guess_wait(slots timestamptz[], most bigint, instant timestamptz) RETURNS interval
LANGUAGE sql STABLE
RETURN (
    SELECT LEAST(slot, instant) + interval '15 minutes' - instant
    FROM unnest(slots) AS slot
    WHERE slot > instant - interval '15 minutes'
    ORDER BY LEAST(slot, instant) DESC
    OFFSET most - 1
    LIMIT 1
);

-- The devices once `device` has shown its token. Ids are UUIDs of version 7 and so compare by age: the tenth takes the
-- place of the oldest, and one that is older than all nine (it was pushed out) takes none.
CREATE FUNCTION guess_devices_with(devices uuid[], device uuid) RETURNS uuid[]
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN device = ANY (devices) THEN devices
    WHEN cardinality(devices) < 9 THEN devices || device
    ELSE (
        SELECT array_replace(devices, oldest, GREATEST(oldest, device))
        FROM unnest(devices) AS oldest
        ORDER BY oldest
        LIMIT 1
    )
END;

-- The place of a device, from 1; NULL where it is unknown: another user's, of another password, or pushed out.
CREATE FUNCTION guess_place(name text, owner uuid, version bigint, device uuid) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    known uuid[];
    place integer;
BEGIN
    PERFORM FROM users WHERE id = owner AND username = name AND password_version = version;
    IF NOT FOUND THEN RETURN NULL; END IF;
    SELECT d.devices INTO known FROM guess_devices d WHERE d.user_id = owner AND d.password_version = version;
    -- The common case writes nothing and locks nothing; so does one that was pushed out, however often it comes.
    IF guess_devices_with(known, device) = known THEN RETURN array_position(known, device); END IF;
    INSERT INTO guess_devices AS d (user_id, password_version, devices)
    VALUES (owner, version, ARRAY[device])
    ON CONFLICT (user_id) DO UPDATE
    SET password_version = version,
        devices = CASE
            WHEN d.password_version < version THEN ARRAY[device]
            ELSE guess_devices_with(d.devices, device)
        END
    WHERE d.password_version <= version
    RETURNING array_position(d.devices, device) INTO place;
    RETURN place;
END
$$;

-- Takes slots for a whole group of callers in one call, for each in all of its buckets or in none, in the order in which
-- they came. Arrays of one length; an empty key stands for a bucket that does not count. `device_keys` is empty where no
-- device token was shown; with the place as its last byte it is the key of that place.
--
-- Locks: the devices' rows by user, then all buckets by key. Every call keeps to that order, so no two wait for each
-- other in a ring. The clock is read after the last lock.
CREATE FUNCTION take_guess_slots(
    accounts bytea[], addresses bytea[], device_keys bytea[], names text[], owners uuid[], versions bigint[],
    ids uuid[], account_limit bigint, address_limit bigint
) RETURNS TABLE (place integer, taken_at timestamptz, wait bigint, fills_account boolean, fills_address boolean)
-- A plan made while the table was a page would be kept while a flood fills it.
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    callers CONSTANT integer := cardinality(accounts);
    places integer[] := array_fill(NULL::integer, ARRAY[callers]);
    waits interval[] := array_fill(NULL::interval, ARRAY[callers]);
    pause interval;
    instant timestamptz;
    caller integer;
BEGIN
    FOR caller IN
        SELECT n FROM generate_series(1, callers) AS n WHERE device_keys[n] <> '' ORDER BY owners[n], n
    LOOP
        places[caller] := guess_place(names[caller], owners[caller], versions[caller], ids[caller]);
        CONTINUE WHEN places[caller] IS NULL;
        accounts[caller] := device_keys[caller] || set_byte('\x00', 0, places[caller]);
        addresses[caller] := '';
    END LOOP;

    -- Whoever finds a bucket full already is refused by a look alone: a flood of guesses writes no row and holds no lock.
    instant := clock_timestamp();
    FOR caller IN 1..callers LOOP
        waits[caller] := (
            SELECT max(guess_wait(
                b.slots, CASE WHEN b.key = accounts[caller] THEN account_limit ELSE address_limit END, instant))
            FROM guess_buckets b
            WHERE b.key IN (accounts[caller], addresses[caller])
            HAVING NOT bool_or(instant < ANY (b.slots))
        );
    END LOOP;

    INSERT INTO guess_buckets AS b (key, slots, spent_at)
    SELECT k.key, '{}'::timestamptz[], clock_timestamp()
    FROM generate_series(1, callers) AS n, unnest(ARRAY[accounts[n], addresses[n]]) AS k (key)
    WHERE waits[n] IS NULL AND k.key <> ''
    GROUP BY k.key
    ORDER BY k.key
    ON CONFLICT (key) DO UPDATE
    SET slots = ARRAY(
        SELECT LEAST(slot, clock_timestamp())
        FROM unnest(b.slots) AS slot
        WHERE slot > clock_timestamp() - interval '15 minutes'
        ORDER BY 1
    );

    FOR caller IN 1..callers LOOP
        place := places[caller];
        taken_at := NULL;
        fills_account := false;
        fills_address := false;
        pause := waits[caller];
        IF pause IS NULL THEN
            instant := clock_timestamp();
            SELECT max(guess_wait(
                       b.slots, CASE WHEN b.key = accounts[caller] THEN account_limit ELSE address_limit END, instant)),
                   COALESCE(bool_or(b.key = accounts[caller] AND cardinality(b.slots) + 1 >= account_limit), false),
                   COALESCE(bool_or(b.key = addresses[caller] AND cardinality(b.slots) + 1 >= address_limit), false)
            INTO pause, fills_account, fills_address
            FROM guess_buckets b
            WHERE b.key IN (accounts[caller], addresses[caller]);
        END IF;
        IF pause IS NULL THEN
            taken_at := instant;
            UPDATE guess_buckets AS b
            SET slots = b.slots || instant, spent_at = date_trunc('minute', instant) + interval '16 minutes'
            WHERE b.key IN (accounts[caller], addresses[caller]);
        END IF;
        wait := ceil(extract(epoch FROM pause));
        RETURN NEXT;
    END LOOP;
END
$$;

-- Gives back slots by bucket and instant: each once, and none but the caller's own.
CREATE FUNCTION give_back_guess_slots(keys bytea[], instants timestamptz[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT s.key, s.taken_at FROM unnest(keys, instants) AS s (key, taken_at) ORDER BY s.key
    LOOP
        UPDATE guess_buckets AS b
        SET slots = b.slots[:array_position(b.slots, given.taken_at) - 1]
            || b.slots[array_position(b.slots, given.taken_at) + 1:]
        WHERE b.key = given.key AND given.taken_at = ANY (b.slots);
    END LOOP;
END
$$;
