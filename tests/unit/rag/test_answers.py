"""Quotes are whole sentences, also where words have no spaces between them."""

from actors.rag import answers
from actors.rag.messages import Hit


def hit(text: str) -> Hit:
    return Hit(
        type="document",
        id="doc_1",
        external_id=None,
        version=1,
        chunk_id="chk_1",
        kind="runbook",
        title="",
        heading="",
        text=text,
        score=1.0,
        legs={},
        char_start=10,
        char_end=10 + len(text),
    )


def test_a_japanese_sentence_is_quoted_alone() -> None:
    text = "接続プールが枯渇したら再起動する。ログは一週間で消す。"

    found = answers.quotes([hit(text)], lambda quote: float("再起動" in quote), limit=5)

    assert [(quote.text, quote.start) for quote in found] == [
        ("接続プールが枯渇したら再起動する。", 10),
        ("ログは一週間で消す。", 27),
    ]


def test_what_is_too_short_to_say_anything_is_no_quote() -> None:
    found = answers.quotes([hit("Restart it. 再起動。 Grow the volume.")], lambda _: 1.0, limit=5)

    assert [quote.text for quote in found] == ["Grow the volume."]
