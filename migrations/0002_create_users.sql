CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- Folded once, before it gets here: lower() of a database depends on its locale.
    username text COLLATE "C" NOT NULL CONSTRAINT users_username_is_unique UNIQUE
        CONSTRAINT users_username_is_folded CHECK (username ~ '^[a-z0-9._@+-]{1,128}$'),
    email text CONSTRAINT users_email_is_short CHECK (octet_length(email) <= 254),
    email_folded text COLLATE "C",
    -- An argon2id PHC string; NULL: no password opens this account.
    phc text,
    status text NOT NULL DEFAULT 'active' CONSTRAINT users_status_is_known CHECK (status IN ('active', 'disabled')),
    -- Raised by whatever must end what was begun before it; a session is born only under the version its password
    -- was checked under.
    security_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    password_changed_at timestamptz
);

CREATE TABLE roles (
    name text COLLATE "C" PRIMARY KEY CONSTRAINT roles_name_is_a_token CHECK (name ~ '^[a-z0-9][a-z0-9._:-]{0,63}$'),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL REFERENCES roles (name),
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, role)
);

CREATE INDEX user_roles_by_role ON user_roles (role);

INSERT INTO roles (name, scopes)
VALUES ('admin', ARRAY[
    'users:read', 'users:write', 'clients:read', 'clients:write', 'sessions:read', 'sessions:revoke',
    'keys:read', 'keys:rotate', 'keys:compromise', 'audit:read', 'introspect'
]);

CREATE TABLE clients (
    id text COLLATE "C" PRIMARY KEY CONSTRAINT clients_id_is_printable CHECK (id ~ '^[!-~]{1,128}$'),
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CONSTRAINT clients_status_is_known CHECK (status IN ('active', 'disabled')),
    security_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The public client of sessions that are opened by name and password.
INSERT INTO clients (id, name) VALUES ('first-party', 'First party');
