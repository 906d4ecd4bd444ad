"""Japanese in the lexical leg: sentences of incidents, written without spaces."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.index import terms
from actors.index.guild import GuildIndex
from actors.index.passage import Passage, Selection, Source

PAGES = {
    "disk": "ディスク使用率が80%を超えた場合は、古いログを削除して空き容量を確保してください。",
    "pool": "接続プール枯渇のときは、PostgreSQLのmax_connectionsとアプリの接続数を確認する。",
    "restart": "再起動手順: 先に待機系へ切り替え、サーバーを停止してから起動します。",
    "cert": "証明書の有効期限が切れる前に更新し、ロードバランサに配布する。",
    "queue": "メッセージキューの滞留が増え続けるなら、コンシューマーの数を増やす。",
    "english": "Disk usage is above 80 %: delete old logs and free some space.",
}


def index_of(pages: Mapping[str, str]) -> GuildIndex:
    index = GuildIndex(4)
    for name, text in pages.items():
        source = Source(source_id=name, type="document", version=1, title="")
        passage = Passage(
            chunk_id=name, position=0, heading="", text=text, char_start=0, char_end=len(text)
        )
        index.replace(source, [passage])
    index.commit()
    return index


def counted(text: str) -> set[str]:
    return set(terms.analyzer().analyze(terms.expand(text)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("ディスクの使用率が高い", "disk"),
        ("ディスク容量が足りない", "disk"),
        ("DBの接続プールが枯渇した", "pool"),
        ("max_connections を超えた", "pool"),
        ("サーバの再起動はどうやるのか", "restart"),
        ("TLS証明書の期限切れ", "cert"),
        ("キューが滞留している", "queue"),
        ("disk space", "english"),
    ],
)
def test_a_japanese_question_finds_its_page(asked: str, expected: str) -> None:
    index = index_of(PAGES)

    findings = index.search(asked, None, selection=Selection(), limit=3)

    assert findings.found[0].source.source_id == expected


def test_words_are_found_in_the_middle_of_a_sentence() -> None:
    found = counted("本番環境で接続プール枯渇が発生した")

    assert {"接続", "プー", "ール", "枯渇", "本番", "環境", "発生"} <= found


def test_english_and_numbers_within_japanese_are_words_of_their_own() -> None:
    found = counted("PostgreSQLの使用率が80%を超えたためKubeletDownを確認")

    assert {"postgresql", "80", "kubelet", "使用", "用率", "確認"} <= found


def test_grammar_is_no_term() -> None:
    assert counted("この場合は確認して再起動する") == {"場合", "確認", "再起", "起動"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("サーバー", "サーバ"),
        ("ﾃﾞｨｽｸ使用率", "ディスク使用率"),
        ("ＣＰＵ使用率８０", "CPU使用率80"),
        ("カ\u3099イド", "ガイド"),
    ],
)
def test_spellings_of_one_word_are_one(one: str, other: str) -> None:
    assert counted(one) == counted(other)


def test_a_character_that_stands_alone_is_a_term() -> None:
    assert counted("鍵") == {"鍵"}
    assert counted("超えた") >= {"超"}


def test_chinese_and_korean_are_cut_into_pairs() -> None:
    assert counted("磁盘空间不足") == {"磁盘", "盘空", "空间", "间不", "不足"}
    assert counted("서버가 다운") == {"서버", "버가", "다운"}


def test_german_and_french_are_left_as_they_were() -> None:
    assert counted("Die Größe der Festplatte") == {"die", "gross", "der", "festplatt"}
    assert counted("Redémarrage du nœud") == {"redemarrag", "du", "noeud"}


def test_rarity_knows_the_same_terms_as_the_text() -> None:
    index = index_of(PAGES)

    rarity = index.rarity(index.terms("ディスク使用率が高い"))

    assert rarity["使用"] < rarity["高"]
    assert set(index.terms("ディスク使用率")) <= set(index.terms(PAGES["disk"]))


japanese = st.text(st.sampled_from("接続再起動率超のがをしたディスクー ab_C1。"), max_size=40)


@given(japanese, japanese, japanese)
def test_what_is_asked_stands_in_the_text_that_holds_it(
    before: str, asked: str, after: str
) -> None:
    text = f"{before}。{asked}。{after}"

    assert counted(asked) <= counted(text)


@given(st.text(max_size=60))
def test_any_text_can_be_counted(text: str) -> None:
    found = terms.analyzer().analyze(terms.expand(text))

    assert all(0 < len(term.encode()) <= 64 for term in found)
