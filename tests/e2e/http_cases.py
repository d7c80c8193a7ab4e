# SPDX-License-Identifier: MIT
"""Raw HTTP requests with the status that a strict server gives them: the one list behind the
parser's unit test, its fuzz corpus and the tests over sockets.

    python3 tests/e2e/http_cases.py tests/fuzz/corpus/fuzz_http   # writes NNN-name.http files

Status 200: the request is understood. Other: refused, and nothing behind it may run.
The route is POST /echo with a body cap of 1 MiB, or GET /echo.
"""
import pathlib
import sys

H = b"Host: localhost\r\n"
CAP = 1 << 20


def get(target=b"/echo", version=b"HTTP/1.1", headers=H, method=b"GET"):
    return method + b" " + target + b" " + version + b"\r\n" + headers + b"\r\n"


def post(headers, body=b"hello"):
    return b"POST /echo HTTP/1.1\r\n" + H + headers + b"\r\n" + body


def chunked(body, te=b"Transfer-Encoding: chunked\r\n"):
    return post(te, body)


WHOLE = b"5\r\nhello\r\n0\r\n\r\n"

GOOD = {
    "get": get(),
    "get-query": get(b"/echo?q=a+b%20c&x=[1]{2}|\"3\""),
    "get-query-newline": get(b"/echo?q=a%0Ab"),
    "post": post(b"Content-Length: 5\r\n"),
    "post-empty": post(b"Content-Length: 0\r\n", b""),
    "post-no-length": post(b"", b""),
    "post-length-zeros": post(b"Content-Length: 0005\r\n"),
    "chunked": chunked(WHOLE),
    "chunked-upper-case": chunked(b"A\r\n0123456789\r\n0\r\n\r\n", b"TRANSFER-ENCODING: Chunked\r\n"),
    "chunked-zeros": chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
    "chunked-empty": chunked(b"0\r\n\r\n"),
    "chunked-two": chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    "chunked-extension": chunked(b"5;a=\"b c\";d\r\nhello\r\n0;e\r\n\r\n"),
    "chunked-trailer": chunked(b"5\r\nhello\r\n0\r\nX-Test: smuggled\r\nContent-Length: 9\r\n\r\n"),
    "crlf-before": b"\r\n" + get(),
    "absolute-form": get(b"http://localhost/echo?q=1"),
    "absolute-form-port": get(b"http://localhost:80/echo", headers=b"Host: localhost:80\r\n"),
    "host-port": get(headers=b"Host: localhost:6333\r\n"),
    "host-ipv4": get(headers=b"Host: 127.0.0.1:80\r\n"),
    "host-ipv6": get(headers=b"Host: [::1]:80\r\n"),
    "http10": get(version=b"HTTP/1.0", headers=b""),
    "http10-keep-alive": get(version=b"HTTP/1.0", headers=b"Connection: Keep-Alive\r\n"),
    "header-space": get(headers=b"hOsT:\t localhost \t\r\nX-Test:\r\nX-Other:a: b\r\n"),
    "header-high-bytes": get(headers=H + b"X-Test: \xc3\xa4\r\n"),
    "expect": post(b"Content-Length: 5\r\nExpect: 100-Continue\r\n"),
    "encoding-identity": post(b"Content-Length: 5\r\nContent-Encoding: identity\r\n"),
    "te-trailers": get(headers=H + b"TE: trailers\r\nUpgrade: h2c\r\n"),
    "headers-64": get(headers=H + b"".join(b"X-%d: 1\r\n" % i for i in range(63))),
    "options-star": get(b"*", method=b"OPTIONS"),
    "head": get(method=b"HEAD"),
}

_BAD = [
    # Host
    (400, "no-host", get(headers=b"")),
    (400, "two-hosts", get(headers=H + b"Host: evil\r\n")),
    (400, "two-hosts-equal", get(headers=H + H)),
    (400, "host-empty", get(headers=b"Host:\r\n")),
    (400, "host-space", get(headers=b"Host: localhost evil\r\n")),
    (400, "host-list", get(headers=b"Host: localhost,evil\r\n")),
    (400, "host-user", get(headers=b"Host: a@localhost\r\n")),
    (400, "host-port", get(headers=b"Host: localhost:99999\r\n")),
    (400, "host-port-word", get(headers=b"Host: localhost:a\r\n")),
    (400, "host-bracket", get(headers=b"Host: [::1\r\n")),
    (400, "http10-bad-host", get(version=b"HTTP/1.0", headers=b"Host: a b\r\n")),
    # which framing: CL.TE, TE.CL, TE.TE
    (400, "cl-te", post(b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", WHOLE)),
    (400, "te-cl", post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", WHOLE)),
    (400, "te-gzip-chunked-cl",
     post(b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n")),
    (501, "te-gzip-chunked", chunked(WHOLE, b"Transfer-Encoding: gzip, chunked\r\n")),
    (501, "te-chunked-gzip", chunked(WHOLE, b"Transfer-Encoding: chunked, gzip\r\n")),
    (501, "te-chunked-chunked", chunked(WHOLE, b"Transfer-Encoding: chunked, chunked\r\n")),
    (501, "te-xchunked", chunked(WHOLE, b"Transfer-Encoding: xchunked\r\n")),
    (501, "te-chunkedx", chunked(WHOLE, b"Transfer-Encoding: chunked;q=1\r\n")),
    (501, "te-identity", chunked(WHOLE, b"Transfer-Encoding: identity\r\n")),
    (501, "te-quoted", chunked(WHOLE, b"Transfer-Encoding: \"chunked\"\r\n")),
    (501, "te-comma", chunked(WHOLE, b"Transfer-Encoding: ,chunked\r\n")),
    (501, "te-empty", chunked(WHOLE, b"Transfer-Encoding:\r\n")),
    (400, "te-twice", chunked(WHOLE, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    (400, "te-twice-mixed",
     chunked(WHOLE, b"Transfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n")),
    (400, "te-space-before-colon", chunked(WHOLE, b"Transfer-Encoding : chunked\r\n")),
    (400, "te-tab-before-colon", chunked(WHOLE, b"Transfer-Encoding\t: chunked\r\n")),
    (400, "te-folded", chunked(WHOLE, b"Transfer-Encoding:\r\n chunked\r\n")),
    (400, "te-vertical-tab", chunked(WHOLE, b"Transfer-Encoding: \x0bchunked\r\n")),
    (400, "te-cr-inside", chunked(WHOLE, b"Transfer-Encoding: chunked\rX: y\r\n")),
    (400, "te-leading-space", post(b" Transfer-Encoding: chunked\r\n", WHOLE)),
    (400, "te-http10",
     b"POST /echo HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + WHOLE),
    # Content-Length
    (400, "cl-twice-equal", post(b"Content-Length: 5\r\nContent-Length: 5\r\n")),
    (400, "cl-twice-different", post(b"Content-Length: 5\r\nContent-Length: 0\r\n")),
    (400, "cl-list", post(b"Content-Length: 5, 5\r\n")),
    (400, "cl-plus", post(b"Content-Length: +5\r\n")),
    (400, "cl-minus", post(b"Content-Length: -5\r\n")),
    (400, "cl-hex", post(b"Content-Length: 0x5\r\n")),
    (400, "cl-letter", post(b"Content-Length: 5a\r\n")),
    (400, "cl-space-inside", post(b"Content-Length: 5 5\r\n")),
    (400, "cl-decimal", post(b"Content-Length: 5.0\r\n")),
    (400, "cl-empty", post(b"Content-Length:\r\n")),
    (400, "cl-space-before-colon", post(b"Content-Length : 5\r\n")),
    (413, "cl-over-cap", post(b"Content-Length: %d\r\n" % (CAP + 1))),
    (413, "cl-2-64", post(b"Content-Length: 18446744073709551616\r\n")),
    (413, "cl-huge", post(b"Content-Length: " + b"9" * 400 + b"\r\n")),
    # chunks
    (400, "chunk-hex-prefix", chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-plus", chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-minus", chunked(b"5\r\nhello\r\n-0\r\n\r\n")),
    (400, "chunk-space-before", chunked(b" 5\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-space-behind", chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-empty-size", chunked(b"\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-only-extension", chunked(b";a=b\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-underscore", chunked(b"0_5\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-too-long-data", chunked(b"3\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-too-short-data", chunked(b"6\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-bare-lf-size", chunked(b"5\nhello\r\n0\r\n\r\n")),
    (400, "chunk-bare-lf-data", chunked(b"5\r\nhello\n0\r\n\r\n")),
    (400, "chunk-bare-lf-end", chunked(b"5\r\nhello\r\n0\r\n\n")),
    (400, "chunk-bare-cr-extension", chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-lf-in-extension", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-nul", chunked(b"5\0\r\nhello\r\n0\r\n\r\n")),
    (413, "chunk-over-cap", chunked(b"100001\r\nhello")),
    (413, "chunk-sum-over-cap", chunked(b"5\r\nhello\r\nffffc\r\nhello")),
    (413, "chunk-ffff", chunked(b"ffffffffffffffff\r\nhello")),
    (413, "chunk-overflow", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    (400, "chunk-endless-size", chunked(b"0" * 300)),
    (400, "chunk-endless-extension", chunked(b"5;" + b"a" * 300)),
    (400, "chunks-of-extensions", chunked((b"1;" + b"e" * 200 + b"\r\nx\r\n") * 100)),
    (400, "trailer-bad-name", chunked(b"5\r\nhello\r\n0\r\nX Y: z\r\n\r\n")),
    (400, "trailer-folded", chunked(b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n")),
    (400, "trailer-request", chunked(b"5\r\nhello\r\n0\r\nGET /echo HTTP/1.1\r\n\r\n")),
    (431, "trailers-65", chunked(b"0\r\n" + b"X: y\r\n" * 65 + b"\r\n")),
    (431, "trailer-long", chunked(b"0\r\nX: " + b"y" * 17000)),
    # lines
    (400, "bare-lf-request", b"GET /echo HTTP/1.1\n" + H + b"\r\n"),
    (400, "bare-lf-header", get(headers=b"Host: localhost\n")),
    (400, "bare-lf-end", b"GET /echo HTTP/1.1\r\n" + H + b"\n"),
    (400, "bare-cr-header", get(headers=H + b"X-Test: a\rb\r\n")),
    (400, "bare-cr-request", b"GET /echo\r HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "cr-cr-lf", get(headers=b"Host: localhost\r\r\n")),
    (400, "two-crlf-before", b"\r\n\r\n" + get()),
    (400, "lf-before", b"\n" + get()),
    (400, "obs-fold", get(headers=H + b"X-Test: a\r\n b\r\n")),
    (400, "obs-fold-tab", get(headers=H + b"X-Test: a\r\n\tb\r\n")),
    (400, "fold-first", b"GET /echo HTTP/1.1\r\n " + H + b"\r\n"),
    (400, "nul-value", get(headers=H + b"X-Test: a\0b\r\n")),
    (400, "nul-name", get(headers=H + b"X-\0: a\r\n")),
    (400, "control-value", get(headers=H + b"X-Test: a\x01b\r\n")),
    (400, "delete-value", get(headers=H + b"X-Test: a\x7fb\r\n")),
    (400, "empty-name", get(headers=H + b": a\r\n")),
    (400, "no-colon", get(headers=H + b"X-Test\r\n")),
    (400, "name-bracket", get(headers=H + b"X(y): a\r\n")),
    (400, "name-high-byte", get(headers=H + b"X\xc3\xa4: a\r\n")),
    (400, "name-space", get(headers=H + b"X Y: a\r\n")),
    (414, "line-long", get(b"/" + b"a" * 8300)),
    (414, "line-endless", b"G" * 8300),
    (431, "header-long", get(headers=H + b"X-Test: " + b"a" * 16400 + b"\r\n")),
    (431, "headers-long", get(headers=H + (b"X-Test: " + b"a" * 990 + b"\r\n") * 17)),
    (431, "headers-65", get(headers=H + b"".join(b"X-%d: 1\r\n" % i for i in range(64)))),
    (431, "headers-2000", get(headers=H + b"a:\r\n" * 2000)),
    # request line
    (400, "http09", b"GET /echo\r\n\r\n"),
    (400, "no-target", b"GET HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "double-space", b"GET  /echo HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "double-space-version", b"GET /echo  HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "space-behind", b"GET /echo HTTP/1.1 \r\n" + H + b"\r\n"),
    (400, "space-before", b" GET /echo HTTP/1.1\r\n" + H + b"\r\n"),
    (400, "tab-between", b"GET\t/echo\tHTTP/1.1\r\n" + H + b"\r\n"),
    (400, "space-in-path", get(b"/echo x")),
    (400, "version-lower", get(version=b"http/1.1")),
    (400, "version-word", get(version=b"HTTP/x.1")),
    (400, "version-long", get(version=b"HTTP/1.10")),
    (400, "version-short", get(version=b"HTTP/1")),
    (505, "version-1-2", get(version=b"HTTP/1.2")),
    (505, "version-0-9", get(version=b"HTTP/0.9")),
    (505, "version-2-0", get(version=b"HTTP/2.0")),
    (505, "http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (400, "tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (501, "method-lower", get(method=b"get")),
    (501, "method-trace", get(method=b"TRACE")),
    (501, "method-connect", get(b"localhost:80", method=b"CONNECT")),
    (501, "method-unknown", get(method=b"BREW")),
    (400, "method-bad-byte", get(method=b"G(T")),
    # target
    (400, "target-nul-escape", get(b"/echo%00")),
    (400, "target-control-escape", get(b"/echo%0d%0aX:y")),
    (400, "target-bad-utf8", get(b"/echo%ff")),
    (400, "target-overlong", get(b"/%c0%af")),
    (400, "target-surrogate", get(b"/%ed%a0%80")),
    (400, "target-cut-escape", get(b"/echo%2")),
    (400, "target-bad-escape", get(b"/echo%zz")),
    (400, "target-raw-high", get(b"/\xc3\xa4")),
    (400, "target-raw-nul", get(b"/echo\0")),
    (400, "target-dots", get(b"/a/../echo")),
    (400, "target-dot", get(b"/./echo")),
    (400, "target-dots-encoded", get(b"/a/%2e%2E/echo")),
    (400, "target-dots-slash-encoded", get(b"/a%2f..%2fecho")),
    (400, "target-double-slash", get(b"//echo")),
    (400, "target-backslash", get(b"/a\\echo")),
    (400, "target-fragment", get(b"/echo#x")),
    (400, "target-no-slash", get(b"echo")),
    (400, "target-star-get", get(b"*")),
    (400, "target-other-host", get(b"http://evil/echo")),
    (400, "target-other-port", get(b"http://localhost:1/echo")),
    (400, "target-https", get(b"https://localhost/echo")),
    (400, "target-user", get(b"http://a@localhost/echo")),
    (400, "target-absolute-no-host", get(b"http://localhost/echo", b"HTTP/1.0", b"")),
    (400, "query-nul-escape", get(b"/echo?q=%00")),
    (400, "query-bad-utf8", get(b"/echo?q=%ff")),
    (400, "query-bad-escape", get(b"/echo?q=%")),
    (400, "query-raw-high", get(b"/echo?q=\xff")),
    # bodies where there are none, and what we do not do
    (400, "head-body", get(headers=H + b"Content-Length: 5\r\n", method=b"HEAD") + b"hello"),
    (400, "get-body", get(headers=H + b"Content-Length: 5\r\n") + b"hello"),
    (400, "get-chunked", get(headers=H + b"Transfer-Encoding: chunked\r\n") + WHOLE),
    (400, "delete-body", get(headers=H + b"Content-Length: 5\r\n", method=b"DELETE") + b"hello"),
    (400, "options-body", get(headers=H + b"Content-Length: 5\r\n", method=b"OPTIONS") + b"hello"),
    (417, "expect-other", post(b"Content-Length: 5\r\nExpect: 200-ok\r\n")),
    (417, "expect-twice",
     post(b"Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n")),
    (413, "expect-too-large", post(b"Content-Length: 2000000\r\nExpect: 100-continue\r\n", b"")),
    (415, "encoding-gzip", post(b"Content-Length: 5\r\nContent-Encoding: gzip\r\n")),
    (415, "encoding-twice",
     post(b"Content-Length: 5\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n")),
    (400, "two-content-types",
     post(b"Content-Length: 5\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n")),
    (400, "two-authorizations",
     get(headers=H + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
]

BAD = {name: (status, raw) for status, name, raw in _BAD}
assert len(BAD) == len(_BAD), "two cases share a name"


def files():
    """File name -> bytes of the corpus."""
    out = {"200-%s.http" % name: raw for name, raw in GOOD.items()}
    out.update({"%d-%s.http" % (status, name): raw for name, (status, raw) in BAD.items()})
    return out


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files().items():
        (folder / name).write_bytes(raw)
    print(len(files()), "files")
