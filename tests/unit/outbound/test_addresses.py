"""Which URLs and addresses are called: what looks like one of ours, or could be read so, is not."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.outbound.addresses import AddressRefused, Policy, Target
from actors.settings import OutboundSettings

ANY_PORT = OutboundSettings(allow_http=True, ports=())


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("HTTPS://Example.COM/Hook", Target("https", "example.com", 443, "/Hook")),
        ("https://example.com:443/", Target("https", "example.com", 443, "/")),
        ("https://example.com?a=b", Target("https", "example.com", 443, "/?a=b")),
        ("https://a-b.xn--p1ai/x%2F?q=@", Target("https", "a-b.xn--p1ai", 443, "/x%2F?q=@")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_a_plain_public_url_is_read_into_its_parts(url: str, target: Target) -> None:
    assert Policy(OutboundSettings()).target(url) == target


def test_the_host_header_names_what_is_not_the_default() -> None:
    policy = Policy(ANY_PORT)

    named = [
        policy.target(url).authority
        for url in (
            "https://example.com:443",
            "https://example.com:8443",
            "http://example.com:80",
            "https://[2606:4700::1111]:8443",
        )
    ]

    assert named == ["example.com", "example.com:8443", "example.com", "[2606:4700::1111]:8443"]


# By each of these somebody has reached a service that was meant for nobody outside.
REFUSED = [
    # loopback, in every notation a resolver may understand
    "http://127.0.0.1/",
    "http://127.0.0.1:8265/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0x7f.1/",
    "http://127.0.0.0x1/",
    "http://00127.0.0.1/",
    "http://127.0.0.1./",
    "http://localhost/",
    "http://localhost./",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    # loopback inside of another address
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    # networks of one's own
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[ff0e::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    # another host than the one that is seen
    "http://example.com@127.0.0.1/",
    "http://user:secret@example.com/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\.evil.com/",
    "http://example.com#@evil.com/",
    "http://example.com/#fragment",
    "http:///example.com/",
    "http:/example.com/",
    "http:example.com",
    "//example.com/",
    "http://exam ple.com/",
    "http://example.com /",
    " http://example.com/",
    "http://example.com/\r\nHost: evil.com",
    "http://example.com/\n",
    "http://example.com/a\tb",
    "http://example.com/\x00",
    "http://exa\u00admple.com/",
    # letters and digits that are not what they look like
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u2460\u2461\u2466.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://\u24d4xample.com/",
    "http://ex\u0430mple.com/",
    "http://e\u017fample.com/",
    "http://e\u212aample.com/",
    "http://example.com/\u00fc",
    # malformed hosts and ports
    "http://",
    "http://.example.com/",
    "http://example..com/",
    "http://example.com./",
    "http://-example.com/",
    "http://example-.com/",
    "http://exam_ple.com/",
    "http://example.c0m.1/",
    "http://%65xample.com/",
    "http://example.com%2f@evil.com/",
    "http://256.1.1.1/",
    "http://1.2.3.4.5/",
    "http://[::1/",
    "http://[1.2.3.4]/",
    "http://example.com:/",
    "http://example.com:0/",
    "http://example.com:080/",
    "http://example.com:65536/",
    "http://example.com:99999/",
    "http://example.com:-1/",
    "http://example.com:8o/",
    "http://example.com/%zz",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 200 + "com/",
    "http://example.com/" + "a" * 2048,
    # other ways to fetch
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:///var/run/docker.sock",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_leads_inside_or_deceives_is_refused_whatever_its_port(url: str) -> None:
    with pytest.raises(AddressRefused):
        Policy(ANY_PORT).target(url)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://example.com:80/", "https://example.com:22/",
     "https://example.com:6379/"],
)  # fmt: skip
def test_unless_settings_say_otherwise_it_is_https_on_its_own_port(url: str) -> None:
    with pytest.raises(AddressRefused):
        Policy(OutboundSettings()).target(url)


@pytest.mark.parametrize("url", REFUSED)
def test_a_refusal_repeats_nothing_of_the_url(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        Policy(ANY_PORT).target(url)

    assert str(refused.value) in {
        "is no plain http or https URL",
        "does not lead to a public address",
        "names no host as the domain name system has them",
        "names a malformed address",
        "names a port that we do not call",
        "is longer than 2048 characters",
    }


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::1", "93.184.216.34"],
        ["fe80::1%eth0"],
        ["::ffff:93.184.216.34"],
    ],
)
def test_a_name_is_spoilt_by_one_address_that_is_not_public(addresses: list[str]) -> None:
    with pytest.raises(AddressRefused):
        Policy(OutboundSettings()).check("example.com", addresses)


def test_a_name_that_leads_to_public_addresses_alone_is_called() -> None:
    Policy(OutboundSettings()).check("example.com", ["93.184.216.34", "2606:4700::1111"])


def test_networks_and_hosts_of_the_settings_are_called_all_the_same() -> None:
    policy = Policy(
        OutboundSettings(
            allowed_networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
            allowed_hosts=("receiver",),
        )
    )

    policy.target("https://10.1.2.3/")
    policy.target("https://[fd00::1]/")
    policy.target("https://receiver/hook")
    policy.check("on-premises.example.com", ["10.1.2.3", "fd00::1"])
    policy.check("receiver", ["172.18.0.5"])
    for url in ("https://10.2.0.1/", "https://[::ffff:10.1.2.3]/", "https://other/"):
        with pytest.raises(AddressRefused):
            policy.target(url)
    with pytest.raises(AddressRefused):
        policy.check("example.com", ["172.18.0.5"])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    policy = Policy(ANY_PORT)

    for url in (text, f"http://{text}", f"http://example.com{text}", f"http://{text}/"):
        try:
            target = policy.target(url)
        except AddressRefused:
            continue
        assert target.host.isascii()
        assert "@" not in target.host
        assert target.path.startswith("/")
        assert target.path.isprintable()
        assert " " not in target.path


@given(st.integers(0, 2**32 - 1))
def test_an_address_in_an_old_notation_is_never_called(number: int) -> None:
    for host in (str(number), hex(number), f"0{number:o}", f"{number >> 24}.{number & 0xFFFFFF}"):
        with pytest.raises(AddressRefused):
            Policy(ANY_PORT).target(f"http://{host}/")
