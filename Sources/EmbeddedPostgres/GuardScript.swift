/// What the guard process runs: it makes the cluster where it is missing, starts the server as its child, and stops it
/// when its standard input ends.
///
/// The owner holds the only other end of that pipe, so the kernel ends it for whatever ends the owner, `kill -9`
/// included. The guard runs as the cluster's user, in a session of its own (Ctrl-C does not reach the server), and
/// holds a lock on the data directory until nothing of its server is left: a start that comes while an old guard is
/// still stopping waits for it, and never meets a socket folder that is about to be removed.
enum GuardScript {
    /// The statuses the guard ends with where the server was not started.
    enum Refusal: Int32 {
        case logNotWritable = 70
        case alreadyRunning = 71
        case notMade = 72
        case socketFolder = 73
        case notACluster = 74
    }

    /// Written into the pipe: end the server as a crash would, without a checkpoint.
    static let crash = "crash\n"

    /// Shown by `ps`, before the script's arguments.
    static let name = "latchkey-postgres-guard"

    /// Arguments: log, data directory, programs' folder, socket folder, `--no-sync` or nothing for `initdb`, and then the
    /// server's own.
    static let text = #"""
        umask 077
        cd / || exit 70
        log=$1 data=$2 programs=$3 socket=$4 durability=$5
        shift 5
        exec 3<&0 </dev/null 2>/dev/null
        : >>"$log" || exit 70
        exec >>"$log" 2>&1

        # stop_after SIGNAL: waits until the owner is gone or says so, then ends the child, harder each time.
        stop_after() {
            while read -r word <&3; do
                kill -s QUIT "$child"
            done
            kill -s "$1" "$child"
            sleep 1
            kill -s "$1" "$child"
            sleep 2
            kill -s QUIT "$child"
            sleep 1
            kill -s KILL "$child"
        }

        # guarded SIGNAL COMMAND...: runs it as a child without the pipe and the lock; answers its status.
        guarded() {
            signal=$1
            shift
            "$@" 3<&- 9<&- &
            child=$!
            stop_after "$signal" 9<&- >/dev/null 2>&1 &
            watcher=$!
            trap 'kill -s "$signal" "$child"' HUP INT TERM
            while :; do
                wait "$child"
                status=$?
                kill -s 0 "$child" 2>/dev/null || break
            done
            # What is left of this session: the watcher, its sleep, and what a killed initdb was running.
            trap '' HUP INT TERM
            kill -s TERM 0
            wait "$watcher"
            trap - HUP INT TERM
            return "$status"
        }

        exec 9>>"$data.lock" || exit 70
        flock -w 8 9 || exit 71

        if [ ! -s "$data/PG_VERSION" ]; then
            [ -z "$(ls -A "$data" 2>/dev/null)" ] || exit 74
            # Under another name until it is whole: a cluster half made is never taken for one.
            making=$data.making
            rm -rf "$making"
            if ! guarded KILL "$programs/initdb" -D "$making" --username=latchkey --auth-local=trust \
                --auth-host=reject --encoding=UTF8 --locale=C --data-checksums ${durability:+"$durability"} ||
                ! mv -T "$making" "$data"; then
                rm -rf "$making"
                exit 72
            fi
        fi

        # A server without its guard, which somebody killed: it may be stopping. Its working directory is the data's.
        here=$(cd "$data" && pwd -P) || exit 74
        tries=0
        while read -r pid <"$data/postmaster.pid" && [ "$(readlink "/proc/$pid/cwd")" = "$here" ]; do
            tries=$((tries + 1))
            [ "$tries" -le 80 ] || exit 71
            sleep 0.1
        done 2>/dev/null

        # /tmp is everybody's: a folder that is not ours alone, or a link, is left to whoever made it.
        mkdir -m 0700 "$socket" 2>/dev/null ||
            [ "$(stat -c '%u %a %F' "$socket")" = "$(id -u) 700 directory" ] || exit 73
        guarded INT "$programs/postgres" -D "$data" "$@"
        status=$?
        rm -f "$socket/.s.PGSQL.5432" "$socket/.s.PGSQL.5432.lock"
        rmdir "$socket"
        exit "$status"
        """#
}
