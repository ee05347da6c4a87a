#!/usr/bin/env python3
"""Small archives as Python's own tarfile and zipfile write them: python test/golden/archives/make.py (Python 3.11, about a second).

Every archive holds the same files: a short one, an empty one, one with a name of 150 letters, one with letters beyond
ASCII, one of several blocks; beside them a folder and (tar) a link, which are no regular files.
"""
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FILES = {
    "b/second.txt": b"second\n",
    "a/empty": b"",
    "a/" + "long" * 35 + "/" + "name" * 20: b"a long name\n",
    "a/größe-画像.bin": bytes(i * 7 % 256 for i in range(1500)),
}


def tar(name: str, form: int) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("b/link")
        link.type, link.linkname = tarfile.SYMTYPE, "second.txt"
        archive.addfile(link)
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (HERE / name).write_bytes(gzip.compress(plain.getvalue(), mtime=0))


def zipped(name: str, method: int, zip64: bool) -> None:
    with zipfile.ZipFile(HERE / name, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("a/"), b"")
        for path, content in FILES.items():
            info = zipfile.ZipInfo(path)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as out:
                out.write(content)


tar("pax.tar.gz", tarfile.PAX_FORMAT)
tar("gnu.tar.gz", tarfile.GNU_FORMAT)
tar("ustar.tar.gz", tarfile.USTAR_FORMAT)
zipped("stored.zip", zipfile.ZIP_STORED, False)
zipped("deflated.zip", zipfile.ZIP_DEFLATED, False)
zipfile.ZIP64_LIMIT = 4  # so that every size, offset and the end record take the form for large archives
zipped("zip64.zip", zipfile.ZIP_DEFLATED, True)
