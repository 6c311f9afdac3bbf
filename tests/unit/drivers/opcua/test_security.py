"""What a file says that proves who we are, or why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.drivers.opcua.security import password
from forebay.errors import DeviceRefused


def test_a_password_ends_before_its_line_does() -> None:
    assert password("grün\r\n".encode(), Path("secret")) == "grün"


def test_a_password_that_is_not_utf_8_says_which_file_it_is() -> None:
    with pytest.raises(DeviceRefused, match="secret is not UTF-8") as refused:
        password(b"gr\xfcn\n", Path("secret"))
    assert refused.value.hint == "save password_file as UTF-8"
