from actors.runtime.effort import Effort


def test_the_share_is_of_the_time_since_it_was_last_asked() -> None:
    times, worked = iter((0.0, 10.0, 12.0, 14.0)), iter((5.0, 6.0, 6.0))
    effort = Effort(worked=lambda: next(worked), now=lambda: next(times))

    shares = [effort.share() for _ in range(3)]

    assert shares == [0.0, 0.5, 0.0]


def test_a_share_is_never_more_than_all_of_the_time() -> None:
    times, worked = iter((0.0, 1.0, 2.0)), iter((0.0, 1.1))
    effort = Effort(worked=lambda: next(worked), now=lambda: next(times))
    effort.share()

    share = effort.share()

    assert share == 1.0
