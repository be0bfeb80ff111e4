"""Who sits at the desk: a name, a role, the sections it may see, and its language."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["reader", "centre", "section", "supervisor", "sms_officer", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Stands in `Staff.sections` for every section of the company.
ALL_SECTIONS = "*"


@dataclass(frozen=True, slots=True)
class Staff:
    """One person of the staff during one request; the door puts it into `request.state.staff`.

    `reader` looks and changes nothing, `centre` serves people at the counter, `section` works off the requests of its
    sections, `supervisor` does that for all and takes the second look, `sms_officer` answers for what is sent,
    `administrator` for accounts. An empty `sections` sees nothing; `*` among them sees every section, and what belongs to none.
    """

    name: str
    role: Role
    sections: tuple[str, ...] = ()
    lang: str = "hi"

    @property
    def sees_all(self) -> bool:
        """Whether no section is closed to it."""
        return ALL_SECTIONS in self.sections

    def sees(self, section: str) -> bool:
        """Whether it may see what belongs to a section; what belongs to none is for those who see all."""
        return self.sees_all or (bool(section) and section in self.sections)


def console() -> Staff:
    """Who works at the command line, by the machine's name for them: so it stands in the audit."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = str(os.getuid())
    return Staff(f"console {name}", "administrator", (ALL_SECTIONS,))


def program(client: str) -> Staff:
    """A client of the JSON API, in the audit."""
    return Staff(f"api {client}", "reader", (ALL_SECTIONS,))
