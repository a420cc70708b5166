"""Pictures: what is taken and what is not, and that what comes out is the same picture and nothing else."""

import time
import warnings

import pytest

from email_campaign.errors import Invalid
from email_campaign.media.pictures import ORIENTATION, Format, height_for, look, render, verify
from tests.media import samples
from tests.media.samples import clear, opened, picture, written

MOST = 50_000_000
RED, BLUE = (254, 0, 0), (0, 0, 254)


def alike(one: object, other: tuple[int, int, int]) -> bool:
    assert isinstance(one, tuple)
    return all(abs(a - b) < 12 for a, b in zip(one[:3], other, strict=True))


@pytest.mark.parametrize(
    ("content", "kind", "extension"),
    [
        (samples.jpeg(), Format.JPEG, "jpg"),
        (samples.png(), Format.PNG, "png"),
        (samples.png(mode="P"), Format.PNG, "png"),
        (written(picture(mode="P"), "GIF"), Format.GIF, "png"),
        (samples.moving(), Format.GIF, "gif"),
        (written(picture(), "WEBP"), Format.WEBP, "jpg"),
        (written(clear(), "WEBP"), Format.WEBP, "png"),
    ],
    ids=["photo", "drawing", "few colours", "still GIF", "moving GIF", "WebP", "WebP that lets the ground through"],
)
def test_a_picture_is_known_by_its_bytes(content: bytes, kind: Format, extension: str) -> None:
    seen = look(content, MOST)
    verify(content, MOST)
    assert (seen.format, seen.extension) == (kind, extension)


def test_a_phone_s_jpeg_with_a_second_picture_in_it_is_a_jpeg() -> None:
    content = written(picture(), "MPO", save_all=True, append_images=[picture(80, 40)])
    seen = look(content, MOST)
    verify(content, MOST)
    assert (seen.format, seen.width, seen.is_animated) == (Format.JPEG, 800, False)
    assert opened(render(content, (320, 160), "jpg", MOST)).format == "JPEG"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"hello", "no JPEG, PNG, GIF or WebP"),
        (b"GIF89a", "no JPEG, PNG, GIF or WebP"),
        (b"%PDF-1.7 ", "no JPEG, PNG, GIF or WebP"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a drawing -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
            "SVG is not",
        ),
        (b" <SVG onload='alert(1)'>", "SVG is not"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (written(picture(), "BMP"), "no JPEG, PNG, GIF or WebP"),
        (written(picture(), "TIFF"), "no JPEG, PNG, GIF or WebP"),
        (samples.moving("WEBP"), "moves"),
    ],
)
def test_what_no_mail_shows_is_refused_with_the_reason(content: bytes, told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        look(content, MOST)
    assert [one.field for one in refused.value.problems] == ["file"]


@pytest.mark.parametrize(
    "content", [samples.jpeg(), samples.png(), samples.moving(), written(picture(), "WEBP")], ids=list(Format)
)
def test_a_picture_that_is_cut_off_is_found_out(content: bytes) -> None:
    cut = content[: len(content) * 2 // 3]
    with pytest.raises(Invalid, match="broken or cut off"):
        verify(cut, MOST)


@pytest.mark.parametrize("side", [7_072, 30_000, 2**31 - 1])
def test_a_bomb_is_refused_before_it_unpacks(side: int) -> None:
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as a program may have it around us
        with pytest.raises(Invalid, match="more than 50,000,000 pixels"):
            look(samples.bomb(side), MOST)
    assert time.process_time() - began < 0.1


def test_a_picture_of_exactly_the_most_pixels_is_taken() -> None:
    content = samples.png(100, 50)
    assert look(content, 5_000).width == 100
    with pytest.raises(Invalid, match="more than 4,999 pixels"):
        look(content, 4_999)


def test_an_animation_that_unpacks_to_too_much_is_refused() -> None:
    content = samples.moving(count=5)
    verify(content, 120 * 80 * 5 // 4)
    with pytest.raises(Invalid, match="animation is too long"):
        verify(content, 120 * 80)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_however_the_camera_was_held(orientation: int) -> None:
    content = samples.jpeg(orientation=orientation)
    seen = look(content, MOST)
    assert (seen.width, seen.height) == ((800, 400) if orientation < 5 else (400, 800))
    size = (200, height_for(seen, 200))
    made = opened(render(content, size, "jpg", MOST))
    assert made.size == size
    near, far = made.getpixel((10, 10)), made.getpixel((size[0] - 10, size[1] - 10))
    # Where the red half is, by the table of EXIF 2.32, 4.6.4.
    red_first = orientation in {1, 4, 5, 6}
    assert alike(near, RED if red_first else BLUE)
    assert alike(far, BLUE if red_first else RED)


def test_nothing_but_the_picture_is_kept() -> None:
    content = samples.jpeg(icc_profile=samples.swapped_profile())
    assert opened(content).getexif()[ORIENTATION] == 1
    made = render(content, (320, 160), "jpg", MOST)
    assert not opened(made).getexif()
    assert set(opened(made).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
    for told in (b"Exif", b"Ada", b"ICC_PROFILE", samples.MAKER.encode()):
        assert told in content
        assert told not in made
    drawing = written(picture(), "PNG", exif=opened(content).getexif(), icc_profile=samples.swapped_profile())
    assert opened(render(drawing, (320, 160), "png", MOST)).info == {}


def test_colours_are_those_that_the_profile_means() -> None:
    content = written(picture(), "PNG", icc_profile=samples.swapped_profile())
    made = opened(render(content, (320, 160), "png", MOST))
    assert alike(made.getpixel((10, 10)), (0, 0, 255))
    nonsense = written(picture(), "PNG", icc_profile=b"no profile at all")
    assert alike(opened(render(nonsense, (320, 160), "png", MOST)).getpixel((10, 10)), (255, 0, 0))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_resized(mode: str) -> None:
    content = samples.png(mode=mode) if mode != "I;16" else written(picture(mode="I").convert("I;16"), "PNG")
    seen = look(content, MOST)
    made = opened(render(content, (400, height_for(seen, 400)), seen.extension, MOST))
    assert (made.format, made.size) == ("PNG", (400, 200))


def test_sixteen_bits_a_channel_keep_their_shades() -> None:
    from_middle = picture(mode="I").point(lambda _: 32_768).convert("I;16")
    made = opened(render(written(from_middle, "PNG"), (80, 40), "png", MOST))
    assert made.convert("L").getpixel((5, 5)) == 128


def test_what_is_transparent_stays_so() -> None:
    made = opened(render(written(clear(), "PNG"), (80, 40), "png", MOST))
    assert made.getchannel("A").getpixel((40, 20)) == 0


def test_a_cmyk_photo_becomes_one_that_screens_show() -> None:
    made = opened(render(written(picture(mode="CMYK"), "JPEG"), (320, 160), "jpg", MOST))
    assert made.mode == "RGB"
    assert alike(made.getpixel((10, 10)), RED)


def test_a_moving_picture_stays_as_it_is() -> None:
    content = samples.moving()
    assert render(content, (120, 80), "gif", MOST) == content


def test_a_photo_is_lighter_afterwards_and_a_drawing_of_few_colours_keeps_few() -> None:
    photo = samples.jpeg(1600, 800, quality=100)
    assert len(render(photo, (1600, 800), "jpg", MOST)) < len(photo)
    drawing = samples.png(mode="P")
    assert opened(render(drawing, (600, 300), "png", MOST)).mode == "P"
