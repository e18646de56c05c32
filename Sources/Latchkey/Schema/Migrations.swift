package import Postgres

/// The migrations that this binary carries, in order. A test holds the list against the folder `migrations/`.
package enum Migrations {
    package static let all = [
        Migration(name: "0001_create_installation", bytes: PackageResources._001_create_installation_sql),
        Migration(name: "0002_create_users", bytes: PackageResources._002_create_users_sql),
        Migration(name: "0003_create_sessions", bytes: PackageResources._003_create_sessions_sql),
        Migration(name: "0004_create_revocations", bytes: PackageResources._004_create_revocations_sql),
        Migration(name: "0005_create_signing_keys", bytes: PackageResources._005_create_signing_keys_sql),
        Migration(name: "0006_create_audit_events", bytes: PackageResources._006_create_audit_events_sql),
        Migration(name: "0007_create_guess_limits", bytes: PackageResources._007_create_guess_limits_sql),
        Migration(name: "0008_add_oauth_clients", bytes: PackageResources._008_add_oauth_clients_sql),
        Migration(name: "0009_keep_the_key_schedule", bytes: PackageResources._009_keep_the_key_schedule_sql),
        Migration(name: "0010_add_revoked_keys", bytes: PackageResources._010_add_revoked_keys_sql),
        Migration(name: "0011_create_verifiers", bytes: PackageResources._011_create_verifiers_sql),
        Migration(name: "0012_add_algorithms_and_tokens", bytes: PackageResources._012_add_algorithms_and_tokens_sql),
        Migration(name: "0013_create_master_keys", bytes: PackageResources._013_create_master_keys_sql),
        Migration(name: "0014_add_the_feed", bytes: PackageResources._014_add_the_feed_sql),
        Migration(name: "0015_keep_how_keys_are_made", bytes: PackageResources._015_keep_how_keys_are_made_sql),
        Migration(name: "0016_tell_lost_histories", bytes: PackageResources._016_tell_lost_histories_sql),
        Migration(name: "0017_create_idempotency_keys", bytes: PackageResources._017_create_idempotency_keys_sql),
        Migration(name: "0018_create_status_lists", bytes: PackageResources._018_create_status_lists_sql),
    ]
}
