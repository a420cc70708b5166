"""Pictures for tests, as cameras and drawing programs make them."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms

LATITUDE = (50.0, 44.0, 0.0)
MAKER = "Camera of Ada"


def picture(width: int = 800, height: int = 400, mode: str = "RGB") -> Image.Image:
    """Left half red, right half blue, so that a turned one is seen."""
    made = Image.new("RGB", (width, height), "blue")
    made.paste("red", (0, 0, width // 2, height))
    return made.convert(mode)


def clear() -> Image.Image:
    """One that lets the ground through."""
    made = picture(mode="RGBA")
    made.putalpha(0)
    return made


def written(made: Image.Image, kind: str, **how: Any) -> bytes:
    """As a file."""
    file = io.BytesIO()
    made.save(file, kind, **how)
    return file.getvalue()


def jpeg(width: int = 800, height: int = 400, orientation: int = 1, **how: Any) -> bytes:
    """A photo that tells where it was taken, with which camera, and how that was held."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, MAKER
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", LATITUDE
    return written(picture(width, height), "JPEG", exif=exif, comment=b"made by Ada", **how)


def png(width: int = 800, height: int = 400, mode: str = "RGBA") -> bytes:
    """A drawing."""
    return written(picture(width, height, mode), "PNG")


def moving(kind: str = "GIF", count: int = 3) -> bytes:
    """An animation; each frame is another."""
    frames = [Image.new("RGB", (120, 80), (80 * number % 256, 0, 0)) for number in range(count)]
    return written(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, loop=0)


def bomb(side: int) -> bytes:
    """A PNG of some bytes whose header promises side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(1000)))
        + _chunk(b"IEND", b"")
    )


def swapped_profile() -> bytes:
    """An ICC profile whose red is blue: without a conversion the colours would be wrong."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {profile[at : at + 4]: at for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    changed = bytearray(profile)
    changed[red + 4 : red + 12], changed[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(changed)


def opened(content: bytes) -> Image.Image:
    """Read wholly."""
    image: Image.Image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
