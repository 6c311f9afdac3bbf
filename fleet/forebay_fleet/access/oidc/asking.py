"""Asking a provider over HTTP: its addresses, its keys. With a limit on time and size.

Owns the HTTP client and what is remembered of a provider. Must not know sessions or users.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from forebay_fleet.errors import SignInFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forebay_fleet.access.oidc.settings import OidcSettings

TIMEOUT_S = 10.0
MOST_BYTES = 1 << 20
REMEMBERED_S = 3600.0
ANEW_S = 60.0
"""A key that is not known is asked for again, but no more often than this."""
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""How an ID token may be signed (RFC 7518, 3.1; RFC 8037): never by a secret, never by nobody."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a provider said of itself (OpenID Connect Discovery 1.0, section 3)."""

    at_s: float
    authorization: str
    token: str
    userinfo: str | None
    methods: tuple[str, ...]
    """How it wants clients to prove who they are."""
    says_issuer: bool
    """Whether it names itself when it sends somebody back (RFC 9207)."""
    keys: KeySet


class Asking:
    """Of one provider."""

    def __init__(self, settings: OidcSettings, monotonic: Callable[[], float]) -> None:
        """Know nothing yet."""
        self._settings, self._monotonic = settings, monotonic
        self._known: Known | None = None
        try:
            self._tls = ssl.create_default_context()
            if settings.ca is not None:
                self._tls.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            hint = 'name a PEM file: ca = "FILE"'
            raise SignInFailed(f"the provider's authority: {error}", hint=hint) from None

    def client(self, **options: Any) -> AsyncOAuth2Client:  # noqa: ANN401 - authlib's options
        """Give a client for one exchange; `async with` closes it."""
        transport = _Capped(httpx2.AsyncHTTPTransport(verify=self._tls))
        return AsyncOAuth2Client(
            client_id=self._settings.client_id,
            transport=transport,
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
            **options,
        )

    async def known(self, *, anew: bool = False) -> Known:
        """Give what the provider says of itself; `anew` asks unless that was a moment ago.

        Raises:
            SignInFailed: it is not reached, or says something unsound.
        """
        now_s = self._monotonic()
        age_s = now_s - self._known.at_s if self._known is not None else REMEMBERED_S
        if self._known is None or age_s >= (ANEW_S if anew else REMEMBERED_S):
            self._known = await self._ask(now_s)
        return self._known

    async def document(self, address: str, **headers: str) -> dict[str, Any]:
        """Fetch a JSON object. Raises SignInFailed."""
        try:
            async with self.client() as client:
                answer = await client.request("GET", address, withhold_token=True, headers=headers)
            answer.raise_for_status()
            found = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise SignInFailed(
                f"the provider was not asked: {error}", hint=f"see if {address} can be reached"
            ) from error
        if not isinstance(found, dict):
            raise SignInFailed(f"{address} is no JSON object", hint="check `issuer`")
        return found

    async def _ask(self, now_s: float) -> Known:
        issuer = self._settings.issuer
        found = await self.document(f"{issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != issuer:
            said = found.get("issuer")
            raise SignInFailed(f"the provider calls itself {said!r}", hint="write that as `issuer`")
        try:
            jwks: Any = await self.document(found["jwks_uri"])
            keys = KeySet.import_key_set(jwks)
            return Known(
                at_s=now_s,
                authorization=found["authorization_endpoint"],
                token=found["token_endpoint"],
                userinfo=found.get("userinfo_endpoint"),
                methods=tuple(
                    found.get("token_endpoint_auth_methods_supported", ("client_secret_basic",))
                ),
                says_issuer=bool(found.get("authorization_response_iss_parameter_supported")),
                keys=keys,
            )
        except (KeyError, TypeError, ValueError, JoseError) as error:
            raise SignInFailed(
                f"the provider's description is unsound: {error!r}", hint="is `issuer` right?"
            ) from error


class _Capped(httpx2.AsyncBaseTransport):
    """Passes on, but no more than MOST_BYTES of an answer."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        answer.stream = _CappedStream(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for part in self._inner:
            size_bytes += len(part)
            if size_bytes > MOST_BYTES:
                raise httpx2.ReadError("the answer is too long")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
