"""The words of a config that name files, by HAProxy's configuration manual."""

import pytest

from haproxy_apply import named_files
from haproxy_apply.model import read


def paths(text: str) -> list[str]:
    """The files that a config names."""
    return [each.path for each in named_files.named(read(text))]


LINES = {
    "global\n lua-load /x.lua some words": ["/x.lua"],
    "global\n lua-load-per-thread x.lua": ["x.lua"],
    "global\n ssl-dh-param-file /dh.pem": ["/dh.pem"],
    "global\n h1-case-adjust-file /case": ["/case"],
    "global\n server-state-file /state\n pidfile /pid\n chroot /c": [],
    "ring r\n backing-file /ring": [],
    "http-errors e\n errorfile 503 /503.http": ["/503.http"],
    "frontend f\n errorfile 404 '/with blank.http'": ["/with blank.http"],
    "frontend f\n http-request return status 200 content-type a file /f": ["/f"],
    "frontend f\n http-request deny deny_status 400 lf-file /lf": ["/lf"],
    "frontend f\n http-error status 400 errorfile /e": ["/e"],
    "frontend f\n acl a src -i -f /one -f opt@/two": ["/one", "/two"],
    "frontend f\n http-request deny if { src -f /inline }": ["/inline"],
    "frontend f\n use_backend %[req.hdr(host),lower,map_dom(/h.map,d)]": ["/h.map"],
    'frontend f\n use_backend "%[path,map_beg_int(/p.map)]"': ["/p.map"],
    "frontend f\n http-request set-map(/s.map) %[src] 1": ["/s.map"],
    "frontend f\n http-request add-acl(/s.acl) %[src]": ["/s.acl"],
    "frontend f\n acl a path,map(virt@none) x": [],
    "frontend f\n http-request deny unless { var(x),jwt_verify(txn.a,/key.pem) 1 }": ["/key.pem"],
    "frontend f\n filter spoe engine e config /spoe.conf": ["/spoe.conf"],
    "frontend f\n bind :443 ssl crt /a.pem crt /dir ca-file @system-ca": ["/a.pem", "/dir"],
    "global\n crt-base /c\nfrontend f\n bind :443 ssl default-crt a.rsa default-crt /a.ecdsa crt b": [
        "/a.ecdsa", "/c/a.rsa", "/c/b",
    ],
    "frontend f\n bind :443 ssl ech /ech crt b": ["/ech", "b"],
    "acme a\n account-key /a.key\n eab-key-id /id\n eab-mac-key /mac": ["/a.key", "/id", "/mac"],
    "global\n stats-file /stats\n lua-prepend-path /lua/?.lua": [],
    "frontend f\n bind :443 ssl crt-list /l crl-file /crl tls-ticket-keys /k": ["/l", "/crl", "/k"],
    "global\n crt-base /c\n ca-base /ca\nlisten l\n bind :1 ssl crt a.pem ca-file ca.pem": [
        "/c/a.pem", "/ca/ca.pem",
    ],
    "global\n ca-base /ca\nbackend b\n server s 10.0.0.1:1 ssl ca-file x crt y": ["y", "/ca/x"],
    "crt-store s\n crt-base /s\n key-base /k\n load crt a key a.key ocsp o\nlisten l\n bind :1 ssl crt b": [
        "/s/a", "/k/a.key", "/s/o", "b",
    ],
}  # fmt: skip


@pytest.mark.fault("F213")
@pytest.mark.parametrize("text", LINES)
def test_what_a_line_names(text: str) -> None:
    """With the base of its word, in any quotes."""
    assert sorted(paths(text)) == sorted(LINES[text])


def test_relative_names_count_from_the_default_path() -> None:
    """Each as it is where the line stands."""
    lines = [
        "",
        "default-path config",
        "default-path origin /o",
        "default-path current",
    ]
    text = "".join(
        f"global\n {line}\n lua-load {number}\n" for number, line in enumerate(lines)
    )
    found = named_files.named(read(text))
    assert [each.bases.origin for each in found] == ["", "config", "/o", ""]


def test_a_list_of_certificates() -> None:
    """Their own options name files, too."""
    (within,) = named_files.named(
        read("global\n crt-base /c\n ca-base /ca\nlisten l\n bind :1 ssl crt-list /l")
    )
    text = "# no\na.pem [alpn h2 ca-file x] host\n\n/b.pem !no *\n@store/c\n"
    found = [(each.path, each.kind) for each in named_files.listed(text, within)]
    assert found == [
        ("/c/a.pem", "certificate"),
        ("/ca/x", "file"),
        ("/b.pem", "certificate"),
    ]


def test_a_default_certificate_has_files_beside_it() -> None:
    """As any other certificate has: a key, a response of OCSP."""
    lines = "listen l\n bind :1 ssl default-crt /a"
    (found,) = named_files.named(read(lines))
    assert found.kind == named_files.CERTIFICATE
