"""What cannot be undone is not done by a clock that was just set."""

from __future__ import annotations

from gateway.service.wallclock import WallClock

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0


class Clocks:
    def __init__(self) -> None:
        self.wall, self.steady = 50 * YEAR, 100.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def watch(self) -> WallClock:
        return WallClock(lambda: self.wall, steady=lambda: self.steady)


def test_a_clock_that_goes_on_is_believed_through_small_corrections() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.begin((clocks.wall - HOUR, DAY))
    for _ in range(400):
        clocks.pass_(DAY)
        clocks.wall += 5.0
        assert watch.is_believed


def test_after_a_jump_a_day_must_pass_that_no_clock_can_shorten() -> None:
    for jump in (5 * YEAR, -50 * YEAR, 2 * HOUR, -DAY):
        clocks = Clocks()
        watch = clocks.watch()
        clocks.wall += jump
        assert not watch.is_believed
        clocks.pass_(DAY - 1)
        assert not watch.is_believed
        clocks.pass_(1)
        assert watch.is_believed


def test_a_jump_back_is_a_jump() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall += YEAR
    assert not watch.is_believed
    clocks.pass_(DAY)
    clocks.wall -= YEAR
    assert not watch.is_believed


def test_a_start_far_from_the_last_time_may_be_a_wrong_clock() -> None:
    for far in (YEAR, 2 * DAY, -2 * HOUR, -40 * YEAR):
        clocks = Clocks()
        watch = clocks.watch()
        watch.begin((clocks.wall - far, DAY))
        assert not watch.is_believed
        clocks.pass_(DAY)
        assert watch.is_believed


def test_a_new_store_and_an_old_one_after_a_pause_are_believed() -> None:
    for last in (None, (50 * YEAR, DAY), (50 * YEAR - 0.9 * DAY, DAY)):
        watch = Clocks().watch()
        watch.begin(last)
        assert watch.is_believed


def test_a_machine_that_is_off_at_night_and_at_weekends_is_believed_on_its_third_day() -> None:
    clocks = Clocks()
    noted = (clocks.wall - 2.5 * DAY, DAY)
    believed = []
    for _ in range(4):
        clocks.steady = 5.0  # it was switched on
        watch = clocks.watch()
        watch.begin(noted)
        clocks.pass_(9 * HOUR)
        believed.append(watch.is_believed)
        noted = (clocks.wall, watch.calm)
        clocks.wall += 15 * HOUR
    assert believed == [False, False, True, True]


def test_a_jump_while_it_was_off_for_the_night_starts_the_day_anew() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall += YEAR
    assert not watch.is_believed
    clocks.pass_(DAY - 1)
    noted = (clocks.wall, watch.calm)
    clocks.wall -= YEAR
    watch = clocks.watch()
    watch.begin(noted)
    clocks.pass_(DAY - 1)
    assert not watch.is_believed and watch.take_jump()
    clocks.pass_(1)
    assert watch.is_believed


def test_each_jump_is_told_once() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.begin((clocks.wall - YEAR, DAY))
    assert watch.take_jump() and not watch.take_jump()
    clocks.wall -= HOUR
    assert watch.take_jump() and not watch.take_jump()
    clocks.pass_(2 * DAY)
    assert not watch.take_jump()
