"""Is this content what the file's name promises, or noise? Told from a few pieces of it. Pure, and quick.

Encrypted bytes are noise that begins like no format. Compressed media and archives are noise too, behind their mark.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING

from saveos.protocol import SampledFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

PIECE_BYTES = 1024
SMALLEST_BYTES = 64  # of a piece that can be judged
CHI_SQUARE_LIMIT = 340.0  # 255 on average for noise, with a deviation of 22.6; text comes to thousands
ENTROPIES = 64  # files whose entropy is averaged, however many there are
_HIGH = bytes(range(128, 256))
_LOW = bytes(range(32))
_LOG2 = [0.0, *(count * math.log2(count) for count in range(1, 2 * PIECE_BYTES + 1))]

# How files begin whose content is compressed or encrypted on purpose, and others with a mark of their own.
MARKS = (
    *(b"PK", b"%PDF", b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"),
    *(b"7z\xbc\xaf", b"Rar!", b"\x04\x22\x4d\x18", b"\xd0\xcf\x11\xe0", b"RIFF", b"OggS", b"ID3", b"fLaC", b"MThd"),
    *(b"II*\0", b"MM\0*", b"IIRO", b"IIU\0", b"FUJIFILM", b"8BPS", b"BM", b"\0\0\1\0", b"\x1aE\xdf\xa3", b"FLV"),
    *(
        b"\x30\x26\xb2\x75",
        b"\0\0\1\xba",
        b"\0\0\1\xb3",
        b"\xff\xfb",
        b"\xff\xf3",
        b"\xff\xf2",
        b"\xff\xf1",
        b"\xff\xf9",
    ),
    *(b"SQLite", b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"!<arch>", b"PACK", b"DIRC", b"LUKS"),
    *(b"Salted__", b"age-encryption", b"-----BEGIN", b"\0GITCRYPT", b"$ANSIBLE_VAULT", b"BORG_", b"QFI\xfb", b"KDMV"),
    *(b"vhdxfile", b"conectix", b"!BDN", b"MSCF", b"ISc(", b"\xed\xab\xee\xdb", b"wOFF", b"wOF2", b"\0\1\0\0", b"OTTO"),
    *(b"II\x1a\0", b"II+\0", b"MM\0+", b"\xff\xfe\xff\x0e", b"\x06\x06\xed\xf5", b"\xc5\xd0\xd3\xc6", b"%!PS"),
    *(b"FORM", b"ADIF", b"\x06\x0e\x2b\x34", b"#!"),
    *(b"mozLz4", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"{\\rtf", b"AC10", b"glTF", b"Obj\1", b"PAR1"),
    *(b"\x84\x5e", b"\x85\x01", b"\x85\x02", b"\x8c\x0d", b"\xc1\xc1", b"\x89HDF", b"\x93NUMPY", b"\x80\2", b"\x80\4"),
)
_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid", b"junk", b"styp", b"jP  "))
_PACKET_BYTES = 188  # of an MPEG transport stream; each begins with a G

# What is left out holds anything: disk images, and what databases call a log.
_TEXT = (
    "txt md rst csv tsv json jsonl xml html htm xhtml css js mjs jsx tsx vue py rb pl php java kt c h cc cpp hpp cs go"
    " rs swift sh bash zsh ps1 bat cmd sql ini cfg conf cnf config toml yaml yml properties env service rules tex bib"
    " srt vtt eml mbox ics vcf diff patch po svg rtf gpx kml tf lua r m cmake mk gradle htaccess"
)
_OFFICE = (
    "doc docx docm dot dotx xls xlsx xlsm xlsb xlt ppt pptx pptm pps odt ods odp odg ott pdf msg pst one vsd vsdx pub"
    " mdb accdb epub dwg dxf rvt skp psd ai indd eps"
)
_MEDIA = (
    "jpg jpeg jpe png gif bmp tif tiff webp heic heif avif ico cr2 cr3 crw nef nrw arw srf sr2 dng orf rw2 raf pef"
    " mp3 m4a flac ogg oga opus wav wma aac aiff mp4 m4v mov avi mkv webm wmv flv mpg mpeg mxf"
)
_PACKED = "zip 7z rar gz tgz bz2 tbz xz txz zst tar jar war ear apk whl deb rpm sqlite sqlite3 vhdx qcow2"
PROMISES = frozenset(f"{_TEXT} {_OFFICE} {_MEDIA} {_PACKED}".split())


def has_mark(head: bytes) -> bool:
    """Return whether content begins as some known format does."""
    return (
        head.startswith(MARKS)
        or head[4:8] in _BOXES
        or head[257:262] == b"ustar"
        or (head[:1] == b"G" and head[_PACKET_BYTES : _PACKET_BYTES + 1] == b"G")
        or b"%PDF-" in head
    )


def is_noise(piece: bytes) -> bool:
    """Return whether a piece is as good as random: no text, no program, no picture that is not compressed."""
    size = len(piece)
    if size < SMALLEST_BYTES:
        return False
    spread = 2.5 * math.sqrt(size)  # five deviations
    if abs(size - len(piece.translate(None, _HIGH)) - size / 2) > spread:
        return False
    if abs(size - len(piece.translate(None, _LOW)) - size / 8) > spread:
        return False
    squares = sum(count * count for count in Counter(piece).values())
    return squares * 256 / size - size < CHI_SQUARE_LIMIT


def entropy(piece: bytes) -> float:
    """Return bits per byte, corrected for the shortness of the piece: noise comes to 8."""
    size = len(piece)
    if not size:
        return 0.0
    counts = Counter(piece).values()
    bits = math.log2(size) - sum(_LOG2[count] for count in counts) / size
    return min(8.0, bits + (len(counts) - 1) / (2 * size * math.log(2)))  # Miller and Madow's correction


def promises(path: str) -> bool:
    """Return whether a path's ending stands for a format that we know."""
    return path[path.rfind(".") + 1 :].lower() in PROMISES


class Sampler:
    """The sum over files of one kind: those that are new, or those that changed."""

    def __init__(self) -> None:
        """Nothing has been looked at."""
        self.count = self.random = self.promised = self.broken = self._looks = 0
        self._entropies: list[float] = []

    def look(self, path: str, pieces: Sequence[bytes], weight: int = 1) -> None:
        """Look at a file that stands for so many: the first piece is its beginning, the others lie anywhere in it."""
        head = pieces[0]
        if len(head) < SMALLEST_BYTES:
            return
        promised = weight if promises(path) else 0
        self.count += weight
        self.promised += promised
        self._note_entropy(pieces[-1])
        if has_mark(head):
            return
        if is_noise(head) or 2 * sum(map(is_noise, pieces[1:])) > len(pieces) - 1:
            self.random += weight
            self.broken += promised

    def facts(self) -> SampledFacts:
        """Return the sum."""
        known = self._entropies
        return SampledFacts(
            count=self.count,
            random=self.random,
            promised=self.promised,
            broken=self.broken,
            entropy=round(sum(known) / len(known), 3) if known else 0.0,
        )

    def _note_entropy(self, piece: bytes) -> None:
        """Keep a fair choice of files (Vitter's algorithm R): working it out for all of them would cost too much."""
        self._looks += 1
        if len(self._entropies) < ENTROPIES:
            self._entropies.append(entropy(piece))
        elif (place := int(random.random() * self._looks)) < ENTROPIES:  # noqa: S311 - no secret
            self._entropies[place] = entropy(piece)
