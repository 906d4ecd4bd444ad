"""What a ZIP archive may be before anything in it is unpacked."""

import stat
import struct
import zipfile
from collections.abc import Sequence

from actors.documents.parsed import Limits, ParseProblem

_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_LONG_MARK = b"PK\x06\x07"  # of the record that stands before the end where sizes need 64 bits
_LONG_SIZE = 20
_LONGEST_COMMENT = 65_535
_BYTES_A_PART = 512  # of the directory: more than any name that a word processor gives
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_HEAD = 8
_ENCRYPTED = 0x1
_KINDS = frozenset({0, stat.S_IFREG, stat.S_IFDIR})


def check_directory(data: bytes, limits: Limits) -> None:
    """The directory itself is small: reading it is the first thing that a bomb makes costly.

    Raises:
        ParseProblem: it is not, or there is none.
    """
    place = data.rfind(_END_MARK, max(0, len(data) - _END.size - _LONGEST_COMMENT))
    if place < 0 or place + _END.size > len(data):
        raise ParseProblem("is no archive that can be read")
    size = _END.unpack_from(data, place)[5]
    if size > limits.max_parts * _BYTES_A_PART or data[place - _LONG_SIZE :].startswith(_LONG_MARK):
        raise ParseProblem(f"has more than {limits.max_parts:,} parts")


def check_parts(parts: Sequence[zipfile.ZipInfo], size: int, limits: Limits) -> None:
    """The parts as the directory names them.

    Args:
        parts: all.
        size: bytes of the archive.
        limits: of it.

    Raises:
        ParseProblem: there are too many, they unpack to too much, or one of them is no plain file
            below the archive's root.
    """
    if len(parts) > limits.max_parts:
        raise ParseProblem(f"has more than {limits.max_parts:,} parts")
    unpacked = sum(part.file_size for part in parts)
    if unpacked > limits.max_unpacked_bytes:
        raise ParseProblem(f"unpacks to more than {limits.max_unpacked_bytes >> 20} MiB")
    if unpacked > size * limits.max_ratio:
        raise ParseProblem(f"unpacks to more than {limits.max_ratio:,} times its size")
    if sum(part.compress_size for part in parts) > size:
        raise ParseProblem("has parts that lie over each other")
    names = [part.filename.lower() for part in parts]
    if len(set(names)) < len(names):
        raise ParseProblem("has two parts of the same name")
    for part in parts:
        _check_part(part)


def check_not_nested(archive: zipfile.ZipFile, limits: Limits) -> None:
    """No part is an archive, where the limits say so.

    Raises:
        ParseProblem: one is.
    """
    if limits.nested:
        return
    for part in archive.infolist():
        with archive.open(part) as stream:
            if stream.read(_HEAD).startswith(_ARCHIVES):
                raise ParseProblem("holds another archive")


def _check_part(part: zipfile.ZipInfo) -> None:
    name = part.orig_filename
    if (
        not name
        or name.startswith(("/", "\\"))
        or "\\" in name
        or ":" in name
        or "\x00" in name
        or ".." in name.split("/")
    ):
        raise ParseProblem("has a part whose name leads elsewhere")
    if stat.S_IFMT(part.external_attr >> 16) not in _KINDS:
        raise ParseProblem("has a part that is no file")
    if part.flag_bits & _ENCRYPTED:
        raise ParseProblem("needs a password")
