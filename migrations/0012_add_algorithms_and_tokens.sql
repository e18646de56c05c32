-- By which algorithm a client's access tokens are signed; NULL: by the installation's.
ALTER TABLE clients
    ADD COLUMN access_token_alg text CONSTRAINT clients_access_token_alg_is_known
        CHECK (access_token_alg IN ('RS256', 'PS256', 'ES256', 'EdDSA'));

-- Which algorithms are in use is asked at every look at the key schedule; nearly all clients stay out.
CREATE INDEX clients_by_access_token_alg ON clients (access_token_alg) WHERE access_token_alg IS NOT NULL;

-- Where a private half is: sealed in this row, or in a PKCS #11 token, which never lets it out and where CKA_ID is the
-- kid's bytes.
ALTER TABLE signing_keys
    ADD COLUMN held_by text NOT NULL DEFAULT 'database' CONSTRAINT signing_keys_held_by_is_known
        CHECK (held_by IN ('database', 'token')),
    ADD CONSTRAINT signing_keys_in_a_token_are_not_sealed_here CHECK (held_by = 'database' OR sealed IS NULL);
