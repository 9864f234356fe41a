"""HL7 v2 messages made by hand for tests: every field that the reader looks at can be said."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

INS = "279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS^^20101207"


@dataclass
class Hl7:
    """One MDM or ORU message; `documents` are (OBX-3 code, kind, bytes)."""

    documents: Sequence[tuple[str, str, bytes]] = ()
    kind: str = "MDM^T02^MDM_T02"
    order: str | None = "NW"
    status: str = "F"
    ins: str = INS
    name: str = "PAT-TROIS^DOMINIQUE^DOMINIQUE MARIE-LOUISE^^^^L"
    birth: str = "19790328"
    sex: str = "F"
    places: str = "28 Av^^PARIS^^75007^FRA^H~^^^^^^BDL^^51215"
    own_id: str = ""
    parent_id: str = ""
    type_said: str = "34794-8"
    sender: str = "899700000017^DRA^Test^^^^^^ASIP&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"
    structure: str = "CH TEST^^^^^ASIP&1.2.250.1.71.4.2.2&ISO^FINEG^^^1490000049"
    flags: Mapping[str, str] = field(default_factory=dict)
    end: str = "\r"

    def lines(self) -> list[str]:
        """The segments."""
        found = [
            f"MSH|^~\\&|RIS-Y|Organisation-Y|DCC|DCC|202606010931||{self.kind}|MSG015|P|2.6|||||FRA|UNICODE UTF-8|||2.1^X",
            f"PID|||{self.ins}||{self.name}||{self.birth}|{self.sex}|||{self.places}" + "|" * 21 + "VALI",
        ]
        if self.order is not None:
            found.append(f"ORC|{self.order}|")
        if self.kind.startswith("MDM"):
            found.append(f"TXA|1|{self.type_said}|TEXT|202606010932||||||||{self.own_id}|{self.parent_id}||||AU|||||")
        for number, (code, kind, data) in enumerate(self.documents, 1):
            value = base64.b64encode(data).decode()
            found.append(f"OBX|{number}|ED|{code}^libellé^LN||^text^{kind}^Base64^{value}||||||{self.status}|")
        found.append(f"PRT||UC||SB^^participation|{self.sender}|||{self.structure}|")
        for number, (name, value) in enumerate(self.flags.items(), 20):
            found.append(f"OBX|{number}|CWE|{name}^texte^MetaDMPMSS||{value}^^expandedYes-NoIndicator||||||F|")
        found.append("OBX|99|ED|CORPSMAIL_PS^Corps du mail pour un PS^MetaDMPMSS||^text^^Base64^Q2hlcg==||||||F|")
        return found

    def data(self) -> bytes:
        """The message."""
        return "".join(line + self.end for line in self.lines()).encode()
