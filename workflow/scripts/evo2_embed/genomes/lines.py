"""The layout of FASTA text: whether pyfaidx can index it, and how to rewrite it if not."""

from evo2_embed.io.errors import InputError

_LINE = 1 << 20  # bytes of a FASTA line handled at once
_LONG = 16 * _LINE  # bytes of a line from which on pyfaidx would need much memory
_BOM = b"\xef\xbb\xbf"
_WRAP = 80  # bases in a line of a rewritten file


def is_regular(path: str, opener) -> bool:
    """Whether a record's lines are all of one length but for a shorter last one, and not too long.

    pyfaidx checks that too, but lets some files pass of which it then reads wrong bases: with a
    last line longer than the others, or with two kinds of line ends.
    """
    first = b""
    ended = True  # at the start, and after a short line, nothing but a header may follow
    with opener(path, "rb") as handle:
        while line := handle.readline(_LONG):
            if len(line) == _LONG or line.startswith(_BOM) or line.find(b"\r", 0, -2) >= 0:
                return False
            if line[:1] == b">":
                first, ended = b"", False
            elif not first:
                if ended:
                    continue  # before the first header, where pyfaidx says what is wrong
                if not line.strip(b"\r\n"):
                    return False
                first, width = line, len(line.rstrip(b"\r\n"))
                crlf = line.endswith(b"\r\n")
            elif (
                ended
                or len(line) != len(first)
                or not line.endswith(b"\n")
                or line.endswith(b"\r\n") != crlf
            ):
                blank_at_end = line == b"\n" and handle.peek(1)[:1] in (b">", b"")
                # A full last line may lack its end, but not have another end than the others.
                letters = len(line.rstrip(b"\r\n")) + line.endswith(b"\n")
                if not blank_at_end and (ended or not 1 < letters <= width):
                    return False
                ended = True
    return True


def rewrap(source, target) -> None:
    """Copy FASTA with sequence lines of `_WRAP` letters; memory does not grow with a line."""
    rest, at_start, in_header, records = b"", True, False, 0
    while piece := source.readline(_LINE):
        if at_start:
            piece = piece.removeprefix(b"" if records else _BOM)
            in_header = piece[:1] == b">" or (piece[:1] == b";" and not records)
            if in_header:
                records += piece[:1] == b">"
                target.write(rest + b"\n" if rest else b"")
                rest = b""
        at_start = piece.endswith(b"\n")
        if records and b"\r" in piece.rstrip(b"\r\n"):
            raise InputError("line ends are those of an old Mac (CR); write it with LF or CR LF")
        if in_header:
            target.write(piece)
            continue
        rest += piece.rstrip(b"\r\n")
        full = len(rest) // _WRAP * _WRAP
        for start in range(0, full, _WRAP):
            target.write(rest[start : start + _WRAP] + b"\n")
        rest = rest[full:]
    if rest:
        target.write(rest + b"\n")
