"""How fresh the list is, by boot clocks alone. Pure: every reading of a clock is an argument, in milliseconds."""

import time
from typing import NamedTuple

from .errors import BadMessage

REFUSE = "refuse"
ACCEPT = "accept"

# Two clocks drift apart by less than this part of the time between.
DRIFT = 0.001
# What two clocks of one machine, or a node's and ours, may gain on each other: beyond it this machine stood still.
LARGEST_GAIN = 1000
# A new anchor at least so often.
ANCHOR_LIFETIME = 600_000
# What expired is kept so much longer, in seconds: for who reads the clocks now and asks the set a moment later.
MARGIN = 60


def boot_now():
    """`CLOCK_BOOTTIME`: it runs on through sleep and is never stepped."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1_000_000


def wall_now():
    return time.time_ns() / 1_000_000


class Request(NamedTuple):
    """A question, and what the clocks showed before anything was sent."""

    nonce: str
    boot: int
    wall: int


class Freshness:
    """The claim of the messages applied so far; `limit` is the age beyond which the list is stale.

    An anchor ties a node's boot clock to our own: we noted r0, then connected, and its first message, which echoes our
    nonce, says b1 is now. So what happened before its instant `as_of` happened before `r0 + (as_of - b1)` of ours: a
    delay makes it look older, never fresher.
    """

    def __init__(self, limit):
        self.limit = limit
        self.node = self.complete_as_of = None
        self._r0 = self._b1 = None
        # The least lead of the wall clock over the boot clock since the anchor, or the first reading: a step back must not
        # hide a pause.
        self._least_lead = self._jumped_at = None
        # The database's clock, and our boot clock when it had certainly been passed.
        self._database, self._forgotten_up_to = None, 0

    def observe(self, boot, wall):
        """At every reading. A wall clock that gained on the boot clock: stepped, or the machine was paused as a whole."""
        if self._least_lead is None:
            self._least_lead = wall - boot  # Before the first anchor, too, a step back would hide a pause.
        if wall - boot - self._least_lead > LARGEST_GAIN:
            self._jumped_at, self._least_lead = boot, wall - boot
        self._least_lead = min(self._least_lead, wall - boot)

    def judge(self, message, request, boot, wall):
        """Before a message is applied; `request` is what it answers, None for a later one of a stream.

        Throws `BadMessage` where nothing says when it was made.
        """
        self.observe(boot, wall)
        if self._jumped_at is None and message.node == self.node and self._instant(message.as_of) > boot + LARGEST_GAIN:
            # The node's clock gained on ours: we were paused without any clock of ours knowing.
            self.node, self.complete_as_of, self._jumped_at = None, None, boot
            raise BadMessage("this machine stood still: it may have waited")
        if request is None:
            if message.nonce is not None:
                raise BadMessage("it answers somebody else")
            if self._jumped_at is not None:
                raise BadMessage("a clock jumped: it may have waited")
            if message.node != self.node:
                raise BadMessage("of a node whose clock is not known here")
            return
        if message.nonce != request.nonce:
            raise BadMessage("it does not answer us")
        gain = (wall - boot) - (request.wall - request.boot)
        if gain > LARGEST_GAIN or (self._jumped_at is not None and self._jumped_at >= request.boot):
            raise BadMessage("a clock jumped while it was under way")

    def take(self, message, request, boot, wall):
        """Once a message that `judge` passed, and all before it, are applied."""
        if request is not None and self._jumped_at is not None and self._jumped_at >= request.boot:
            # Paused while it was applied, as a verdict saw: it is older than the boot clock tells, and no anchor. The jump
            # stands until there is one.
            return
        if request is not None:
            if self._jumped_at is not None:
                # What was complete before a pause may be older than it looks.
                self.complete_as_of = None
            self.node, self._r0, self._b1 = message.node, request.boot, message.now
            self._least_lead, self._jumped_at = request.wall - request.boot, None
        instant = min(self._instant(message.as_of), boot)
        if self.complete_as_of is None or instant > self.complete_as_of:
            self.complete_as_of, self._database = instant, (message.time, boot)
        self.observe(boot, wall)

    def _instant(self, as_of):
        elapsed = as_of - self._b1
        return self._r0 + elapsed - max(0, elapsed * DRIFT)

    def age(self, boot, wall):
        """Milliseconds since the set was complete; None where it never was, or the clocks do not tell."""
        self.observe(boot, wall)
        if self.complete_as_of is None or self._jumped_at is not None:
            return None
        return max(0, boot - self.complete_as_of)

    def is_stale(self, boot, wall):
        age = self.age(boot, wall)
        return age is None or age > self.limit

    def needs_anchor(self, boot, wall):
        """Also where all that comes looks too old by the present one: the node's machine may have stood still."""
        is_stale = self.is_stale(boot, wall)
        if self.node is None or self._jumped_at is not None:
            return True
        return boot - self._r0 >= min(ANCHOR_LIFETIME, self.limit if is_stale else ANCHOR_LIFETIME)

    def _database_time(self, boot):
        time, since = self._database or (0, boot)
        return time + (boot - since) * (1 - DRIFT)

    def second(self, boot, wall):
        """By which `exp` is judged, since 1970: the latest that any clock tells. A token whose entry may have been
        forgotten stays expired, whatever is done to the wall clock."""
        return int(max(wall, self._database_time(boot), self._forgotten_up_to * 1000) // 1000)

    def forget(self, boot, wall):
        """Up to which second entries may be forgotten: by the earlier of two clocks, since one that is stepped forward
        would empty the list, and be put right again."""
        second = int(min(self._database_time(boot), wall) // 1000) - MARGIN
        self._forgotten_up_to = max(self._forgotten_up_to, second)
        return self._forgotten_up_to
