"""What nobody should send: names, forms, pictures and bombs for studio_fuzz.py, from a seed.

Each function gives bytes or text and sends nothing by itself.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

__all__ = ["bombs", "broken_forms", "canary_names", "mutated", "names"]

_PLACES = (
    "{canary}", "file://{canary}", "../../{name}", "..\\..\\{name}", "{folder}/./{name}",
    "~/{name}", "/etc/passwd", "/etc/passwd\0.png", "/proc/self/environ", "/proc/self/mem",
    "/dev/zero", "/dev/stdin", "C:\\windows\\win.ini", "\\\\host\\share\\x.png", "%2e%2e%2f{name}",
    "..%c0%af..%c0%af{name}", "....//....//{name}", "{name}:1", "a cat | {canary}",
    "{canary}:2 | a dog", "a cat|{canary}:-1", "30: {canary}; 60: a cat", "identity={canary}",
    "judge=identity={folder}", "embedded+{folder}", "embedded+../../{name}", "{folder}",
    "stylegan={folder}", "vqgan={folder}", "http://127.0.0.1:9/{name}", "https://example.org/x.png",
    "ftp://example.org/x.png", "data:image/png;base64,AAAA", "s3://bucket/{name}", "@{canary}",
    "$(cat {canary})", "`cat {canary}`", "; cat {canary} #", "| cat {canary}", "{{{{7*7}}}}",
    "${{jndi:ldap://127.0.0.1/x}}", "' OR 1=1 --", "'; DROP TABLE jobs; --", "\" OR \"\"=\"",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "__import__('os').system('id')",
    "!!python/object/apply:os.system ['id']", "\ud83d\ude00" * 50, "\u202egnp.tac", "a\u0000b",
    "\r\nSet-Cookie: x=1", "\x1b[2J", "a" * 3000, "nan", "1e999", "-1", "[]", "{{}}", "null",
    "seed:{canary}", "seed:-1", "CON", "aux.png", ".", "..", "/", "//", " ", "\t", "%s%n%x", "*",
    "{name}.safetensors", "{name}.ckpt", "{folder}/*.png", "{canary}#x", "{canary}?x",
)  # fmt: skip


def canary_names(folder: str, name: str) -> list[str]:
    """Strings that would lead to `folder/name`, or elsewhere, if something took them for a name."""
    canary = f"{folder}/{name}"
    return [place.format(canary=canary, folder=folder, name=name) for place in _PLACES]


def names(folder: str, name: str, seed: int) -> Iterator[str]:
    """Those, over and over, now and then two of them put together."""
    chance, known = random.Random(seed), canary_names(folder, name)
    while True:
        chance.shuffle(known)
        yield from known
        yield from (f"{a}{chance.choice('/:|;, ')}{b}" for a, b in zip(known[::7], known[1::7]))


# ---- forms ---------------------------------------------------------------------------------------


def broken_forms(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(Content-Type, body) of forms that are broken in one way or another."""
    chance = random.Random(seed)
    for number in range(count):
        yield _FORMS[number % len(_FORMS)](chance)


def _form(chance: random.Random, edge: str = "edge") -> bytes:
    parts = [
        (b'name="prompt"', b"a cat"),
        (b'name="picture"; filename="x.png"\r\nContent-Type: image/png', _png(chance)),
        (b'name="image"; filename="x.png"', _png(chance)),
    ]
    lines = [
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (edge.encode(), head, data)
        for head, data in parts
    ]
    return b"".join(lines) + b"--%s--\r\n" % edge.encode()


def _kind(edge: str = "edge") -> str:
    return f"multipart/form-data; boundary={edge}"


def _png(chance: random.Random) -> bytes:
    return encoded("PNG", chance)


def _flipped(chance: random.Random) -> tuple[str, bytes]:
    return _kind(), _damaged(_form(chance), chance)


def _cut(chance: random.Random) -> tuple[str, bytes]:
    form = _form(chance)
    return _kind(), form[: chance.randrange(len(form))]


def _edges(chance: random.Random) -> tuple[str, bytes]:
    kinds = ("multipart/form-data", "multipart/form-data; boundary=", _kind("other"),
             _kind('"'), _kind("x" * 300), "multipart/form-data; boundary*=utf-8''%ff",
             "multipart/form-data; charset=nothing; boundary=edge", "multipart/form-data;;;=",
             "multipart/form-data; boundary=edge; boundary=edge2",
             "multipart/mixed; boundary=edge")  # fmt: skip
    return chance.choice(kinds), _form(chance)


_HEADS = (
    b"", b"Content-Disposition: form-data", b"Content-Disposition: attachment; filename=x",
    b'Content-Disposition: form-data; name="\xff\xfe"', b"no colon here", b": no name",
    b'Content-Disposition: form-data; name="prompt', b"Content-Disposition: form-data; name=",
    b'Content-Disposition: form-data; name="picture"; filename*=utf-9\'\'%zz',
    b'Content-Disposition: form-data; name="' + b"x" * 20_000 + b'"', b"X: y\r\n" * 500,
    b'Content-Disposition: form-data; name="picture"; filename="../../../etc/passwd"',
    b'Content-Disposition: form-data; name="picture"; filename="\x00"',
    b'Content-Disposition: form-data; name="_charset_"',
    b'Content-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset=nothing',
    b'Content-Disposition: form-data; name="prompt"\r\nContent-Transfer-Encoding: base64',
)  # fmt: skip


def _heads(chance: random.Random) -> tuple[str, bytes]:
    head = chance.choice(_HEADS)
    data = chance.choice([b"", b"a cat", b"\xff\xfe\x00", _png(chance)])
    return _kind(), b"--edge\r\n" + head + b"\r\n\r\n" + data + b"\r\n--edge--\r\n"


def _many(chance: random.Random) -> tuple[str, bytes]:
    name = chance.choice([b'name="prompt"', b'name="picture"; filename="x"', b'name="x%d"'])
    part = b"--edge\r\nContent-Disposition: form-data; %s\r\n\r\nx\r\n"
    parts = [
        part % (name % n if b"%d" in name else name) for n in range(chance.choice([9, 70, 900]))
    ]
    return _kind(), b"".join(parts) + b"--edge--\r\n"


def _odd(chance: random.Random) -> tuple[str, bytes]:
    long = b"--edge\r\nContent-Disposition: form-data; name=prompt\r\n\r\n" + b"a" * 300_000
    bodies = (b"", b"--edge", b"--edge--", b"\r\n" * 1000, b"--edge\r\n\r\n\r\n--edge--",
              b"--edge\n\n\n--edge--\n", b"--edge\r\n" * 300, long)  # fmt: skip
    return _kind(), chance.choice(bodies)


_FORMS = (_flipped, _cut, _edges, _heads, _many, _odd)


# ---- pictures ------------------------------------------------------------------------------------


def encoded(kind: str, chance: random.Random) -> bytes:
    """A small picture of noise in one of the ways its format has."""
    side = chance.choice([8, 33, 64])
    mode = chance.choice(
        {"PNG": ["RGB", "L", "RGBA", "P"], "JPEG": ["RGB", "L"]}.get(kind, ["RGB"])
    )
    noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (side, side, 3))
    image = Image.fromarray(noise.astype(np.uint8)).convert(mode)
    more = {
        "PNG": {"optimize": chance.random() < 0.3},
        "JPEG": {"progressive": chance.random() < 0.5, "quality": 80},
        "WEBP": {"lossless": chance.random() < 0.5, "method": 0},
    }[kind]
    out = io.BytesIO()
    image.save(out, kind, **more)  # type: ignore[arg-type]
    return out.getvalue()


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """PNG, JPEG and WebP files with bytes changed, cut, doubled or put elsewhere."""
    chance = random.Random(seed)
    for number in range(count):
        data = encoded(("PNG", "JPEG", "WEBP")[number % 3], chance)
        for _ in range(chance.randrange(1, 4)):
            data = _damaged(data, chance)
        yield data


def _damaged(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data) or 1), chance.choice([1, 1, 2, 4, 16, 200])
    way = chance.randrange(7)
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + data[at + size :]
    if way == 2:
        return data[:at] + chance.randbytes(size) + data[at:]
    if way == 3:
        return data[:at] + data[at : at + size] * 3 + data[at + size :]
    if way == 4:  # a length or a side that claims too much
        return data[:at] + chance.choice([b"\xff", b"\x00", b"\x7f"]) * 4 + data[at + 4 :]
    if way == 5:
        other = chance.randrange(len(data) or 1)
        return data[:at] + data[other : other + size] + data[at + size :]
    return data[:at] + chance.randbytes(size) + data[at + size :]


# ---- bombs ---------------------------------------------------------------------------------------


def bombs() -> Iterator[tuple[str, bytes]]:
    """(what it is, file): small files that claim, or unpack to, far more than they are."""
    for side in (4_001, 10_000, 30_000, 65_535, 2**31 - 1):
        yield (
            f"PNG of {side} a side, little in it",
            _png_of(side, side, zlib.compress(b"\0" * 10**6)),
        )
    rows = zlib.compress(b"\0" * 20_000_000, 1)
    for depth, colour in ((1, 0), (16, 6), (8, 3), (16, 0), (2, 0)):
        yield f"PNG {depth} bits kind {colour}", _png_of(20_000, 20_000, rows, depth, colour)
    yield "PNG interlaced", _png_of(20_000, 20_000, zlib.compress(b"\0" * 10**7), interlaced=1)
    yield "PNG one row", _png_of(2**30, 1, zlib.compress(b"\0" * 10**6))
    yield "PNG one column", _png_of(1, 2**30, zlib.compress(b"\0" * 10**6))
    much = zlib.compress(b"\0" * 40_000_000, 1)
    for kind, head in ((b"zTXt", b"x\0\0"), (b"iCCP", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")):
        broken = _png_of(5_000, 5_000, b"", before=_chunk(kind, head + much))
        yield f"PNG with {kind.decode()} of 40 MB", broken
        many = b"".join(_chunk(kind, head + much) for _ in range(20))
        yield f"PNG with 20 {kind.decode()} of 40 MB", _png_of(5_000, 5_000, b"", before=many)
    yield "PNG of a million chunks", _png_of(9_000, 9_000, b"", before=_chunk(b"tEXt", b"") * 10**6)
    for side in (4_100, 20_000, 65_500):
        yield f"JPEG of {side} a side", _jpeg_of(side, side)
    yield "JPEG of a thousand scans", _jpeg_scans(1000)
    yield "JPEG of ten thousand scans", _jpeg_scans(10_000)
    for side in (4_100, 16_383):
        yield f"WebP of {side} a side", _webp_of(side)
    out = io.BytesIO()
    flat = Image.new("RGB", (5_000, 5_000))
    flat.save(out, "WEBP", lossless=True, method=0)
    yield "WebP that is 25 million pixels", out.getvalue()
    out = io.BytesIO()
    flat.save(out, "PNG", pnginfo=PngImagePlugin.PngInfo())
    yield "PNG that is 25 million pixels", out.getvalue()
    yield "WebP in a large frame", _webp_x(2**24 - 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_of(
    width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2, interlaced: int = 0,
    before: bytes = b"",
) -> bytes:  # fmt: skip
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = _chunk(b"PLTE", b"\0\0\0") if colour == 3 else b""
    parts = [_chunk(b"IHDR", head), before, palette, _chunk(b"IDAT", rows), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose frame claims another size."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _jpeg_scans(count: int) -> bytes:
    """A progressive JPEG of 3,900 a side whose scans are said over and over."""
    out = io.BytesIO()
    Image.new("RGB", (3_900, 3_900)).save(out, "JPEG", progressive=True, quality=10)
    data = out.getvalue()
    first, last = data.index(b"\xff\xda"), data.rindex(b"\xff\xda")
    return data[:first] + data[first:last][:2000] * count + data[last:]


def _webp_of(side: int) -> bytes:
    """A small lossless WebP that claims another size (RFC 9649, section 3)."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "WEBP", lossless=True)
    data = bytearray(out.getvalue())
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") & ~(2**28 - 1)
    data[at : at + 4] = (bits | (side - 1) | (side - 1) << 14).to_bytes(4, "little")
    return bytes(data)


def _webp_x(side: int) -> bytes:
    frame = struct.pack("<I", 0)[:4] + (side - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + b"VP8X" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body
