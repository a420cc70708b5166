"""The mail of the benchmarks: two parts, 5–6 kB on the wire, personal in both, with two links of one's own."""

SUBJECT = "{{ name }}, the spring edition is ready"
FROM_NAME = "The Shop"
FROM_ADDRESS = "news@example.com"

_PARAGRAPH = (
    '<p style="margin:0 0 12px;font-family:Arial,sans-serif">We have made the spring edition ready for you, with '
    "more for the house, more for the garden, and a few things that we have never shown before.</p>\n"
)
_LINK = "https://shop.example/spring?from=mail&amp;code={{ code }}"

HTML = (
    "<html><body>\n<h1>Hello {{ name }}</h1>\n"
    + _PARAGRAPH * 12
    + f'<p>For everybody in {{{{ city }}}}: <a href="{_LINK}">your own offer</a></p>\n'
    + '<p>Sent to {{ address }}. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>\n</body></html>\n'
)

TEXT = (
    "Hello {{ name }},\n\n"
    + "the spring edition is ready, with more for the house and more for the garden.\n" * 18
    + "\nFor everybody in {{ city }}: https://shop.example/spring?from=mail&code={{ code }}\n"
    + "\nUnsubscribe: {{ unsubscribe_url }}\n"
)
