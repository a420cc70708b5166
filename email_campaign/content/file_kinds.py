"""Which files may be attached, under which name and type: judged by the name alone, never by what is in them."""

import re
import unicodedata

MAX_NAME_BYTES = 200
"""As UTF-8; some file systems keep 255 bytes, and take what a mail program adds to it."""

# What Gmail, Outlook and most relays refuse by its ending: programs, scripts, images of disks and links to either.
# https://support.google.com/mail/answer/6590 and Outlook's level 1 list, which have most in common.
_REFUSED = """
ade adp apk appref-ms appx appxbundle aspx bas bat cab cer chm cmd com cpl crt diagcab diagcfg diagpkg dll dmg ex
ex_ exe fxp gadget grp hlp hpj hta htc img inf ins iso isp its jar jnlp js jse ksh lib lnk mad maf mag mam maq mar
mas mat mau mav maw mcf mda mdb mde mdt mdw mdz mht mhtml mjs msc msh msh1 msh1xml msh2 msh2xml mshxml msi msix
msixbundle msp mst msu nsh ops osd pcd pif pl plg prf prg printerexport ps1 ps1xml ps2 ps2xml psc1 psc2 psd1 psdm1
pst py pyc pyo pyw pyz pyzw reg scf scr sct shb shs sys theme tmp url vb vbe vbp vbs vhd vhdx vsmacros vsw vxd
webpnp website ws wsb wsc wsf wsh xbap xll xnk
"""
REFUSED = frozenset(_REFUSED.split())

# Ours, and not the machine's: what `mimetypes` reads differs from one to the next, and a mail is the same anywhere.
_TYPES = {
    "7z": "application/x-7z-compressed",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "gif": "image/gif",
    "gz": "application/gzip",
    "heic": "image/heic",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "wav": "audio/wav",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}

_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)


def tidy_name(name: str) -> str:
    """The name as it is kept: in one line, without folders, and without what cannot be seen, such as the marks that
    turn the order of letters around and make `exe.txt` of `txt.exe`. May be empty."""
    name = unicodedata.normalize("NFC", _FOLDERS.sub("", name))
    name = "".join(" " if character.isspace() else character for character in name)
    # Windows takes no notice of dots and blanks at the end: `a.exe.` is a program.
    return " ".join("".join(filter(str.isprintable, name)).split()).rstrip(". ")


def type_of(name: str) -> str:
    """The media type by the name's ending."""
    return _TYPES.get(_ending(name), "application/octet-stream")


def problem_of(name: str, size: int) -> str:
    """Why a file of this (tidy) name and size is not attached, and what to do; empty where nothing is wrong."""
    if not name.strip("."):
        return "A file has no name. Give it one, such as prices.pdf."
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        return f"The name “{name[:40]}…” has more than {MAX_NAME_BYTES} bytes. Give the file a shorter one."
    if _ending(name) in REFUSED:
        return (
            f"“{name}” was not attached: most relays and mail programs refuse files that end in .{_ending(name)}, and "
            "the mail with them. Put it on a web page and link to it."
        )
    if not size:
        return f"“{name}” is empty: there is nothing to attach. Look whether it was saved."
    return ""


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""
