import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.key_ring import BadKeyRing, KeyRing
from actors.settings import GuildSettings, LogSettings
from actors.storage.vault import Lost, Vault

KEY = AESGCM(b"k" * 32)
WHOSE = ("guild_1", "digest")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def vault(clock: Clock, *, secret: str = "s" * 32, **numbers: float) -> Vault:
    return Vault(KeyRing.parse(secret), LogSettings.model_validate(numbers), clock)


def test_a_key_is_remembered_for_its_time_and_no_longer() -> None:
    clock = Clock()
    keys = vault(clock, key_cache_s=5)
    keys.remember(WHOSE, KEY, as_of=clock.now_s)
    clock.now_s += 4.9
    within = keys.recall(WHOSE)
    clock.now_s += 0.1

    assert within == (KEY,)
    assert keys.recall(WHOSE) is None


def test_its_time_begins_when_it_was_read_and_not_when_it_arrived() -> None:
    clock = Clock()
    keys = vault(clock, key_cache_s=5)

    keys.remember(WHOSE, KEY, as_of=clock.now_s - 5)

    assert keys.recall(WHOSE) is None


def test_that_a_key_was_destroyed_is_told_from_not_knowing() -> None:
    keys = vault(Clock())
    keys.remember(WHOSE, None, as_of=100.0)

    assert keys.recall(WHOSE) == (None,)
    keys.forget(WHOSE)
    assert keys.recall(WHOSE) is None
    keys.forget(WHOSE)


def test_the_keys_used_last_are_kept_and_no_more_than_fit() -> None:
    keys = vault(Clock(), key_cache_entries=2)
    for name in ("a", "b"):
        keys.remember(("guild_1", name), KEY, as_of=100.0)
        keys.remember_digest_key(name, b"key")

    keys.recall(("guild_1", "a"))
    keys.remember(("guild_1", "c"), KEY, as_of=100.0)
    keys.remember_digest_key("c", b"key")

    assert [keys.recall(("guild_1", one)) is not None for one in "abc"] == [True, False, True]
    assert [keys.digest_key(one) is not None for one in "abc"] == [False, True, True]


def test_a_stored_key_that_cannot_be_used_is_lost_and_says_why() -> None:
    stored = vault(Clock()).wrap(b"k" * 32, *WHOSE)

    elsewhere = vault(Clock(), secret="t" * 32).opened(stored, *WHOSE)
    moved = vault(Clock()).opened(stored, "guild_2", "digest")

    assert isinstance(vault(Clock()).opened(stored, *WHOSE), AESGCM)
    assert isinstance(elsewhere, Lost)
    assert elsewhere.reason == f"SECRET_KEY holds no key {stored.kid}"
    assert isinstance(moved, Lost)
    assert moved.reason.startswith("the stored key is damaged")


def test_without_a_secret_nothing_is_sealed() -> None:
    for empty in (Vault.empty(), Vault.of(GuildSettings())):
        with pytest.raises(BadKeyRing, match="SECRET_KEY is not set"):
            empty.wrap(b"k" * 32, *WHOSE)
