"""The IPTC Digital Source Type as a mark inside a PNG or JPEG file: an XMP packet, put in without touching a pixel.

The store's columns are the truth, and its pictures carry no mark: tags do not survive a re-save, and a file that leaves
the columns behind should still say what it is. So the mark is put in where pictures leave a store. All marks have one
length, whatever they say, so that file size tells nothing.

Formats: XMP part 3 (ISO 16684-1 packets; PNG `iTXt` chunk with the keyword `XML:com.adobe.xmp`, JPEG APP1 segment), PNG
(RFC 2083 and its iTXt extension), IPTC Photo Metadata Standard 2023.2 (`Iptc4xmpExt:DigitalSourceType`).
"""

import re
import struct
import zlib

from spooflab.errors import DataError
from spooflab.provenance import SOURCE_TYPES

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_IHDR_END = len(_PNG) + 4 + 4 + 13 + 4
_KEYWORD = b"XML:com.adobe.xmp"
_APP1 = b"http://ns.adobe.com/xap/1.0/\0"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<Iptc4xmpExt:DigitalSourceType>{term}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>{padding}"
    '<?xpacket end="r"?>'
)
_TERM = re.compile(rb"DigitalSourceType>([^<]+)</|DigitalSourceType=[\"']([^\"']+)[\"']")
_LONGEST = max(map(len, SOURCE_TYPES))


def mark_source(data: bytes, digital_source_type: str) -> bytes:
    """Return a PNG or JPEG file with an XMP packet that names its source type; every byte of the file is kept.

    Args:
        data: a PNG or JPEG file without an XMP packet.
        digital_source_type: one of `spooflab.provenance.SOURCE_TYPES`.

    Raises:
        DataError: another kind of file, another term, or a file that has an XMP packet.
    """
    if digital_source_type not in SOURCE_TYPES:
        raise DataError(f"source type {digital_source_type!r}", wanted=f"one of {', '.join(SOURCE_TYPES)}")
    if _packet(data) is not None:
        raise DataError("the picture has an XMP packet", wanted="a picture without one")
    packet = _PACKET.format(term=digital_source_type, padding=" " * (_LONGEST - len(digital_source_type))).encode()
    if data.startswith(_PNG):
        body = _KEYWORD + b"\0\0\0\0\0" + packet  # not compressed, no language, no translated keyword
        chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
        return data[:_IHDR_END] + chunk + data[_IHDR_END:]
    cut = _after_first_segment(data)
    return data[:cut] + b"\xff\xe1" + struct.pack(">H", 2 + len(_APP1) + len(packet)) + _APP1 + packet + data[cut:]


def source_mark(data: bytes) -> str | None:
    """Return the source type that a PNG or JPEG file's XMP packet names, None where there is none.

    Raises:
        DataError: another kind of file, or a damaged one.
    """
    packet = _packet(data)
    found = None if packet is None else _TERM.search(packet)
    return None if found is None else (found[1] or found[2]).decode("ascii", "replace")


def _packet(data: bytes) -> bytes | None:
    if data.startswith(_PNG):
        return _png_packet(data)
    if data.startswith(_JPEG):
        return _jpeg_packet(data)
    raise DataError("the picture is neither PNG nor JPEG", wanted="one of the two")


def _png_packet(data: bytes) -> bytes | None:
    place = len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"iTXt" and body.startswith(_KEYWORD + b"\0"):
            return body
        if kind == b"IEND":
            return None
        place += 12 + length
    raise DataError("the PNG ends before its end marker", wanted="a whole file")


def _jpeg_packet(data: bytes) -> bytes | None:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        (length,) = struct.unpack_from(">H", data, place + 2)
        body = data[place + 4 : place + 2 + length]
        if marker == 0xE1 and body.startswith(_APP1):
            return body
        if marker == 0xDA:  # the scan begins: no header comes after it
            return None
        place += 2 + length
    raise DataError("the JPEG's header has no scan", wanted="a whole file")


def _after_first_segment(data: bytes) -> int:
    """Return where an APP1 may stand: behind the JFIF segment, which must be the first, or at once."""
    if data[2:4] != b"\xff\xe0":
        return 2
    return 4 + int(struct.unpack_from(">H", data, 4)[0])
