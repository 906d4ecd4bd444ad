from hypothesis import given
from hypothesis import strategies as st

from actors.router.places import Place, Places
from actors.runtime.message import Position
from actors.storage.frontier import Frontier


def at(seq: int) -> Frontier:
    return Frontier.at(Position(10, seq))


class Reader:
    def __init__(self, seq: int) -> None:
        self.place = Place(at(seq))
        self.hungry = True
        self.asked = 0

    def wants_more(self) -> bool:
        self.asked += 1
        return self.hungry


def standing(*readers: Reader, head: int) -> Places:
    places = Places(at(0))
    for reader in readers:
        places.put(reader)
    places.begin(at(head))
    return places


def test_those_who_have_read_equally_far_are_read_for_together() -> None:
    one, two, behind, also_behind = Reader(5), Reader(5), Reader(2), Reader(2)

    places = standing(one, two, behind, also_behind, head=5)

    assert one.place is two.place is places.head
    assert behind.place is also_behind.place
    assert places.to_read(8) == [places.head, behind.place]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 3))
def test_however_many_stand_equally_far_at_the_start_they_share_one_place(
    stands: list[int], head: int
) -> None:
    readers = [Reader(seq) for seq in stands]

    places = standing(*readers, head=head)

    assert len({reader.place for reader in readers}) == len(set(stands))
    assert {reader.place.frontier.upto.seq for reader in readers} == set(stands)
    assert set(places.to_read(8)) == {places.head, *(reader.place for reader in readers)}


def test_thousands_who_want_nothing_are_not_looked_at() -> None:
    readers = [Reader(5) for _ in range(1000)]
    places = standing(*readers, head=5)
    asked = sum(reader.asked for reader in readers)

    for seq in range(6, 20):
        (place,) = places.to_read(8)
        places.move(place, at(seq), ())

    assert sum(reader.asked for reader in readers) == asked
    assert {reader.place.frontier for reader in readers} == {at(19)}


def test_whoever_is_full_stands_alone_where_it_stopped_until_there_is_room() -> None:
    full, other = Reader(5), Reader(5)
    places = standing(full, other, head=5)

    full.hungry = False
    places.move(places.head, at(6), {full})
    places.move(places.head, at(7), ())
    waiting = places.to_read(8)
    full.hungry = True
    again = places.to_read(8)
    places.move(full.place, at(7), {full})

    assert (waiting, len(again)) == ([places.head], 2)
    assert full.place is other.place is places.head


def test_a_new_one_joins_the_others_when_it_has_caught_up() -> None:
    places = standing(Reader(5), head=5)
    new = Reader(1)
    places.put(new)

    places.move(new.place, at(4), {new})
    apart = new.place is not places.head
    places.move(new.place, at(5), {new})

    assert apart
    assert new.place is places.head


def test_those_furthest_behind_are_read_first_and_never_too_many_at_once() -> None:
    readers = [Reader(seq) for seq in (4, 2, 3, 1)]
    places = standing(*readers, head=9)

    read = places.to_read(3)

    assert [place.frontier for place in read] == [at(9), at(1), at(2)]


def test_one_who_leaves_takes_its_place_away() -> None:
    leaving = Reader(1)
    places = standing(leaving, head=5)

    places.remove(leaving)

    assert places.to_read(8) == [places.head]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_nobody_is_ever_moved_past_what_was_not_read_for_them(
    turns: list[tuple[int, bool]],
) -> None:
    readers = [Reader(seq) for seq in range(5)]
    places = standing(*readers, head=4)
    seen = {reader: reader.place.frontier.upto.seq for reader in readers}

    for number, hungry in turns:
        readers[number].hungry = hungry
        for place in places.to_read(3):
            here = [reader for reader in readers if reader.place is place]
            begin = place.frontier.upto.seq
            assert all(seen[reader] == begin for reader in here)
            for reader in here:
                seen[reader] = begin + 1
            places.move(place, at(begin + 1), here)

    assert all(seen[reader] == reader.place.frontier.upto.seq for reader in readers)
