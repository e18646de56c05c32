"""As of which instant the list is complete, by boot clocks alone. Pure: every instant is an argument, in milliseconds."""

import time

REFUSE = "refuse"
ACCEPT = "accept"

# Two boot clocks drift apart by less than this part of the time between.
DRIFT = 0.001
# A wall clock that gained so much on the boot clock means that the machine was paused without the latter knowing.
LARGEST_GAIN = 1000
# A new anchor at least so often.
ANCHOR_LIFETIME = 600_000


def boot_now():
    """`CLOCK_BOOTTIME`: it runs on through sleep and is never stepped."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_now():
    return time.time_ns() // 1_000_000


class Freshness:
    """The claim of the messages applied so far.

    An anchor ties a node's boot clock to our own: we noted `r0`, then connected, and its first message, which echoes our
    nonce, says `b1` is now. So what happened before its instant `as_of` happened before `r0 + (as_of - b1)` of ours: a
    delay makes it look older, never fresher.
    """

    def __init__(self):
        self.node = None
        self.complete_as_of = None
        self._r0 = self._b1 = self._gain = None

    def anchor(self, node, r0, b1, wall):
        """`wall` was read together with `r0`."""
        self.node, self._r0, self._b1 = node, r0, b1
        self._gain = wall - r0

    def claim(self, node, as_of):
        """A message of `node`, once it and all before it are applied. Another node's proves nothing without an anchor."""
        if self._b1 is None or node != self.node:
            return
        elapsed = as_of - self._b1
        instant = self._r0 + elapsed - (elapsed * DRIFT if elapsed > 0 else 0)
        if self.complete_as_of is None or instant > self.complete_as_of:
            self.complete_as_of = instant

    def needs_anchor(self, boot):
        return self._r0 is None or boot - self._r0 >= ANCHOR_LIFETIME

    def age(self, boot, wall):
        """Milliseconds since the set was complete; None where it never was, or the clocks say that nothing is known."""
        if self.complete_as_of is None or wall - boot - self._gain > LARGEST_GAIN:
            return None
        return max(0, boot - self.complete_as_of)
