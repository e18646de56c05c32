-- Who fetches the JWKS, as each names itself. Gathered in the nodes' memory and added here twice a minute; anybody may
-- say anything there, so it serves for looking and for waiting alone.
CREATE TABLE verifiers (
    -- One cache a name. The empty one: all who do not name themselves.
    name text COLLATE "C" PRIMARY KEY CONSTRAINT verifiers_name_is_short CHECK (octet_length(name) <= 64),
    seen_at timestamptz NOT NULL,
    fetches bigint NOT NULL,
    -- The keys that it holds: as it reports, or else those that it was served last.
    kids text[] NOT NULL,
    reports boolean NOT NULL
);

-- How many access tokens were signed with each key, by the minute of their iat, for as long as they may live.
CREATE TABLE minted_tokens (
    kid text COLLATE "C" NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL CONSTRAINT minted_tokens_count_is_positive CHECK (count > 0),
    PRIMARY KEY (kid, minute)
);
