"""What a person writes about the line to a Modbus device: transport, address, port, certificates.

Owns which of these settings go together. Must not know how a line is opened, nor tags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from forebay.settings import Host, Seconds, Settings

Transport = Literal["tcp", "tls", "udp", "rtu", "ascii", "rtu-over-tcp", "ascii-over-tcp"]
"""How requests travel.

tcp: MODBUS Messaging on TCP/IP V1.0b. tls: MODBUS/TCP Security V2.1. udp: the frames of tcp, one a
datagram. rtu and ascii: MODBUS over Serial Line V1.02 on a serial port; with `-over-tcp` the same
frames through a TCP connection to a serial device server.
"""
Parity = Literal["none", "even", "odd"]

ON_PORT = frozenset({"rtu", "ascii"})
"""Transports on a serial port of this machine."""
NUMBERED = frozenset({"tcp", "tls", "udp"})
"""Transports whose answers carry transaction ids."""
_CONNECTED = frozenset({"tcp", "tls", "rtu-over-tcp", "ascii-over-tcp"})
_PORT_KEYS = ("serial_port", "baudrate", "parity", "stop_bits", "data_bits")
_TLS_KEYS = ("ca", "certificate", "key", "server_name")
_TCP_PORT, _TLS_PORT = 502, 802


def _check_serial_port(text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"{text!r} is no serial port; write a path such as /dev/ttyUSB0")
    return text


SerialPort = Annotated[str, Field(max_length=255), AfterValidator(_check_serial_port)]
"""The path of a serial port of this machine."""


class Link(NamedTuple):
    """Where a line leads and how; the same for every device on it.

    Times are in seconds. What does not belong to the transport is empty or its default.
    """

    transport: Transport
    host: str
    port: int
    serial_port: str
    baudrate: int
    parity: Parity
    stop_bits: int
    data_bits: int
    ca: Path | None
    certificate: Path | None
    key: Path | None
    server_name: str
    connect_pause: float
    close_after_read: bool
    echo: bool

    @property
    def name(self) -> str:
        """What tells this line from others, as people read it."""
        if self.serial_port:
            return self.serial_port
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"udp {place}" if self.transport == "udp" else place

    def differs(self, other: Link) -> list[str]:
        """Name the settings in which the two lines are not the same."""
        ours, theirs = self._asdict(), other._asdict()
        return [key for key in ours if ours[key] != theirs[key]]

    @property
    def character_s(self) -> float:
        """How long one character takes on the serial port: start, data, parity and stop bits."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baudrate


class LineSettings(Settings):
    """The line to a device. Devices that name the same one share its connection or port."""

    transport: Annotated[Transport, Field(description="How requests travel.")] = "tcp"
    host: Annotated[
        Host | None, Field(description="Name or IP address of the device or gateway.")
    ] = None
    port: Annotated[
        int | None, Field(ge=1, le=65_535, description="TCP or UDP port; 502, or 802 with tls.")
    ] = None
    serial_port: Annotated[
        SerialPort | None,
        Field(description="Serial port for rtu and ascii, such as /dev/ttyUSB0."),
    ] = None
    baudrate: Annotated[int, Field(ge=300, le=4_000_000, description="Bits a second.")] = 19_200
    parity: Annotated[Parity, Field(description="Parity of each character.")] = "even"
    stop_bits: Annotated[
        Literal[1, 2] | None, Field(description="Stop bits; 1, or 2 without parity.")
    ] = None
    data_bits: Annotated[
        Literal[7, 8] | None, Field(description="Data bits of each character; 8, or 7 for ascii.")
    ] = None
    ca: Annotated[
        Path | None, Field(description="Authorities (PEM) to trust instead of the machine's.")
    ] = None
    certificate: Annotated[
        Path | None, Field(description="Our certificate (PEM); the device takes our role from it.")
    ] = None
    key: Annotated[Path | None, Field(description="The private key of our certificate.")] = None
    server_name: Annotated[
        Host | None, Field(description="Name in the device's certificate, if it is not `host`.")
    ] = None
    connect_pause: Annotated[
        Seconds, Field(ge=0, le=60, description="Rest between connecting and the first request.")
    ] = 0.0
    request_pause: Annotated[
        Seconds, Field(ge=0, le=60, description="Rest between an answer and the next request.")
    ] = 0.0
    close_after_read: Annotated[
        bool, Field(description="Whether to connect for each read and hang up after it.")
    ] = False
    echo: Annotated[
        bool,
        Field(description="Whether the adapter repeats what is sent, as some of RS-485 do."),
    ] = False

    def link(self) -> Link:
        """Give where the line leads."""
        on_port, tls = self.transport in ON_PORT, self.transport == "tls"
        return Link(
            self.transport,
            self.host or "",
            0 if on_port else self.port or (_TLS_PORT if tls else _TCP_PORT),
            self.serial_port or "",
            self.baudrate,
            self.parity,
            self.stop_bits or (2 if self.parity == "none" else 1),
            self.data_bits or (7 if self.transport == "ascii" else 8),
            self.ca,
            self.certificate,
            self.key,
            self.server_name or "",
            self.connect_pause,
            self.close_after_read,
            self.echo,
        )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.transport in ON_PORT:
            self._check_port()
        else:
            if self.host is None:
                raise ValueError(f"{self.transport} needs a host; write the device's address")
            self._refuse(_PORT_KEYS, 'only transport = "rtu" and "ascii" use a serial port')
        if self.transport == "tls":
            if self.certificate is None or self.key is None:
                missing = "certificate" if self.certificate is None else "key"
                raise ValueError(
                    f"tls needs a {missing} of ours; both sides show theirs in Modbus/TCP Security"
                )
        else:
            self._refuse(_TLS_KEYS, 'only transport = "tls" has certificates')
        if self.transport in NUMBERED:
            self._refuse(("echo",), "only an adapter of a serial line repeats what is sent")
        if self.close_after_read and self.transport not in _CONNECTED:
            raise ValueError(
                f"{self.transport} has no connection to close; leave out close_after_read"
            )
        return self

    def _check_port(self) -> None:
        """Raise ValueError unless this can be a serial line."""
        if self.serial_port is None:
            instead = (
                f'or transport = "{self.transport}-over-tcp" for a serial device server'
                if self.host is not None
                else "such as /dev/ttyUSB0"
            )
            raise ValueError(f"{self.transport} needs a serial port; write serial_port, {instead}")
        self._refuse(("host", "port"), f"{self.transport} is on a serial port of this machine")
        if self.transport == "rtu" and self.data_bits == 7:
            raise ValueError(
                "RTU has characters of 8 data bits; leave out data_bits, "
                'or choose transport = "ascii"'
            )

    def _refuse(self, keys: tuple[str, ...], why: str) -> None:
        """Raise ValueError if any of these keys was written."""
        written = [key for key in keys if key in self.model_fields_set]
        if written:
            raise ValueError(f"{written[0]} has no meaning here: {why}; leave it out")
