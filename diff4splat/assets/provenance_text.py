"""Where a file comes from, as one line of text: what every format that has room for a comment can carry."""

import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["provenance_text", "provenance_xmp"]

_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """JSON text of a provenance, in ASCII and on one line, so that every format can hold it.

    Args:
        provenance: JSON values such as model, seed, prompt and licence.

    Returns:
        The text; `json.loads` gives the values back.

    Raises:
        ValueError: If something in it is no JSON value; JSON has neither NaN nor infinity.
    """
    try:
        return json.dumps(dict(provenance), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance must consist of JSON values, but {error}.") from error


def provenance_xmp(provenance: Mapping[str, Any]) -> bytes:
    """An XMP packet, as WebP and others hold it, whose description is the text of a provenance.

    Args:
        provenance: JSON values.

    Returns:
        UTF-8 text; the JSON stands in `dc:description`.

    Raises:
        ValueError: If something in it is no JSON value.
    """
    return _PACKET.format(text=escape(provenance_text(provenance))).encode()
