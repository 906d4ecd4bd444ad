"""Ways to an address inside, as attackers write them: hosts, names, redirects, second looks."""

# ruff: noqa: S104  # 0.0.0.0 is a host to be refused here; nobody binds to it

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1",
    "2130706433", "0x7f000001", "017700000001", "0", "0.0.0.0", "127.0.0.1.", "127.0.0.2",
    "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain",
    "ip6-localhost", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[::ffff:0:127.0.0.1]", "[fe80::1]", "[fe80::1%lo]", "[fe80::1%25lo]", "[::1%lo]",
    "example.com@127.0.0.1", "user:secret@127.0.0.1", "127.0.0.1@127.0.0.1",
    "example.com:80@127.0.0.1", "example.com%40127.0.0.1", "127.0.0.1%2f@example.com",
    "example.com\\@127.0.0.1", "127.0.0.1\\.example.com", "127.0.0.1%00.example.com",
    "127.0.0.1\x00.example.com", "127.0.0.1%0d%0a", "127.0.0.1\r\n", "127.0.0.1\t", " 127.0.0.1",
    "127.0.0.1 ", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1",
    "loc\u0430lhost", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "\u2488\u2488",
    "l\u00adocalhost", "127.0.0.1#example.com", "127.0.0.1?@example.com", "127.0.0.1;example.com",
]  # fmt: skip
"""Loopback, or something that a careless reader takes for it. A port is put behind each."""

NAMES = {
    "inside.example.com": ["127.0.0.1"],
    "six.example.com": ["::1"],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "nat64.example.com": ["64:ff9b::7f00:1"],
    "mixed.example.com": ["93.184.216.34", "127.0.0.1"],
    "last.example.com": ["127.0.0.1", "93.184.216.34"],
    "zero.example.com": ["0.0.0.0"],
    "scoped.example.com": ["fe80::1%lo"],
    "xn--lcalhost-n6a.example.com": ["127.0.0.1"],
    "nothing.example.com": [],
}
"""What a hostile name server says: each leads inside with one of its addresses at least."""

INSIDE = [
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "198.18.0.1",
    "192.0.2.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[fd00:ec2::254]",
    "[fc00::1]", "[fe80::a9fe:a9fe]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[2001::1]",
    "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::ffff:169.254.169.254]", "[100::1]",
    "169.254.43518", "0xa9fea9fe", "2852039166", "metadata", "metadata.google.internal",
    "instance-data", "0251.0376.0251.0376",
]  # fmt: skip
"""Networks of one's own, and where clouds keep their secrets."""

SCHEMES = ["ftp", "file", "gopher", "ws", "wss", "unix", "dict", "data", "ldap", "jar", "sftp"]

REDIRECTS = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "//127.0.0.1:{port}/", "/inside",
    "http://[::1]:{port}/", "http://2130706433:{port}/", "http://inside.example.com:{port}/",
    "http://user@127.0.0.1:{port}/", "http://169.254.169.254:{port}/", "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_INFO", "http:127.0.0.1:{port}", "http:\\\\127.0.0.1:{port}/",
    "HTTP://0x7f.1:{port}/", "http://127.0.0.1:{port}/ x",
]  # fmt: skip
"""What a server that may be called says in ``Location``."""

REBINDINGS: dict[str, list[list[str]]] = {
    "at once": [["127.0.0.1"]],
    "to IPv6": [["::1"]],
    "to a mapped address": [["::ffff:127.0.0.1"]],
    "to any address": [["0.0.0.0"]],
    "to one more address": [["{good}", "127.0.0.1"]],
    "to one more address in front": [["127.0.0.1", "{good}"]],
    "by turns": [["127.0.0.1"], ["{good}", "::1"], ["127.0.0.1", "{good}"]],
    "to nothing and then inward": [[], ["127.0.0.1"]],
    "to where clouds keep secrets": [["169.254.169.254"]],
    "to a private network": [["10.0.0.1"]],
}
"""What a name leads to at the second look and those after it, by how it turns; round and round."""
