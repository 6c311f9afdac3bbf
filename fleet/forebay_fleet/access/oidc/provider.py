"""A person's way to the provider and back: what is sent along, what must come back, who it is.

Owns the checks of OpenID Connect Core 1.0 (3.1) with PKCE (RFC 7636), state and nonce. Must not
know cookies' attributes, users or sessions. Nothing is kept here between the two steps: all three
secrets follow from one in the browser's cookie, so that any process can take the second step.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from forebay_fleet.access.oidc.asking import ALGORITHMS, Asking
from forebay_fleet.access.roles import Role
from forebay_fleet.errors import SignInFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay_fleet.access.oidc.asking import Known
    from forebay_fleet.access.oidc.settings import OidcSettings

BACK = "/sign-in/oidc/back"
SECRET_BYTES = 32
LEEWAY_S = 60
"""How far the provider's clock may be from ours."""
MOST_TEXT = 200


class Person(NamedTuple):
    """Who came back: `subject` is the provider's for ever, the name may change."""

    subject: str
    name: str
    role: Role


class Provider:
    """One provider, for a server."""

    def __init__(
        self, settings: OidcSettings, secret: str | None, monotonic: Callable[[], float]
    ) -> None:
        """Ask nobody yet. Raises SignInFailed for an authority that cannot be read."""
        self.settings, self._secret = settings, secret
        self._asking = Asking(settings, monotonic)

    async def begin(self) -> tuple[str, str]:
        """Give where to send a browser, and the secret it must bring back in a cookie.

        Raises:
            SignInFailed: the provider is not reached, or is unsound.
        """
        known, secret = await self._asking.known(), secrets.token_urlsafe(SECRET_BYTES)
        async with self._client(known) as client:
            address, _ = client.create_authorization_url(
                known.authorization,
                state=_derived(secret, "state"),
                nonce=_derived(secret, "nonce"),
                code_verifier=_derived(secret, "verifier"),
            )
        return str(address), secret

    async def finish(self, secret: str, query: Mapping[str, str]) -> Person:
        """Give who came back with `query` and the cookie's secret.

        Raises:
            SignInFailed: it is not the way that began here, the provider refused, its ID token is
                not good, or the person has no role.
        """
        if not secret or not hmac.compare_digest(
            query.get("state", "").encode(), _derived(secret, "state").encode()
        ):
            raise SignInFailed("this sign-in did not begin here", hint="begin anew")
        if "error" in query or "code" not in query:
            said = query.get("error_description") or query.get("error") or "nothing"
            raise SignInFailed(f"the provider said: {said[:MOST_TEXT]}", hint="ask its admin")
        known = await self._asking.known()
        said_issuer = query.get("iss", "" if known.says_issuer else self.settings.issuer)
        if said_issuer.rstrip("/") != self.settings.issuer:
            raise SignInFailed("another provider answered", hint="begin anew")
        tokens = await self._tokens(known, query["code"], _derived(secret, "verifier"))
        claims = await self._checked(known, tokens, _derived(secret, "nonce"))
        return self._person(await self._completed(known, claims, tokens))

    def _client(self, known: Known) -> Any:  # noqa: ANN401 - authlib has no types
        method = "none"
        if self._secret is not None:
            basic = "client_secret_basic" in known.methods
            method = "client_secret_basic" if basic else "client_secret_post"
        return self._asking.client(
            client_secret=self._secret,
            token_endpoint_auth_method=method,
            scope=" ".join(self.settings.scopes),
            redirect_uri=self.settings.page + BACK,
            code_challenge_method="S256",
        )

    async def _tokens(self, known: Known, code: str, verifier: str) -> dict[str, Any]:
        try:
            async with self._client(known) as client:
                found = await client.fetch_token(
                    known.token, code=code, code_verifier=verifier, grant_type="authorization_code"
                )
        except (OAuthError, httpx2.HTTPError, ValueError) as error:
            said = str(error)[:MOST_TEXT]
            raise SignInFailed(f"the provider gave no token: {said}", hint="begin anew") from error
        if not isinstance(found.get("id_token"), str):
            raise SignInFailed("the provider gave no ID token", hint="it must know scope openid")
        return dict(found)

    async def _checked(self, known: Known, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
        """Give the claims of an ID token that is good (OpenID Connect Core 1.0, 3.1.3.7)."""
        text = tokens["id_token"]
        try:
            try:
                token = jwt.decode(text, known.keys, algorithms=ALGORITHMS)
            except InvalidKeyIdError:  # it has taken another key into use
                anew = await self._asking.known(anew=True)
                token = jwt.decode(text, anew.keys, algorithms=ALGORITHMS)
            issuer = str(token.claims.get("iss", "")).rstrip("/")
            claims = CodeIDToken(
                {**token.claims, "iss": issuer},
                token.header,
                {
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                    "sub": {"essential": True},
                },
                {
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            raise SignInFailed(
                f"the provider's ID token is not good: {error}", hint="begin anew"
            ) from error
        return dict(claims)

    async def _completed(
        self, known: Known, claims: dict[str, Any], tokens: dict[str, Any]
    ) -> dict[str, Any]:
        """Add what the provider tells only when it is asked (OpenID Connect Core 1.0, 5.3)."""
        wanted = (self.settings.name_claim, self.settings.roles_claim)
        complete = all(_found(claims, path) is not None for path in wanted)
        if complete or known.userinfo is None or "access_token" not in tokens:
            return claims
        told = await self._asking.document(
            known.userinfo, authorization=f"Bearer {tokens['access_token']}"
        )
        if told.get("sub") != claims["sub"]:
            raise SignInFailed("the provider told of somebody else", hint="begin anew")
        return {**told, **claims}

    def _person(self, claims: dict[str, Any]) -> Person:
        subject, name = str(claims["sub"]), _found(claims, self.settings.name_claim)
        if not isinstance(name, str) or not name:
            hint = f"have it tell `{self.settings.name_claim}`, or set `name_claim`"
            raise SignInFailed("the provider told no name", hint=hint)
        given = _found(claims, self.settings.roles_claim)
        groups = given if isinstance(given, list) else [given]
        roles = [
            Role.parse(self.settings.roles[group])
            for group in groups
            if isinstance(group, str) and group in self.settings.roles
        ]
        if not roles:
            hint = f"an admin of the provider gives one, by `{self.settings.roles_claim}`"
            raise SignInFailed(f"{name[:64]} has no role here", hint=hint)
        return Person(f"{self.settings.issuer}#{subject}"[:500], name, max(roles))


def _derived(secret: str, use: str) -> str:
    """Give a secret of its own for each use, 43 characters of base64url (RFC 7636, 4.1)."""
    found = hmac.digest(secret.encode(), use.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(found).decode().rstrip("=")


def _found(claims: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """Give a claim by its dotted path, or by its whole name; None if it is not there."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
