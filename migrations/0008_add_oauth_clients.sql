-- What a client is registered for, by the names of RFC 7591.
ALTER TABLE clients
    ADD COLUMN auth_method text NOT NULL DEFAULT 'none' CONSTRAINT clients_auth_method_is_known
        CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post')),
    ADD COLUMN grant_types text[] NOT NULL DEFAULT '{}',
    ADD COLUMN redirect_uris text[] NOT NULL DEFAULT '{}',
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
    -- The sid of the tokens that the client gets for itself. What ends them puts it on the revocation list and begins
    -- another one.
    ADD COLUMN epoch uuid,
    -- HMAC-SHA-256 of the secret under a key derived from the master key of this version. Secrets are random: no slow
    -- hash is needed.
    ADD COLUMN secret_hash bytea CONSTRAINT clients_secret_hash_is_sha256 CHECK (octet_length(secret_hash) = 32),
    ADD COLUMN secret_key smallint,
    -- The secret before it, while a rotation lets it live.
    ADD COLUMN old_secret_hash bytea CONSTRAINT clients_old_secret_hash_is_sha256
        CHECK (octet_length(old_secret_hash) = 32),
    ADD COLUMN old_secret_key smallint,
    ADD COLUMN old_secret_until timestamptz,
    ADD CONSTRAINT clients_that_authenticate_have_a_secret
        CHECK ((auth_method <> 'none') = (secret_hash IS NOT NULL) AND (secret_hash IS NULL) = (secret_key IS NULL)),
    ADD CONSTRAINT clients_that_authenticate_have_an_epoch CHECK ((auth_method <> 'none') = (epoch IS NOT NULL)),
    ADD CONSTRAINT clients_old_secret_has_an_end
        CHECK ((old_secret_hash IS NULL) = (old_secret_until IS NULL)
               AND (old_secret_hash IS NULL) = (old_secret_key IS NULL)),
    ADD CONSTRAINT clients_that_act_for_themselves_authenticate
        CHECK (auth_method <> 'none' OR NOT 'client_credentials' = ANY (grant_types));

UPDATE clients SET grant_types = ARRAY['refresh_token'] WHERE id = 'first-party';

-- Ending a client's sessions looks at its own alone. The first party's, nearly all, stay out: their births and refreshes
-- pay nothing for it.
CREATE INDEX sessions_by_client ON sessions (client_id) WHERE client_id <> 'first-party';
