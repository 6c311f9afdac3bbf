from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_UNSPECIFIED: _ClassVar[Stream]
    AUDIT: _ClassVar[Stream]
    EVENTS: _ClassVar[Stream]
    TELEMETRY: _ClassVar[Stream]
    BULK: _ClassVar[Stream]

class RecordKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_KIND_UNSPECIFIED: _ClassVar[RecordKind]
    BATCH: _ClassVar[RecordKind]
    SCHEMA: _ClassVar[RecordKind]
    GAP: _ClassVar[RecordKind]
    ANCHOR: _ClassVar[RecordKind]
STREAM_UNSPECIFIED: Stream
AUDIT: Stream
EVENTS: Stream
TELEMETRY: Stream
BULK: Stream
RECORD_KIND_UNSPECIFIED: RecordKind
BATCH: RecordKind
SCHEMA: RecordKind
GAP: RecordKind
ANCHOR: RecordKind

class FromGateway(_message.Message):
    __slots__ = ("hello", "records")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    records: RecordGroup
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., records: _Optional[_Union[RecordGroup, _Mapping]] = ...) -> None: ...

class FromServer(_message.Message):
    __slots__ = ("welcome", "ack")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("stream", "epoch", "first_seq", "next_seq")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    stream: Stream
    epoch: int
    first_seq: int
    next_seq: int
    def __init__(self, stream: _Optional[_Union[Stream, str]] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., next_seq: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("gateway", "boot_id", "session", "heads", "wall_ns", "version")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    WALL_NS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    boot_id: str
    session: int
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    wall_ns: int
    version: str
    def __init__(self, gateway: _Optional[str] = ..., boot_id: _Optional[str] = ..., session: _Optional[int] = ..., heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., wall_ns: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class Island(_message.Message):
    __slots__ = ("first_seq", "last_seq")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    last_seq: int
    def __init__(self, first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ("stream", "epoch", "committed_seq", "islands", "chain", "gapped")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    ISLANDS_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    GAPPED_FIELD_NUMBER: _ClassVar[int]
    stream: Stream
    epoch: int
    committed_seq: int
    islands: _containers.RepeatedCompositeFieldContainer[Island]
    chain: bytes
    gapped: _containers.RepeatedCompositeFieldContainer[Island]
    def __init__(self, stream: _Optional[_Union[Stream, str]] = ..., epoch: _Optional[int] = ..., committed_seq: _Optional[int] = ..., islands: _Optional[_Iterable[_Union[Island, _Mapping]]] = ..., chain: _Optional[bytes] = ..., gapped: _Optional[_Iterable[_Union[Island, _Mapping]]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("incarnation", "committed", "credit_bytes", "max_record_bytes", "newest_epoch")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    committed: _containers.RepeatedCompositeFieldContainer[Committed]
    credit_bytes: int
    max_record_bytes: int
    newest_epoch: int
    def __init__(self, incarnation: _Optional[str] = ..., committed: _Optional[_Iterable[_Union[Committed, _Mapping]]] = ..., credit_bytes: _Optional[int] = ..., max_record_bytes: _Optional[int] = ..., newest_epoch: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("stream", "epoch", "seq", "kind", "revision", "samples", "time_min_ns", "time_max_ns", "crc", "hash", "payload", "historical", "absent_from", "thinned")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TIME_MIN_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    CRC_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    HISTORICAL_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FROM_FIELD_NUMBER: _ClassVar[int]
    THINNED_FIELD_NUMBER: _ClassVar[int]
    stream: Stream
    epoch: int
    seq: int
    kind: RecordKind
    revision: int
    samples: int
    time_min_ns: int
    time_max_ns: int
    crc: int
    hash: bytes
    payload: bytes
    historical: bool
    absent_from: int
    thinned: int
    def __init__(self, stream: _Optional[_Union[Stream, str]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., kind: _Optional[_Union[RecordKind, str]] = ..., revision: _Optional[int] = ..., samples: _Optional[int] = ..., time_min_ns: _Optional[int] = ..., time_max_ns: _Optional[int] = ..., crc: _Optional[int] = ..., hash: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., historical: _Optional[bool] = ..., absent_from: _Optional[int] = ..., thinned: _Optional[int] = ...) -> None: ...

class RecordGroup(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("seq", "code", "permanent")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    PERMANENT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    code: str
    permanent: bool
    def __init__(self, seq: _Optional[int] = ..., code: _Optional[str] = ..., permanent: _Optional[bool] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("committed", "rejected", "credit_bytes", "answered")
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    committed: Committed
    rejected: _containers.RepeatedCompositeFieldContainer[Rejection]
    credit_bytes: int
    answered: int
    def __init__(self, committed: _Optional[_Union[Committed, _Mapping]] = ..., rejected: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., credit_bytes: _Optional[int] = ..., answered: _Optional[int] = ...) -> None: ...
