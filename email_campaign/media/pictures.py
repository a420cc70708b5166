"""A picture's bytes: what their header says, whether all of them can be read, and the same picture in another width."""

import enum
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageSequence, UnidentifiedImageError

from email_campaign.errors import Invalid

# A picture that unpacks to far more than it weighs is refused, not remarked on.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

JPEG_QUALITY = 82
PALETTE = 256
MAX_FRAMES = 1_000
FRAMES_TOGETHER = 4
"""All frames of an animation together may have so many times the pixels of one picture."""
ORIENTATION = 0x0112
"""The EXIF field that says how the camera was held (EXIF 2.32, 4.6.4)."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = frozenset({5, 6, 7, 8})
NO_PICTURE = "This is no JPEG, PNG, GIF or WebP picture that can be read, whatever its name says."
SVG = (
    "SVG is not taken: hardly any mail program shows it, and it can carry scripts. Save the drawing as PNG, twice as "
    "wide as it is to be shown."
)


class Format(enum.StrEnum):
    """What is taken. Mail programs show all of these but WebP, which becomes JPEG, or PNG where it is transparent."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"


MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}
"""What is stored, by the end of its name."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a header says: format, size as it is seen upright, and whether it moves or lets the ground shine through."""

    format: Format
    width: int
    height: int
    is_animated: bool
    is_transparent: bool

    @property
    def extension(self) -> str:
        """What its renditions are: a photo stays JPEG, what moves stays GIF, everything else keeps its edges as PNG."""
        if self.is_animated:
            return "gif"
        is_photo = self.format is Format.JPEG or (self.format is Format.WEBP and not self.is_transparent)
        return "jpg" if is_photo else "png"


def look(content: bytes, max_pixels: int) -> Picture:
    """Read the header alone, in some milliseconds. Raises Invalid, with the reason, for what is not taken."""
    _refuse_others(content)
    with _opened(content, max_pixels) as image:
        # A phone's JPEG may hold a second picture behind the first (MPO); the first one is meant.
        found = Format.JPEG if image.format == "MPO" else Format(str(image.format).lower())
        is_animated = found in {Format.GIF, Format.WEBP} and bool(getattr(image, "is_animated", False))
        width, height = image.size
        if _orientation(image) in ON_ITS_SIDE:
            width, height = height, width
        picture = Picture(found, width, height, is_animated, image.has_transparency_data)
    if picture.format is Format.WEBP and is_animated:
        raise _refused("A WebP picture that moves is not taken: many mail programs show none. Save it as GIF.")
    return picture


def verify(content: bytes, max_pixels: int) -> None:
    """Decode every pixel of every frame. Raises Invalid for a picture that is cut off, broken or too much."""
    with _opened(content, max_pixels) as image:
        image.draft(image.mode, (1, 1))  # a JPEG is read to its end all the same, in an eighth of the width
        area = image.width * image.height
        for number, frame in enumerate(ImageSequence.Iterator(image), start=1):
            if number > MAX_FRAMES or number * area > FRAMES_TOGETHER * max_pixels:
                raise _refused(
                    f"The animation is too long: at most {MAX_FRAMES:,} frames with {FRAMES_TOGETHER * max_pixels:,} "
                    "pixels together are taken. Leave frames out, or make it smaller."
                )
            frame.load()
            if image.format != "GIF":
                break


def render(content: bytes, size: tuple[int, int], extension: str, max_pixels: int) -> bytes:
    """The picture in this size, upright, in sRGB, compressed, and without anything that is not picture (place, camera).

    An animation stays as it is: resized, its frames would be as heavy and less sharp.
    """
    if extension == "gif":
        return content
    with _opened(content, max_pixels) as image:
        orientation = _orientation(image)
        across = size[::-1] if orientation in ON_ITS_SIDE else size
        profile = image.info.get("icc_profile")
        has_palette = image.mode in {"1", "P"}
        image.draft(image.mode, (2 * across[0], 2 * across[1]))
        made = _in_colours(image).resize(across, Image.Resampling.LANCZOS, reducing_gap=3.0)
        made = _in_srgb(made, profile)
        if orientation in TURNS:
            made = made.transpose(TURNS[orientation])
        return _compressed(made, extension, has_palette=has_palette)


def height_for(picture: Picture, width: int) -> int:
    """The height that belongs to a width, at least one pixel."""
    return max(1, round(picture.height * width / picture.width))


@contextmanager
def _opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The picture, its pixels not yet read; whatever goes wrong with it is told as Invalid.

    Pillow raises all sorts of errors for broken files, so all are taken here.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(io.BytesIO(content), formats=tuple(one.name for one in Format)) as image:
            if image.width * image.height > max_pixels:  # where warnings are no errors
                raise Image.DecompressionBombError
            yield image
    except Invalid:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _refused(
            f"The picture has more than {max_pixels:,} pixels, which is the most that is taken (IMAGE_MAX_PIXELS). "
            "Make it smaller: no mail needs that many."
        ) from error
    except UnidentifiedImageError as error:
        raise _refused(NO_PICTURE) from error
    except Exception as error:
        raise _refused(f"The picture is broken or cut off, and cannot be read to its end: {error}.") from error


def _refuse_others(content: bytes) -> None:
    """What people try most, with a reason of its own."""
    if not content:
        raise _refused("The file is empty.")
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!")) and b"<svg" in head):
        raise _refused(SVG)
    if content[4:8] == b"ftyp" and content[8:12] in {b"heic", b"heix", b"mif1", b"msf1", b"avif"}:
        raise _refused("HEIC and AVIF are not taken: hardly any mail program shows them. Save the picture as JPEG.")


def _refused(message: str) -> Invalid:
    return Invalid.field("file", message)


def _orientation(image: Image.Image) -> int:
    # Where a PNG does not say it before its pixels, Pillow would read all of them to look behind.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    said = image.getexif().get(ORIENTATION)
    return said if said in TURNS else 1


def _in_colours(image: Image.Image) -> Image.Image:
    """In a mode that can be resized: palettes and bits become colours, sixteen bits a channel become eight."""
    if image.mode.startswith("I"):
        return image.convert("I").point([level // 256 for level in range(65_536)], "L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The profile goes with the rest that is not picture, so its colours become those that screens take for granted."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError):
            made = None  # a profile that fits neither the picture nor anything else
        if made is not None:
            return made
    return image.convert(mode) if image.mode == "CMYK" else image


def _compressed(image: Image.Image, extension: str, *, has_palette: bool) -> bytes:
    written = io.BytesIO()
    image.info.clear()  # what it carries would be written along
    if extension == "jpg":
        image.save(written, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    else:
        if has_palette:  # what came with few colours goes with few
            image = image.quantize(PALETTE, method=Image.Quantize.FASTOCTREE)
        image.save(written, "PNG", optimize=True)
    return written.getvalue()
