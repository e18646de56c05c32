-- When the present history began: commits before it may be lost, and what was handed out before it is void. A session that
-- was born before is not alive, whatever its row says.
ALTER TABLE installation ADD COLUMN history_from timestamptz NOT NULL DEFAULT '-infinity';
