-- What the migrations make, as `pg_dump --schema-only --no-owner` says it. Never edited: after a new migration run
-- LATCHKEY_WRITE_SCHEMA=1 swift test --filter SchemaTests
CREATE FUNCTION public.begin_status_list(wanted smallint) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO status_lists (list, kind, seed)
    VALUES (
        ('x' || left(gen_random_uuid()::text, 8))::bit(32)::bigint, wanted, uuid_send(gen_random_uuid()))
$$;
CREATE FUNCTION public.give_back_guess_slots(keys bytea[], instants timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
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
CREATE FUNCTION public.guess_devices_with(devices uuid[], device uuid) RETURNS uuid[]
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN (device = ANY (devices)) THEN devices WHEN (cardinality(devices) < 9) THEN (devices || device) ELSE (SELECT array_replace(guess_devices_with.devices, oldest.oldest, GREATEST(oldest.oldest, guess_devices_with.device)) AS array_replace FROM unnest(guess_devices_with.devices) oldest(oldest) ORDER BY oldest.oldest LIMIT 1) END;
CREATE FUNCTION public.guess_place(name text, owner uuid, version bigint, device uuid) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.guess_wait(slots timestamp with time zone[], most bigint, instant timestamp with time zone) RETURNS interval
    LANGUAGE sql STABLE
    RETURN (SELECT ((LEAST(slot.slot, guess_wait.instant) + '00:15:00'::interval) - guess_wait.instant) FROM unnest(guess_wait.slots) slot(slot) WHERE (slot.slot > (guess_wait.instant - '00:15:00'::interval)) ORDER BY LEAST(slot.slot, guess_wait.instant) DESC OFFSET (guess_wait.most - 1) LIMIT 1);
CREATE FUNCTION public.history_identity() RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(
        ':', (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()), 'feed_head'::regclass::oid)
$$;
CREATE FUNCTION public.lease_status_indices(wanted smallint, amount bigint, life bigint) RETURNS TABLE(list bigint, seed bytea, first bigint, now timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.steady_clock(OUT raw timestamp with time zone, OUT steady timestamp with time zone, OUT settled timestamp with time zone) RETURNS record
    LANGUAGE sql
    AS $$
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
CREATE FUNCTION public.take_guess_slots(accounts bytea[], addresses bytea[], device_keys bytea[], names text[], owners uuid[], versions bigint[], ids uuid[], account_limit bigint, address_limit bigint) RETURNS TABLE(place integer, taken_at timestamp with time zone, wait bigint, fills_account boolean, fills_address boolean)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
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
CREATE TABLE public.audit_events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    address text,
    request_id text,
    detail text DEFAULT '{}'::text NOT NULL
);
ALTER TABLE public.audit_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.clients (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    security_version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    auth_method text DEFAULT 'none'::text NOT NULL,
    grant_types text[] DEFAULT '{}'::text[] NOT NULL,
    redirect_uris text[] DEFAULT '{}'::text[] NOT NULL,
    scopes text[] DEFAULT '{}'::text[] NOT NULL,
    epoch uuid,
    secret_hash bytea,
    secret_key smallint,
    old_secret_hash bytea,
    old_secret_key smallint,
    old_secret_until timestamp with time zone,
    access_token_alg text,
    CONSTRAINT clients_access_token_alg_is_known CHECK ((access_token_alg = ANY (ARRAY['RS256'::text, 'PS256'::text, 'ES256'::text, 'EdDSA'::text]))),
    CONSTRAINT clients_auth_method_is_known CHECK ((auth_method = ANY (ARRAY['none'::text, 'client_secret_basic'::text, 'client_secret_post'::text]))),
    CONSTRAINT clients_id_is_printable CHECK ((id ~ '^[!-~]{1,128}$'::text)),
    CONSTRAINT clients_old_secret_has_an_end CHECK ((((old_secret_hash IS NULL) = (old_secret_until IS NULL)) AND ((old_secret_hash IS NULL) = (old_secret_key IS NULL)))),
    CONSTRAINT clients_old_secret_hash_is_sha256 CHECK ((octet_length(old_secret_hash) = 32)),
    CONSTRAINT clients_secret_hash_is_sha256 CHECK ((octet_length(secret_hash) = 32)),
    CONSTRAINT clients_status_is_known CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text]))),
    CONSTRAINT clients_that_act_for_themselves_authenticate CHECK (((auth_method <> 'none'::text) OR (NOT ('client_credentials'::text = ANY (grant_types))))),
    CONSTRAINT clients_that_authenticate_have_a_secret CHECK ((((auth_method <> 'none'::text) = (secret_hash IS NOT NULL)) AND ((secret_hash IS NULL) = (secret_key IS NULL)))),
    CONSTRAINT clients_that_authenticate_have_an_epoch CHECK (((auth_method <> 'none'::text) = (epoch IS NOT NULL)))
);
CREATE TABLE public.feed_batches (
    seq bigint NOT NULL,
    digest bytea NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.feed_head (
    single boolean DEFAULT true NOT NULL,
    epoch uuid NOT NULL,
    seq bigint NOT NULL,
    digest bytea NOT NULL,
    identity text,
    CONSTRAINT feed_head_digest_is_sha256 CHECK ((octet_length(digest) = 32)),
    CONSTRAINT feed_head_is_one_row CHECK (single),
    CONSTRAINT feed_head_seq_is_not_negative CHECK ((seq >= 0))
)
WITH (fillfactor='50');
CREATE TABLE public.feed_key (
    single boolean DEFAULT true NOT NULL,
    kid text NOT NULL COLLATE pg_catalog."C",
    sealed bytea NOT NULL,
    master_key smallint NOT NULL,
    first_master_key smallint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT feed_key_is_one_row CHECK (single),
    CONSTRAINT feed_key_is_sealed_under_newer_keys CHECK ((first_master_key <= master_key)),
    CONSTRAINT feed_key_kid_is_a_thumbprint CHECK ((kid ~ '^[A-Za-z0-9_-]{43}$'::text))
);
CREATE UNLOGGED TABLE public.guess_buckets (
    key bytea NOT NULL,
    slots timestamp with time zone[] NOT NULL,
    spent_at timestamp with time zone NOT NULL,
    CONSTRAINT guess_bucket_has_a_key CHECK (((octet_length(key) >= 16) AND (octet_length(key) <= 17)))
)
WITH (fillfactor='50');
CREATE UNLOGGED TABLE public.guess_devices (
    user_id uuid NOT NULL,
    password_version bigint NOT NULL,
    devices uuid[] NOT NULL,
    CONSTRAINT guess_devices_are_nine_at_most CHECK (((cardinality(devices) >= 1) AND (cardinality(devices) <= 9)))
);
CREATE TABLE public.idempotency_keys (
    id bytea NOT NULL,
    salt bytea NOT NULL,
    master_key smallint NOT NULL,
    request bytea NOT NULL,
    answer bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_keys_id_is_sha256 CHECK ((octet_length(id) = 32)),
    CONSTRAINT idempotency_keys_request_is_sha256 CHECK ((octet_length(request) = 32)),
    CONSTRAINT idempotency_keys_salt_is_16_bytes CHECK ((octet_length(salt) = 16))
);
CREATE TABLE public.installation (
    single boolean DEFAULT true NOT NULL,
    fence bigint NOT NULL,
    longest_access_token bigint NOT NULL,
    longest_publish_lead bigint DEFAULT 0 NOT NULL,
    longest_leeway bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    longest_max_age bigint DEFAULT 0 NOT NULL,
    failover text DEFAULT 'lossy'::text NOT NULL,
    rotation_interval bigint,
    signing_algorithm text,
    keys_held_by text,
    history_from timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT installation_failover_is_known CHECK ((failover = ANY (ARRAY['lossy'::text, 'synchronous'::text]))),
    CONSTRAINT installation_fence_fits_32_bits CHECK (((fence >= 1) AND (fence <= '4294967295'::bigint))),
    CONSTRAINT installation_is_one_row CHECK (single),
    CONSTRAINT installation_keys_held_by_is_known CHECK ((keys_held_by = ANY (ARRAY['database'::text, 'token'::text]))),
    CONSTRAINT installation_longest_access_token_is_positive CHECK ((longest_access_token > 0)),
    CONSTRAINT installation_tells_how_keys_are_made_whole CHECK ((num_nulls(rotation_interval, signing_algorithm, keys_held_by) = ANY (ARRAY[0, 3])))
);
CREATE TABLE public.key_ring (
    single boolean DEFAULT true NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT key_ring_is_one_row CHECK (single)
)
WITH (fillfactor='50');
CREATE TABLE public.master_keys (
    version smallint NOT NULL,
    check_value bytea NOT NULL,
    made_for text DEFAULT 'use'::text NOT NULL,
    noticed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    minting_from timestamp with time zone,
    compromised_at timestamp with time zone,
    retired_at timestamp with time zone,
    CONSTRAINT master_key_check_value_is_16_bytes CHECK ((octet_length(check_value) = 16)),
    CONSTRAINT master_key_versions_begin_at_one CHECK ((version > 0)),
    CONSTRAINT master_keys_are_made_for_use_or_leak CHECK ((made_for = ANY (ARRAY['use'::text, 'leak'::text])))
);
CREATE TABLE public.migrations (
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.minted_tokens (
    kid text NOT NULL COLLATE pg_catalog."C",
    minute timestamp with time zone NOT NULL,
    count bigint NOT NULL,
    CONSTRAINT minted_tokens_count_is_positive CHECK ((count > 0))
);
CREATE TABLE public.node_ticks (
    node uuid NOT NULL,
    version text NOT NULL,
    master_keys smallint[] NOT NULL,
    ticked_at timestamp with time zone NOT NULL,
    access_token bigint,
    publish_lead bigint,
    max_age bigint,
    leeway bigint,
    failover text,
    algorithm text,
    seen_at timestamp with time zone,
    stepped_at timestamp with time zone,
    stepped_from timestamp with time zone,
    CONSTRAINT node_tick_tells_a_step_whole CHECK (((stepped_at IS NULL) = (stepped_from IS NULL)))
)
WITH (fillfactor='50');
CREATE TABLE public.revocation_entries (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
)
PARTITION BY LIST (slot);
CREATE TABLE public.revocation_entries_00 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_01 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_02 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_03 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_04 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_05 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_06 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_07 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_08 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_09 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_10 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_11 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_12 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_13 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_14 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revocation_entries_15 (
    slot smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT revocation_entries_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2])))
);
CREATE TABLE public.revoked_keys (
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    kid text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT revoked_keys_kid_is_a_thumbprint CHECK ((kid ~ '^[A-Za-z0-9_-]{43}$'::text)),
    CONSTRAINT revoked_keys_kind_is_known CHECK ((kind = ANY (ARRAY[3, 4])))
);
CREATE TABLE public.roles (
    name text NOT NULL COLLATE pg_catalog."C",
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT roles_name_is_a_token CHECK ((name ~ '^[a-z0-9][a-z0-9._:-]{0,63}$'::text))
);
CREATE TABLE public.sessions (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
PARTITION BY LIST (slot);
CREATE TABLE public.sessions_00 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_01 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_02 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_03 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_04 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_05 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_06 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_07 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_08 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_09 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_10 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_11 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_12 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_13 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_14 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.sessions_15 (
    slot smallint NOT NULL,
    rid bytea NOT NULL,
    sid uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    gen bigint NOT NULL,
    conf bigint NOT NULL,
    conf_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    idle_until timestamp with time zone NOT NULL,
    max_until timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_cause text,
    auth_time timestamp with time zone NOT NULL,
    scope text[],
    audience text[] NOT NULL,
    CONSTRAINT session_confirms_an_earlier_generation CHECK (((conf < gen) AND (gen <= '4294967295'::bigint))),
    CONSTRAINT session_ends_with_a_cause CHECK (((ended_at IS NULL) = (end_cause IS NULL))),
    CONSTRAINT session_idles_within_its_life CHECK ((idle_until <= max_until)),
    CONSTRAINT sessions_rid_is_16_bytes CHECK ((octet_length(rid) = 16))
)
WITH (fillfactor='60');
CREATE TABLE public.signing_keys (
    kid text NOT NULL COLLATE pg_catalog."C",
    algorithm text NOT NULL,
    public_jwk text NOT NULL,
    sealed bytea,
    master_key_version smallint NOT NULL,
    founding boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    published_at timestamp with time zone,
    activates_at timestamp with time zone,
    retires_at timestamp with time zone,
    removed_at timestamp with time zone,
    compromised_at timestamp with time zone,
    leaves_at timestamp with time zone,
    held_by text DEFAULT 'database'::text NOT NULL,
    first_sealed_under smallint,
    left_in_token boolean DEFAULT false NOT NULL,
    CONSTRAINT signing_key_is_published_before_it_signs CHECK (((activates_at IS NULL) OR (published_at IS NOT NULL))),
    CONSTRAINT signing_key_leaves_after_it_retires CHECK (((removed_at IS NULL) OR (removed_at >= retires_at))),
    CONSTRAINT signing_key_parts_after_it_retires CHECK (((leaves_at IS NULL) OR (leaves_at >= retires_at))),
    CONSTRAINT signing_key_retires_after_it_activates CHECK (((retires_at IS NULL) OR (retires_at >= activates_at))),
    CONSTRAINT signing_keys_held_by_is_known CHECK ((held_by = ANY (ARRAY['database'::text, 'token'::text]))),
    CONSTRAINT signing_keys_in_a_token_are_not_sealed_here CHECK (((held_by = 'database'::text) OR (sealed IS NULL))),
    CONSTRAINT signing_keys_left_in_a_token_are_wiped CHECK (((NOT left_in_token) OR ((sealed IS NULL) AND (held_by = 'database'::text))))
);
CREATE TABLE public.status_lists (
    list bigint NOT NULL,
    kind smallint NOT NULL,
    seed bytea NOT NULL,
    identity text,
    next bigint DEFAULT 0 NOT NULL,
    is_open boolean DEFAULT true NOT NULL,
    lives_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT status_list_has_2_to_the_20_bits CHECK (((next >= 0) AND (next <= 1048576))),
    CONSTRAINT status_list_has_32_bits CHECK (((list >= 0) AND (list <= '4294967295'::bigint))),
    CONSTRAINT status_list_kind_is_known CHECK ((kind = ANY (ARRAY[1, 2]))),
    CONSTRAINT status_list_seed_is_16_bytes CHECK ((octet_length(seed) = 16))
);
CREATE TABLE public.user_roles (
    user_id uuid NOT NULL,
    role text NOT NULL COLLATE pg_catalog."C",
    granted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.users (
    id uuid NOT NULL,
    username text NOT NULL COLLATE pg_catalog."C",
    email text,
    email_folded text COLLATE pg_catalog."C",
    phc text,
    status text DEFAULT 'active'::text NOT NULL,
    security_version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    password_changed_at timestamp with time zone,
    password_version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT users_email_is_short CHECK ((octet_length(email) <= 254)),
    CONSTRAINT users_password_version_fits_32_bits CHECK (((password_version >= 1) AND (password_version <= '4294967295'::bigint))),
    CONSTRAINT users_status_is_known CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text]))),
    CONSTRAINT users_username_is_folded CHECK ((username ~ '^[a-z0-9._@+-]{1,128}$'::text))
);
CREATE TABLE public.verifiers (
    name text NOT NULL COLLATE pg_catalog."C",
    seen_at timestamp with time zone NOT NULL,
    fetches bigint NOT NULL,
    kids text[] NOT NULL,
    reports boolean NOT NULL,
    CONSTRAINT verifiers_name_is_short CHECK ((octet_length(name) <= 64))
);
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_00 FOR VALUES IN ('0');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_01 FOR VALUES IN ('1');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_02 FOR VALUES IN ('2');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_03 FOR VALUES IN ('3');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_04 FOR VALUES IN ('4');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_05 FOR VALUES IN ('5');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_06 FOR VALUES IN ('6');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_07 FOR VALUES IN ('7');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_08 FOR VALUES IN ('8');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_09 FOR VALUES IN ('9');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_10 FOR VALUES IN ('10');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_11 FOR VALUES IN ('11');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_12 FOR VALUES IN ('12');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_13 FOR VALUES IN ('13');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_14 FOR VALUES IN ('14');
ALTER TABLE ONLY public.revocation_entries ATTACH PARTITION public.revocation_entries_15 FOR VALUES IN ('15');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_00 FOR VALUES IN ('0');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_01 FOR VALUES IN ('1');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_02 FOR VALUES IN ('2');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_03 FOR VALUES IN ('3');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_04 FOR VALUES IN ('4');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_05 FOR VALUES IN ('5');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_06 FOR VALUES IN ('6');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_07 FOR VALUES IN ('7');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_08 FOR VALUES IN ('8');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_09 FOR VALUES IN ('9');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_10 FOR VALUES IN ('10');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_11 FOR VALUES IN ('11');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_12 FOR VALUES IN ('12');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_13 FOR VALUES IN ('13');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_14 FOR VALUES IN ('14');
ALTER TABLE ONLY public.sessions ATTACH PARTITION public.sessions_15 FOR VALUES IN ('15');
ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.feed_batches
    ADD CONSTRAINT feed_batches_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.feed_key
    ADD CONSTRAINT feed_key_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.guess_buckets
    ADD CONSTRAINT guess_buckets_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.guess_devices
    ADD CONSTRAINT guess_devices_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.key_ring
    ADD CONSTRAINT key_ring_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.master_keys
    ADD CONSTRAINT master_keys_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.minted_tokens
    ADD CONSTRAINT minted_tokens_pkey PRIMARY KEY (kid, minute);
ALTER TABLE ONLY public.node_ticks
    ADD CONSTRAINT node_ticks_pkey PRIMARY KEY (node);
ALTER TABLE ONLY public.revocation_entries
    ADD CONSTRAINT revocation_entries_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_00
    ADD CONSTRAINT revocation_entries_00_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_01
    ADD CONSTRAINT revocation_entries_01_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_02
    ADD CONSTRAINT revocation_entries_02_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_03
    ADD CONSTRAINT revocation_entries_03_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_04
    ADD CONSTRAINT revocation_entries_04_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_05
    ADD CONSTRAINT revocation_entries_05_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_06
    ADD CONSTRAINT revocation_entries_06_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_07
    ADD CONSTRAINT revocation_entries_07_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_08
    ADD CONSTRAINT revocation_entries_08_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_09
    ADD CONSTRAINT revocation_entries_09_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_10
    ADD CONSTRAINT revocation_entries_10_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_11
    ADD CONSTRAINT revocation_entries_11_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_12
    ADD CONSTRAINT revocation_entries_12_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_13
    ADD CONSTRAINT revocation_entries_13_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_14
    ADD CONSTRAINT revocation_entries_14_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revocation_entries_15
    ADD CONSTRAINT revocation_entries_15_pkey PRIMARY KEY (slot, seq);
ALTER TABLE ONLY public.revoked_keys
    ADD CONSTRAINT revoked_keys_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_00
    ADD CONSTRAINT sessions_00_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_01
    ADD CONSTRAINT sessions_01_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_02
    ADD CONSTRAINT sessions_02_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_03
    ADD CONSTRAINT sessions_03_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_04
    ADD CONSTRAINT sessions_04_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_05
    ADD CONSTRAINT sessions_05_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_06
    ADD CONSTRAINT sessions_06_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_07
    ADD CONSTRAINT sessions_07_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_08
    ADD CONSTRAINT sessions_08_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_09
    ADD CONSTRAINT sessions_09_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_10
    ADD CONSTRAINT sessions_10_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_11
    ADD CONSTRAINT sessions_11_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_12
    ADD CONSTRAINT sessions_12_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_13
    ADD CONSTRAINT sessions_13_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_14
    ADD CONSTRAINT sessions_14_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.sessions_15
    ADD CONSTRAINT sessions_15_pkey PRIMARY KEY (slot, rid);
ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (kid);
ALTER TABLE ONLY public.status_lists
    ADD CONSTRAINT status_lists_pkey PRIMARY KEY (list);
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_pkey PRIMARY KEY (user_id, role);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_username_is_unique UNIQUE (username);
ALTER TABLE ONLY public.verifiers
    ADD CONSTRAINT verifiers_pkey PRIMARY KEY (name);
CREATE INDEX audit_events_by_actor ON public.audit_events USING btree (actor, id);
CREATE INDEX audit_events_by_target ON public.audit_events USING btree (target, id);
CREATE INDEX clients_by_access_token_alg ON public.clients USING btree (access_token_alg) WHERE (access_token_alg IS NOT NULL);
CREATE INDEX guess_buckets_by_spent_at ON public.guess_buckets USING btree (spent_at);
CREATE INDEX idempotency_keys_by_expires_at ON public.idempotency_keys USING btree (expires_at);
CREATE INDEX revocation_entries_by_seq ON ONLY public.revocation_entries USING btree (seq);
CREATE INDEX revocation_entries_00_seq_idx ON public.revocation_entries_00 USING btree (seq);
CREATE INDEX revocation_entries_01_seq_idx ON public.revocation_entries_01 USING btree (seq);
CREATE INDEX revocation_entries_02_seq_idx ON public.revocation_entries_02 USING btree (seq);
CREATE INDEX revocation_entries_03_seq_idx ON public.revocation_entries_03 USING btree (seq);
CREATE INDEX revocation_entries_04_seq_idx ON public.revocation_entries_04 USING btree (seq);
CREATE INDEX revocation_entries_05_seq_idx ON public.revocation_entries_05 USING btree (seq);
CREATE INDEX revocation_entries_06_seq_idx ON public.revocation_entries_06 USING btree (seq);
CREATE INDEX revocation_entries_07_seq_idx ON public.revocation_entries_07 USING btree (seq);
CREATE INDEX revocation_entries_08_seq_idx ON public.revocation_entries_08 USING btree (seq);
CREATE INDEX revocation_entries_09_seq_idx ON public.revocation_entries_09 USING btree (seq);
CREATE INDEX revocation_entries_10_seq_idx ON public.revocation_entries_10 USING btree (seq);
CREATE INDEX revocation_entries_11_seq_idx ON public.revocation_entries_11 USING btree (seq);
CREATE INDEX revocation_entries_12_seq_idx ON public.revocation_entries_12 USING btree (seq);
CREATE INDEX revocation_entries_13_seq_idx ON public.revocation_entries_13 USING btree (seq);
CREATE INDEX revocation_entries_14_seq_idx ON public.revocation_entries_14 USING btree (seq);
CREATE INDEX revocation_entries_15_seq_idx ON public.revocation_entries_15 USING btree (seq);
CREATE INDEX revoked_keys_by_kid ON public.revoked_keys USING btree (kid, seq);
CREATE INDEX sessions_by_client ON ONLY public.sessions USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_00_client_id_idx ON public.sessions_00 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_by_sid ON ONLY public.sessions USING btree (sid);
CREATE INDEX sessions_00_sid_idx ON public.sessions_00 USING btree (sid);
CREATE INDEX sessions_by_user ON ONLY public.sessions USING btree (user_id);
CREATE INDEX sessions_00_user_id_idx ON public.sessions_00 USING btree (user_id);
CREATE INDEX sessions_01_client_id_idx ON public.sessions_01 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_01_sid_idx ON public.sessions_01 USING btree (sid);
CREATE INDEX sessions_01_user_id_idx ON public.sessions_01 USING btree (user_id);
CREATE INDEX sessions_02_client_id_idx ON public.sessions_02 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_02_sid_idx ON public.sessions_02 USING btree (sid);
CREATE INDEX sessions_02_user_id_idx ON public.sessions_02 USING btree (user_id);
CREATE INDEX sessions_03_client_id_idx ON public.sessions_03 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_03_sid_idx ON public.sessions_03 USING btree (sid);
CREATE INDEX sessions_03_user_id_idx ON public.sessions_03 USING btree (user_id);
CREATE INDEX sessions_04_client_id_idx ON public.sessions_04 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_04_sid_idx ON public.sessions_04 USING btree (sid);
CREATE INDEX sessions_04_user_id_idx ON public.sessions_04 USING btree (user_id);
CREATE INDEX sessions_05_client_id_idx ON public.sessions_05 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_05_sid_idx ON public.sessions_05 USING btree (sid);
CREATE INDEX sessions_05_user_id_idx ON public.sessions_05 USING btree (user_id);
CREATE INDEX sessions_06_client_id_idx ON public.sessions_06 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_06_sid_idx ON public.sessions_06 USING btree (sid);
CREATE INDEX sessions_06_user_id_idx ON public.sessions_06 USING btree (user_id);
CREATE INDEX sessions_07_client_id_idx ON public.sessions_07 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_07_sid_idx ON public.sessions_07 USING btree (sid);
CREATE INDEX sessions_07_user_id_idx ON public.sessions_07 USING btree (user_id);
CREATE INDEX sessions_08_client_id_idx ON public.sessions_08 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_08_sid_idx ON public.sessions_08 USING btree (sid);
CREATE INDEX sessions_08_user_id_idx ON public.sessions_08 USING btree (user_id);
CREATE INDEX sessions_09_client_id_idx ON public.sessions_09 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_09_sid_idx ON public.sessions_09 USING btree (sid);
CREATE INDEX sessions_09_user_id_idx ON public.sessions_09 USING btree (user_id);
CREATE INDEX sessions_10_client_id_idx ON public.sessions_10 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_10_sid_idx ON public.sessions_10 USING btree (sid);
CREATE INDEX sessions_10_user_id_idx ON public.sessions_10 USING btree (user_id);
CREATE INDEX sessions_11_client_id_idx ON public.sessions_11 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_11_sid_idx ON public.sessions_11 USING btree (sid);
CREATE INDEX sessions_11_user_id_idx ON public.sessions_11 USING btree (user_id);
CREATE INDEX sessions_12_client_id_idx ON public.sessions_12 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_12_sid_idx ON public.sessions_12 USING btree (sid);
CREATE INDEX sessions_12_user_id_idx ON public.sessions_12 USING btree (user_id);
CREATE INDEX sessions_13_client_id_idx ON public.sessions_13 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_13_sid_idx ON public.sessions_13 USING btree (sid);
CREATE INDEX sessions_13_user_id_idx ON public.sessions_13 USING btree (user_id);
CREATE INDEX sessions_14_client_id_idx ON public.sessions_14 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_14_sid_idx ON public.sessions_14 USING btree (sid);
CREATE INDEX sessions_14_user_id_idx ON public.sessions_14 USING btree (user_id);
CREATE INDEX sessions_15_client_id_idx ON public.sessions_15 USING btree (client_id) WHERE (client_id <> 'first-party'::text);
CREATE INDEX sessions_15_sid_idx ON public.sessions_15 USING btree (sid);
CREATE INDEX sessions_15_user_id_idx ON public.sessions_15 USING btree (user_id);
CREATE UNIQUE INDEX signing_keys_have_one_last_signer ON public.signing_keys USING btree (algorithm) WHERE ((activates_at IS NOT NULL) AND (retires_at IS NULL));
CREATE UNIQUE INDEX status_lists_have_one_open ON public.status_lists USING btree (kind) WHERE is_open;
CREATE INDEX user_roles_by_role ON public.user_roles USING btree (role);
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_00_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_00_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_01_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_01_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_02_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_02_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_03_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_03_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_04_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_04_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_05_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_05_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_06_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_06_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_07_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_07_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_08_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_08_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_09_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_09_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_10_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_10_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_11_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_11_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_12_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_12_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_13_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_13_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_14_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_14_seq_idx;
ALTER INDEX public.revocation_entries_pkey ATTACH PARTITION public.revocation_entries_15_pkey;
ALTER INDEX public.revocation_entries_by_seq ATTACH PARTITION public.revocation_entries_15_seq_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_00_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_00_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_00_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_00_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_01_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_01_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_01_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_01_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_02_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_02_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_02_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_02_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_03_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_03_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_03_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_03_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_04_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_04_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_04_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_04_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_05_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_05_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_05_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_05_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_06_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_06_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_06_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_06_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_07_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_07_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_07_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_07_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_08_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_08_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_08_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_08_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_09_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_09_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_09_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_09_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_10_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_10_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_10_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_10_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_11_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_11_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_11_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_11_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_12_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_12_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_12_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_12_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_13_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_13_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_13_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_13_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_14_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_14_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_14_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_14_user_id_idx;
ALTER INDEX public.sessions_by_client ATTACH PARTITION public.sessions_15_client_id_idx;
ALTER INDEX public.sessions_pkey ATTACH PARTITION public.sessions_15_pkey;
ALTER INDEX public.sessions_by_sid ATTACH PARTITION public.sessions_15_sid_idx;
ALTER INDEX public.sessions_by_user ATTACH PARTITION public.sessions_15_user_id_idx;
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_role_fkey FOREIGN KEY (role) REFERENCES public.roles(name);
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
