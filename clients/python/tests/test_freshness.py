"""Freshness by boot clocks: whatever happens to a message on its way, and to either machine's clocks."""

import pytest

from latchkey_verifier.freshness import Freshness

HOUR = 3_600_000


@pytest.fixture
def fresh():
    freshness = Freshness()
    freshness.anchor("n1", r0=1_000, b1=900_000, wall=5_000_000)
    return freshness


def test_nothing_is_claimed_before_the_first_message():
    assert Freshness().age(10, 10) is None


@pytest.mark.parametrize("wall_zone", [0, HOUR, -HOUR, 50 * HOUR])
def test_no_wall_clock_need_agree_with_another(wall_zone):
    freshness = Freshness()
    freshness.anchor("n1", r0=1_000, b1=900_000, wall=5_000_000 + wall_zone)
    freshness.claim("n1", 900_000)
    assert freshness.age(1_400, 5_000_400 + wall_zone) == 400


@pytest.mark.parametrize("delay", [0, 50, 3_000, HOUR])
def test_a_delay_makes_the_list_look_older_never_fresher(fresh, delay):
    fresh.claim("n1", 899_800)
    assert fresh.age(1_000 + delay, 5_000_000 + delay) == 200 + delay


def test_an_old_claim_does_not_take_back_a_newer_one(fresh):
    fresh.claim("n1", 905_000)
    newer = fresh.complete_as_of
    fresh.claim("n1", 901_000)
    assert fresh.complete_as_of == newer


def test_two_clocks_drift(fresh):
    fresh.claim("n1", 900_000 + 500_000)
    assert fresh.complete_as_of == 1_000 + 500_000 - 500


def test_another_node_proves_nothing_without_an_anchor(fresh):
    fresh.claim("n2", 990_000)
    assert fresh.age(1_000, 5_000_000) is None


@pytest.mark.parametrize("gain, is_known", [(0, True), (1_000, True), (1_001, False), (HOUR, False), (-HOUR, True)])
def test_a_wall_clock_that_outruns_the_boot_clock_means_that_nothing_is_known(fresh, gain, is_known):
    """A virtual machine that was paused without its boot clock knowing."""
    fresh.claim("n1", 900_000)
    assert (fresh.age(1_100, 5_000_100 + gain) is not None) == is_known


def test_an_anchor_holds_for_ten_minutes(fresh):
    assert not fresh.needs_anchor(1_000 + 599_999)
    assert fresh.needs_anchor(1_000 + 600_000)
