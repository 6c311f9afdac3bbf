"""An OpenID provider of the test's own, over real HTTP, that can be told to lie."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

import uvicorn
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

CLIENT, SECRET = "forebay", "a secret of the client"


class LyingProvider:
    """`async with LyingProvider() as provider:`; `claims` and the rest may be changed.

    `way` gives what a browser would bring back from the address that it was sent to.
    """

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.shown = self.key
        """Whose public half is published."""
        self.claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.header: dict[str, str] = {"alg": "RS256", "kid": "one"}
        self.document: Callable[[dict[str, Any]], dict[str, Any]] = lambda found: found
        self.person: dict[str, Any] = {"preferred_username": "eva", "groups": ["plant-admins"]}
        self.told: dict[str, Any] | None = None
        """What userinfo says; None: the ID token says all."""
        self.asked: dict[str, str] = {}
        self.tokens_given = 0

    async def __aenter__(self) -> Self:
        routes = [
            Route("/.well-known/openid-configuration", self._describe),
            Route("/jwks", self._keys),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_config=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server._serve(), name="lying")  # noqa: SLF001 - without its signals
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.issuer = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving

    def way(self, address: str) -> dict[str, str]:
        """Take somebody's yes; give the query that leads back."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/auth"
        self.asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert self.asked["code_challenge_method"] == "S256"
        return {"code": "a code", "state": self.asked["state"], "iss": self.issuer}

    async def _describe(self, _request: Request) -> Response:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(self.document(found))

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.shown.as_dict(private=False)]})

    async def _token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        challenge = create_s256_code_challenge(form.get("code_verifier", ""))
        if challenge != self.asked["code_challenge"] or form["code"] != "a code":
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert request.headers["authorization"].startswith("Basic ")
        self.tokens_given += 1
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "17",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            **({} if self.told is not None else self.person),
        }
        secret = OctKey.import_key(SECRET)
        key = secret if self.header["alg"] == "HS256" else self.key
        algorithms = ["HS256", "RS256"]
        token = jwt.encode(self.header, self.claims(claims), key, algorithms=algorithms)
        answer = {"access_token": "at", "token_type": "Bearer", "id_token": token}
        return JSONResponse(answer)

    async def _userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer at"
        return JSONResponse(self.told)
