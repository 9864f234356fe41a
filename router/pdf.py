"""Small readable PDF files: the person's copy beside a CDA, for the demo and for outgoing mails."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

# reportlab carries no types; loaded by name so that the rest stays strictly typed
PLATYPUS: Any = importlib.import_module("reportlab.platypus")
STYLES: Any = importlib.import_module("reportlab.lib.styles")
PAGES: Any = importlib.import_module("reportlab.lib.pagesizes")

MARGIN = 56  # points


def small_pdf(title: str, paragraphs: Sequence[str]) -> bytes:
    """One or more pages of text; the same input gives the same bytes."""
    out = io.BytesIO()
    title_style = STYLES.ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=14, leading=18, spaceAfter=8)
    body_style = STYLES.ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14, spaceAfter=4)
    document = PLATYPUS.SimpleDocTemplate(
        out,
        pagesize=PAGES.A4,
        title=title,
        author="",
        invariant=1,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
    )
    story = [PLATYPUS.Paragraph(escape(title), title_style), PLATYPUS.Spacer(1, 6)]
    story += [PLATYPUS.Paragraph(escape(one), body_style) for one in paragraphs]
    document.build(story)
    return out.getvalue()
