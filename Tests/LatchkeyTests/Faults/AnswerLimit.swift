/// How long a caller waits at most for whatever needs a database that is away: two seconds are promised. The half is for a
/// debug build on two cores, which serves its callers, their clients and the database besides.
let answerLimit: Duration = .seconds(2) + .milliseconds(500)
