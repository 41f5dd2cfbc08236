"""What Pillow cannot read by itself: HEIC, AVIF, SVG and the pages of PDF.

ImageMagick, which has the decoders, and the limits of its policy, turns the file into
a PNG that Pillow reads. It is one of Pillow's own plugins (PIL._plugins names it), so
that Image.open() knows these files without anything being imported or registered.

A PDF is drawn at 150 dots an inch; its pages are frames: seek(), n_frames. Transparent
parts of SVG and PDF stay transparent.
"""

from __future__ import annotations

import io
import subprocess

from PIL import Image, ImageFile

HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"mif2"}
AVIF_BRANDS = {b"avif", b"avis"}


class _Delegated(ImageFile.ImageFile):
    magick_format = ""

    def _open(self) -> None:
        self._data = self.fp.read()
        if not self._mine(self._data):
            raise SyntaxError(f"not a {self.format} file")
        self._frame = 0
        self._pages: int | None = None
        self._draw()

    def _mine(self, data: bytes) -> bool:
        return True

    def _draw(self) -> None:
        source = f"{self.magick_format}:-[{self._frame}]"
        png = _run(
            self.format, self._data,
            "magick", "-background", "none", "-density", "150", source, "-define", "png:compression-level=1", "png:-",
        )  # fmt: skip
        drawn = Image.open(io.BytesIO(png))
        self._size, self._mode = drawn.size, drawn.mode
        self.info = {k: v for k, v in drawn.info.items() if k in ("dpi", "exif", "icc_profile")}
        self._drawn: Image.Image | None = drawn
        self.tile = []

    def load(self):  # type: ignore[no-untyped-def]
        if self._drawn is not None:
            self._drawn.load()
            self.im = self._drawn.im
            self._drawn = None
        return super().load()


class HeifImageFile(_Delegated):
    format = "HEIF"
    format_description = "High Efficiency Image File Format"
    magick_format = "heic"


class AvifImageFile(_Delegated):
    format = "AVIF"
    format_description = "AV1 Image File Format"
    magick_format = "avif"


class SvgImageFile(_Delegated):
    format = "SVG"
    format_description = "Scalable Vector Graphics"
    magick_format = "svg"

    def _mine(self, data: bytes) -> bool:
        return b"<svg" in data[:65536]


class PdfImageFile(_Delegated):
    format = "PDF"
    format_description = "Portable Document Format"
    magick_format = "pdf"

    @property
    def n_frames(self) -> int:
        if self._pages is None:
            said = _run(self.format, self._data, "pdfinfo", "-").decode(errors="replace")
            self._pages = next(int(line.split()[1]) for line in said.splitlines() if line.startswith("Pages:"))
        return self._pages

    @property
    def is_animated(self) -> bool:
        return self.n_frames > 1

    def tell(self) -> int:
        return self._frame

    def seek(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"the PDF has {self.n_frames} pages, and no page {frame}")
        if frame != self._frame:
            self._frame = frame
            self._draw()


def _run(what: str, data: bytes, *program: str) -> bytes:
    done = subprocess.run(program, input=data, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip()
        raise OSError(f"cannot read this {what} file: {said or program[0] + ' says nothing'}")
    return done.stdout


def _brand(brands: set[bytes]):  # type: ignore[no-untyped-def]
    return lambda prefix: prefix[4:8] == b"ftyp" and prefix[8:12] in brands


def _markup(prefix: bytes) -> bool:
    return prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<svg", b"<!DOC", b"<!--"))


for _class, _accept, _extensions, _type in (
    (HeifImageFile, _brand(HEIF_BRANDS), [".heic", ".heif"], "image/heif"),
    (AvifImageFile, _brand(AVIF_BRANDS), [".avif"], "image/avif"),
    (SvgImageFile, _markup, [".svg"], "image/svg+xml"),
    (PdfImageFile, lambda prefix: prefix.startswith(b"%PDF-"), [".pdf"], "application/pdf"),
):
    Image.register_open(_class.format, _class, _accept)
    Image.register_extensions(_class.format, _extensions)
    Image.register_mime(_class.format, _type)
