"""The file that says where people sign in: issuer, client, which group has which role.

Owns its keys. Must not know how it is used.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from forebay_fleet.access.roles import Role
from forebay_fleet.errors import FleetError, UsageError

MOST_BYTES = 64 << 10
MOST_GROUPS = 1000


def _secure(address: str) -> str:
    """Refuse an address that anybody on the way could answer for."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return address.rstrip("/")
    if parts.scheme == "http" and _loopback(parts.hostname or ""):
        return address.rstrip("/")
    raise ValueError("write https://HOST; plain http is for this machine alone")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _role(word: str) -> str:
    try:
        return Role.parse(word).word
    except UsageError as error:
        raise ValueError(f"{error} ({error.hint})") from None


Address = Annotated[str, AfterValidator(_secure)]
RoleWord = Annotated[str, AfterValidator(_role)]


class OidcSettings(BaseModel):
    """What `serve --oidc FILE` reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Address
    """As the provider itself writes it, but for a slash at the end."""
    client_id: str = Field(min_length=1, max_length=200)
    client_secret_file: Path | None = None
    """Beside the file if it is relative; none: a public client, whom PKCE alone protects."""
    page: Address
    """Where browsers find this server; the provider must know PAGE/sign-in/oidc/back."""
    label: str = Field(default="OpenID", min_length=1, max_length=60)
    """What the button says."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    roles_claim: str = "groups"
    """Holds a list of names, or one; dots lead into objects: realm_access.roles."""
    roles: dict[str, RoleWord] = Field(max_length=MOST_GROUPS)
    """From a name in that claim to a role; the highest counts, and who has none may not come."""
    ca: Path | None = None
    """PEM file of the authority that the provider's certificate is of, beside the usual ones."""


def load(path: Path) -> tuple[OidcSettings, str | None]:
    """Read the file; give the settings and the client's secret.

    Raises:
        UsageError: it cannot be read, or is not sound; the text names the key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise UsageError(f"{path} is too long", hint="64 KiB at most")
        settings = OidcSettings.model_validate(tomllib.loads(text.decode()))
        secret = None
        if settings.client_secret_file is not None:
            secret = (path.parent / settings.client_secret_file).read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}", hint="see --oidc") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        hint = "see docs/guides/page.md, section 5"
        raise UsageError(f"{path}: {where}: {first['msg']}", hint=hint) from None
    except (ValueError, FleetError) as error:
        raise UsageError(f"{path}: {error}", hint="it is TOML, in UTF-8") from None
    ca = settings.ca and path.parent / settings.ca
    return settings.model_copy(update={"ca": ca}), secret
