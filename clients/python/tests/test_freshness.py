"""Freshness by boot clocks: whatever happens to a message on its way, and to either machine's clocks."""

import pytest

from latchkey_verifier.errors import BadMessage
from latchkey_verifier.freshness import ANCHOR_LIFETIME, Freshness, Request
from latchkey_verifier.revocations import Message

HOUR = 3_600_000
DATABASE = 1_800_000_000_000


class World:
    """A follower and a node, in simulated time."""

    def __init__(self, wall=5_000_000):
        self.boot, self.wall, self.node_boot, self.node, self.database = 1_000, wall, 900_000, "n1", DATABASE
        self.freshness = Freshness(5_000)

    @property
    def now(self):
        return self.boot, self.wall

    def pass_(self, milliseconds):
        self.boot += milliseconds
        self.wall += milliseconds
        self.node_boot += milliseconds
        self.database += milliseconds

    def stand_still(self, milliseconds, wall_knows=True):
        """The whole machine, and its boot clock does not know."""
        self.node_boot += milliseconds
        self.database += milliseconds
        self.wall += milliseconds if wall_knows else 0

    def message(self, age=0, nonce=None):
        return Message(
            "e", 1, "p", False, self.node, self.node_boot - age, self.node_boot, self.database - age, nonce, {}, [])

    def take(self, message, request=None):
        self.freshness.judge(message, request, *self.now)
        self.freshness.take(message, request, *self.now)

    def ask(self, nonce="nonce"):
        self.freshness.observe(*self.now)
        self.pass_(1)
        return Request(nonce, *self.now)

    def anchor(self, age=0):
        request = self.ask()
        self.take(self.message(age, "nonce"), request)

    @property
    def age(self):
        return self.freshness.age(*self.now)

    @property
    def needs_anchor(self):
        return self.freshness.needs_anchor(*self.now)


@pytest.fixture
def world():
    world = World()
    world.anchor()
    return world


def test_nothing_is_claimed_before_the_first_message():
    world = World()
    assert world.age is None and world.needs_anchor and world.freshness.is_stale(*world.now)


@pytest.mark.parametrize("wall_zone", [0, HOUR, -HOUR, 50 * HOUR])
def test_no_wall_clock_need_agree_with_another(wall_zone):
    world = World(100 * HOUR + wall_zone)
    world.anchor(age=100)
    world.pass_(300)
    assert world.age == 400


@pytest.mark.parametrize("delay", [0, 50, 3_000, HOUR])
def test_a_delay_makes_the_list_look_older_never_fresher(world, delay):
    message = world.message(age=200)
    world.pass_(delay)
    world.take(message)
    assert delay <= world.age <= delay + 200
    world.pass_(1_000)
    message = world.message(age=200)
    world.pass_(10_000)
    world.take(message)
    assert world.age >= 10_200


def test_an_answer_looks_older_by_as_long_as_it_took():
    world = World()
    request = world.ask()
    world.pass_(2_000)
    world.take(world.message(100, "nonce"), request)
    assert world.age == 2_100


def test_an_old_claim_does_not_take_back_a_newer_one(world):
    old = world.message()
    world.pass_(1_000)
    world.take(world.message())
    newer = world.freshness.complete_as_of
    world.take(old)
    assert world.freshness.complete_as_of == newer


def test_two_clocks_drift(world):
    world.pass_(500_000)
    world.take(world.message())
    assert world.freshness.complete_as_of == 1_001 + 500_000 - 500


def test_a_node_whose_clock_runs_ahead_claims_nothing_that_lies_ahead(world):
    world.node_boot += 900
    world.take(world.message())
    assert world.age == 0
    world.pass_(600)
    assert world.age == 600


@pytest.mark.parametrize("nonce", [None, "", "another", "NONCE"])
def test_the_first_message_answers_us_or_proves_nothing(nonce):
    world = World()
    with pytest.raises(BadMessage):
        world.take(world.message(nonce=nonce), world.ask())
    assert world.age is None


def test_a_later_message_answers_nobody(world):
    with pytest.raises(BadMessage):
        world.take(world.message(nonce="nonce"))


def test_another_node_proves_nothing_without_an_anchor(world):
    world.node = "n2"
    with pytest.raises(BadMessage):
        world.take(world.message())
    world.anchor()
    assert world.age == 0


@pytest.mark.parametrize("gain, is_known", [(0, True), (1_000, True), (1_001, False), (HOUR, False), (-HOUR, True)])
def test_a_wall_clock_that_outruns_the_boot_clock_means_that_nothing_is_known(world, gain, is_known):
    world.wall += gain
    assert (world.age is not None) == is_known and world.needs_anchor != is_known


def test_what_was_complete_before_a_pause_is_not_believed_after_it(world):
    world.stand_still(600_000)
    # The next answer comes from a node whose own list is old.
    world.anchor(age=8_000)
    assert world.age == 8_000 and world.freshness.is_stale(*world.now)


def test_what_waited_in_the_socket_during_a_pause_proves_nothing(world):
    waiting = world.message()
    world.stand_still(600_000)
    with pytest.raises(BadMessage):
        world.take(waiting)


def test_an_answer_that_was_under_way_during_a_pause_proves_nothing():
    world = World()
    request = world.ask()
    answer = world.message(nonce="nonce")
    world.stand_still(600_000)
    with pytest.raises(BadMessage):
        world.take(answer, request)


@pytest.mark.parametrize("step", [-HOUR, -10_000])
def test_a_pause_shows_even_where_the_wall_clock_was_stepped_back_before(world, step):
    world.wall += step
    world.take(world.message())
    world.stand_still(5_000)
    assert world.age is None and world.needs_anchor


def test_a_wall_clock_that_is_stepped_back_after_a_pause_does_not_hide_it(world):
    request = world.ask()
    world.stand_still(60_000)
    assert world.age is None
    world.wall -= HOUR
    assert world.age is None and world.needs_anchor
    world.pass_(1)
    with pytest.raises(BadMessage):
        world.take(world.message())
    with pytest.raises(BadMessage):
        world.take(world.message(nonce="nonce"), request)
    world.anchor()
    assert world.age == 0 and not world.needs_anchor


def test_a_pause_before_the_first_reading_shows_on_the_answer():
    world = World()
    request = Request("nonce", *world.now)
    world.stand_still(60_000)
    with pytest.raises(BadMessage):
        world.take(world.message(nonce="nonce"), request)


@pytest.mark.parametrize("is_anchored", [True, False])
def test_a_pause_while_an_answer_is_applied_is_not_forgotten_with_it(is_anchored):
    world = World()
    if is_anchored:
        world.anchor()
    request = world.ask()
    answer = world.message(nonce="nonce")
    world.freshness.judge(answer, request, *world.now)
    world.stand_still(HOUR)
    assert world.age is None, "a verdict sees it"
    world.wall -= HOUR
    world.freshness.take(answer, request, *world.now)
    assert world.age is None and world.needs_anchor
    with pytest.raises(BadMessage):
        world.take(world.message())
    world.anchor(age=8_000)
    assert world.age == 8_000, "what was complete before is forgotten"
    world.anchor()
    assert world.age == 0 and not world.needs_anchor


def test_a_pause_before_the_first_anchor_is_not_hidden_by_a_wall_clock_that_is_stepped_back():
    world = World()
    request = world.ask()
    answer = world.message(nonce="nonce")
    world.stand_still(60_000)
    assert world.age is None
    world.wall -= 60_000
    with pytest.raises(BadMessage):
        world.take(answer, request)
    world.anchor()
    assert world.age == 0


def test_a_pause_that_no_clock_of_ours_knows_of_shows_on_the_nodes(world):
    request = world.ask()
    world.stand_still(HOUR, wall_knows=False)
    assert world.age == 1, "nothing here can tell"
    with pytest.raises(BadMessage):
        world.take(world.message())
    assert world.age is None and world.needs_anchor
    world.pass_(1)
    with pytest.raises(BadMessage):
        world.take(world.message(nonce="nonce"), request)
    world.anchor(age=8_000)
    assert world.age == 8_000, "what was claimed before it is forgotten"


def test_a_poll_that_shows_it_is_not_believed_itself_and_the_next_is(world):
    world.stand_still(HOUR, wall_knows=False)
    with pytest.raises(BadMessage):
        world.anchor()
    assert world.age is None
    world.anchor()
    assert world.age == 0


def test_an_anchor_holds_for_ten_minutes(world):
    world.pass_(ANCHOR_LIFETIME - 1)
    world.take(world.message())
    assert not world.needs_anchor
    world.pass_(1)
    world.take(world.message())
    assert world.needs_anchor


def test_a_node_that_stood_still_is_asked_for_a_new_anchor(world):
    """All that it says looks older than it is."""
    world.node_boot -= 20_000
    world.pass_(4_999)
    world.take(world.message())
    assert not world.needs_anchor
    world.pass_(2)
    world.take(world.message())
    assert world.freshness.is_stale(*world.now) and world.needs_anchor
    world.anchor()
    assert not world.freshness.is_stale(*world.now) and not world.needs_anchor


# When entries are forgotten, and when tokens are expired.


def test_nothing_is_forgotten_before_the_database_said_the_time():
    world = World(DATABASE)
    assert world.freshness.forget(*world.now) == 0


@pytest.mark.parametrize("clock", ["wall", "database"])
def test_either_clock_stepped_forward_empties_nothing(clock):
    world = World(DATABASE)
    world.anchor()
    first = world.freshness.forget(*world.now)
    assert first == DATABASE // 1000 - 60
    setattr(world, clock, getattr(world, clock) + 5 * HOUR)
    world.pass_(1_000)
    world.anchor()
    assert first <= world.freshness.forget(*world.now) <= first + 1


def test_the_databases_clock_goes_on_by_our_boot_clock():
    world = World(DATABASE + 5 * HOUR)
    world.anchor()
    world.pass_(600_000)
    assert world.freshness.forget(*world.now) == DATABASE // 1000 - 60 + 599
    world.wall = 0
    assert DATABASE // 1000 + 599 <= world.freshness.second(*world.now) <= DATABASE // 1000 + 600


def test_a_tokens_times_are_judged_by_the_latest_clock():
    world = World(DATABASE - HOUR)
    assert world.freshness.second(*world.now) == (DATABASE - HOUR) // 1000
    world.anchor()
    assert world.freshness.second(*world.now) == DATABASE // 1000
    world.wall += 2 * HOUR
    assert world.freshness.second(*world.now) == (DATABASE + HOUR) // 1000


def test_a_token_whose_entry_may_be_forgotten_stays_expired_whatever_is_done_to_the_clocks():
    world = World(DATABASE)
    world.anchor()
    forgotten = world.freshness.forget(*world.now)
    world.pass_(1_000)
    world.wall -= 15 * HOUR
    world.database -= 15 * HOUR
    world.anchor()
    assert world.freshness.forget(*world.now) == forgotten
    assert world.freshness.second(*world.now) == forgotten
