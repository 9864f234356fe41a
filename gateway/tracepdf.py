"""The trace of a patient's folders as a PDF that can be handed over."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle
from reportlab.platypus.flowables import Spacer

from dcc.gateway.trace import Event

COLUMNS = ("Date (UTC)", "Dossier", "Qui", "A fait", "Quoi", "Motif")
WIDTHS = (32, 28, 58, 42, 62, 52)


def pdf(found: Sequence[Event], at: datetime) -> bytes:
    """The document's octets; fonts are those that every reader has."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=landscape(A4), title="Trace des accès au dossier", author="Passerelle DCC", lang="fr",
        leftMargin=12 * mm, rightMargin=12 * mm, topMargin=14 * mm, bottomMargin=14 * mm,
    )  # fmt: skip
    styles = getSampleStyleSheet()
    cell = styles["BodyText"].clone("cell", fontSize=8, leading=10)

    def shown(text: str) -> Paragraph:
        return Paragraph(escape(text), cell)

    rows = [[shown(name) for name in COLUMNS]]
    for one in found:
        moment = one.at.astimezone(UTC).strftime("%d/%m/%Y %H:%M:%S")
        rows.append([shown(text) for text in (moment, one.folder, one.who, one.did, one.what, one.why or "")])
    table = Table(rows, colWidths=[width * mm for width in WIDTHS], repeatRows=1)
    table.setStyle(
        TableStyle([
            ("GRID", (0, 0), (-1, -1), 0.25, colors.grey),
            ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ])
    )  # fmt: skip
    head = (
        f"Qui a déposé, reçu ou modifié quoi dans vos dossiers. Édité le {at.astimezone(UTC):%d/%m/%Y à %H:%M} (UTC)."
    )
    document.build([
        Paragraph("Trace des accès au dossier", styles["Title"]), Paragraph(escape(head), styles["BodyText"]),
        Spacer(1, 6 * mm), table,
    ])  # fmt: skip
    return out.getvalue()
