"""What a running agent is asked about its configuration.

Owns these questions, and how a configuration is sent part by part. Must not know how answers are
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from forebay._proto import control_pb2 as pb
from forebay.control.asking import Asking
from forebay.control.limits import SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEND_S = 60.0
PART_BYTES = 256 << 10


class ReadFile(NamedTuple):
    """One file of a configuration; `data` is None if the agent does not tell it."""

    path: str
    sha256: bytes
    size_bytes: int
    data: bytes | None


class ConfigQuestions(Asking):
    """What a command asks of the configuration; see `Asking` for what it raises."""

    def config(self) -> pb.ConfigReply:
        """Ask what was wanted, what runs, and what became of the last attempt."""
        return self._ask("GetConfig", pb.ConfigRequest(), pb.ConfigReply.FromString)

    def config_attempts(self) -> pb.AttemptsReply:
        """Ask for the last attempts, oldest first."""
        return self._ask("ListAttempts", pb.AttemptsRequest(), pb.AttemptsReply.FromString)

    def config_files(self, which: str) -> list[ReadFile]:
        """Ask for the files of what is `running` or `desired`."""
        found: list[ReadFile] = []
        request = pb.ConfigFilesRequest(which=which)
        for part in self._follow("ReadConfig", request, pb.ConfigPart.FromString):
            if part.path:
                data = part.data if part.data or not part.size_bytes else None
                found.append(ReadFile(part.path, part.sha256, part.size_bytes, data))
            elif found:
                last = found[-1]
                found[-1] = last._replace(data=(last.data or b"") + part.data)
        return found

    def apply_config(self, contents: Mapping[str, bytes], reason: str) -> int:
        """Have these files tried; give the id of the attempt."""
        if self._channel is None:
            raise RuntimeError("the connection is used outside of its `with` block")
        call: Any = self._channel.stream_unary(
            f"/{SERVICE}/ApplyConfig",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.AttemptBegun.FromString,
        )
        try:
            return int(call(_parts(contents, reason), timeout=SEND_S).attempt)
        except grpc.RpcError as error:
            raise self._translated(error, SEND_S) from error

    def rollback_config(self, reason: str) -> int:
        """Have what ran before run again; give the id of the attempt."""
        request = pb.RollbackRequest(reason=reason)
        return self._ask("RollbackConfig", request, pb.AttemptBegun.FromString, SEND_S).attempt


def _parts(contents: Mapping[str, bytes], reason: str) -> Iterator[pb.ConfigPart]:
    from forebay.config.bundle import described  # most questions need none of what this loads

    yield pb.ConfigPart(reason=reason)
    for file in described(contents):
        data = contents[file.path]
        yield pb.ConfigPart(
            path=file.path,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            data=data[:PART_BYTES],
        )
        for start in range(PART_BYTES, len(data), PART_BYTES):
            yield pb.ConfigPart(data=data[start : start + PART_BYTES])
