-- The versions of the master key that this installation knows: never the keys, which stand outside the database.
CREATE TABLE master_keys (
    version smallint PRIMARY KEY CONSTRAINT master_key_versions_begin_at_one CHECK (version > 0),
    -- Derived from the key, one way: tells a file of the same name with another key in it.
    check_value bytea NOT NULL CONSTRAINT master_key_check_value_is_16_bytes CHECK (octet_length(check_value) = 16),
    -- 'leak': made to replace those before it because one of them had leaked.
    made_for text NOT NULL DEFAULT 'use' CONSTRAINT master_keys_are_made_for_use_or_leak
        CHECK (made_for IN ('use', 'leak')),
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on new things are made under it: every ticking node held it.
    minting_from timestamptz,
    -- It leaked: its refresh and device tokens are void, what it seals is replaced.
    compromised_at timestamptz,
    -- Nothing names it any more: nodes forget it, and its file may be deleted.
    retired_at timestamptz
);

ALTER TABLE signing_keys
    -- The version that the key was sealed under at its birth, where it has been sealed again since: who held that one
    -- and a copy of the database knows the key, however often it is sealed again.
    ADD COLUMN first_sealed_under smallint;
