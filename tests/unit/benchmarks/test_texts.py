"""Which texts are measured, and in what portions."""

from benchmarks.texts import Texts, parts


def test_no_text_is_given_twice_so_that_each_must_be_embedded() -> None:
    texts = Texts(["one", "two"])

    taken = [*texts.take(3), *texts.take(2)]

    assert len(set(taken)) == 5
    assert [text.partition(". ")[2] for text in taken] == ["one", "two", "one", "two", "one"]


def test_portions_keep_the_order_and_leave_nothing_out() -> None:
    assert [list(part) for part in parts("abcde", 2)] == [["a", "b"], ["c", "d"], ["e"]]
