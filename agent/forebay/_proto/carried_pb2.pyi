from . import uplink_pb2 as _uplink_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataHeader(_message.Message):
    __slots__ = ("gateway", "uplink", "collection", "collected_ns", "sealed_key", "version")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    COLLECTED_NS_FIELD_NUMBER: _ClassVar[int]
    SEALED_KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    uplink: str
    collection: bytes
    collected_ns: int
    sealed_key: bytes
    version: str
    def __init__(self, gateway: _Optional[str] = ..., uplink: _Optional[str] = ..., collection: _Optional[bytes] = ..., collected_ns: _Optional[int] = ..., sealed_key: _Optional[bytes] = ..., version: _Optional[str] = ...) -> None: ...

class DataEnd(_message.Message):
    __slots__ = ("records", "payload_bytes")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    records: int
    payload_bytes: int
    def __init__(self, records: _Optional[int] = ..., payload_bytes: _Optional[int] = ...) -> None: ...

class DataAck(_message.Message):
    __slots__ = ("gateway", "uplink", "collection", "issued_ns", "incarnation", "newest_epoch", "committed", "refused")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    uplink: str
    collection: bytes
    issued_ns: int
    incarnation: str
    newest_epoch: int
    committed: _containers.RepeatedCompositeFieldContainer[_uplink_pb2.Committed]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, gateway: _Optional[str] = ..., uplink: _Optional[str] = ..., collection: _Optional[bytes] = ..., issued_ns: _Optional[int] = ..., incarnation: _Optional[str] = ..., newest_epoch: _Optional[int] = ..., committed: _Optional[_Iterable[_Union[_uplink_pb2.Committed, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("stream", "epoch", "seq", "code")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    stream: _uplink_pb2.Stream
    epoch: int
    seq: int
    code: str
    def __init__(self, stream: _Optional[_Union[_uplink_pb2.Stream, str]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...
