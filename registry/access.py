"""Who may see and do what: a signed-in person as a value, and the questions one asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Person", "Role"]


class Role(StrEnum):
    """What a person is here for."""

    OPERATOR = "operator"
    INSPECTOR = "inspector"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person.

    Attributes:
        person_id: key in registry.person.
        login: sign-in name; goes into journals.
        display_name: shown to colleagues, never on public pages.
        roles: what the person is here for; ADMIN includes the others.
        scope: path of the organisation node, e.g. `/1/4/`; the person sees this subtree only.
        csrf: token every changing request must carry (form field `csrf` or header `X-CSRF`).
    """

    person_id: int
    login: str
    display_name: str
    roles: frozenset[Role]
    scope: str
    csrf: str

    def has(self, role: Role) -> bool:
        """Tell whether the person acts in `role`."""
        return role in self.roles or Role.ADMIN in self.roles

    def sees(self, organisation_path: str) -> bool:
        """Tell whether `organisation_path` lies in the person's subtree."""
        return organisation_path.startswith(self.scope)
