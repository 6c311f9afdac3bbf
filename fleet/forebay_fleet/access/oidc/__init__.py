"""Signing in where people of a company do already: OpenID Connect Core 1.0, code flow with PKCE."""
