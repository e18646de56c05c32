-- How the node that started last makes and rotates signing keys: commands go by it, not by their own environment. NULL
-- until a node of this version has started.
ALTER TABLE installation
    ADD COLUMN rotation_interval bigint,
    ADD COLUMN signing_algorithm text,
    ADD COLUMN keys_held_by text CONSTRAINT installation_keys_held_by_is_known
        CHECK (keys_held_by IN ('database', 'token')),
    ADD CONSTRAINT installation_tells_how_keys_are_made_whole
        CHECK (num_nulls(rotation_interval, signing_algorithm, keys_held_by) IN (0, 3));

-- Wiped here, and not destroyed yet in the PKCS #11 token that held it.
ALTER TABLE signing_keys
    ADD COLUMN left_in_token boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT signing_keys_left_in_a_token_are_wiped
        CHECK (NOT left_in_token OR (sealed IS NULL AND held_by = 'database'));
