import Postgres

/// What the doctor reads of the server. Of the service's tables it reads what others write.
enum DoctorSQL {
    static let now: Query = "SELECT clock_timestamp() AS now"

    static let server: Query = """
        SELECT current_setting('server_version_num')::bigint AS version, pg_is_in_recovery() AS standby
        """

    /// `reset_val`: our own connections have set `synchronous_commit`.
    static let durability: Query = """
        SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
               (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit,
               current_setting('synchronous_standby_names') AS synchronous_standbys
        """

    static let nodes: Query = """
        SELECT version, master_keys, ticked_at, clock_timestamp() AS now
        FROM node_ticks
        ORDER BY ticked_at DESC
        """

    static let feed: Query = """
        SELECT seq, clock_timestamp() AS now, (SELECT max(at) FROM feed_batches) AS last
        FROM feed_head
        """

    static let notify: Query = "SELECT pg_notify('latchkey_revocations', '') IS NULL AS notified"

    /// By the statistics: counting would read it all.
    static let ring: Query = """
        SELECT count(*) FILTER (WHERE pg_relation_size(relid) > 0) AS used,
               COALESCE(sum(n_live_tup), 0)::bigint AS entries,
               COALESCE(sum(pg_total_relation_size(relid)), 0)::bigint AS bytes
        FROM pg_stat_user_tables
        WHERE relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'revocation_entries'::regclass)
        """

    static let connections: Query = """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
               current_setting('max_connections')::bigint
               - current_setting('superuser_reserved_connections')::bigint AS maximum
        """
}
