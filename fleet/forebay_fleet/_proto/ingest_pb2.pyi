from . import uplink_pb2 as _uplink_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Parcel(_message.Message):
    __slots__ = ("gateway", "boot_id", "received_ns", "hello", "records", "answer_to")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TO_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    boot_id: str
    received_ns: int
    hello: _uplink_pb2.Hello
    records: _uplink_pb2.RecordGroup
    answer_to: str
    def __init__(self, gateway: _Optional[str] = ..., boot_id: _Optional[str] = ..., received_ns: _Optional[int] = ..., hello: _Optional[_Union[_uplink_pb2.Hello, _Mapping]] = ..., records: _Optional[_Union[_uplink_pb2.RecordGroup, _Mapping]] = ..., answer_to: _Optional[str] = ...) -> None: ...

class Parcels(_message.Message):
    __slots__ = ("parcels",)
    PARCELS_FIELD_NUMBER: _ClassVar[int]
    parcels: _containers.RepeatedCompositeFieldContainer[Parcel]
    def __init__(self, parcels: _Optional[_Iterable[_Union[Parcel, _Mapping]]] = ...) -> None: ...

class Greeting(_message.Message):
    __slots__ = ("welcome", "refusal", "gateway")
    class Refusal(_message.Message):
        __slots__ = ("status", "reason")
        STATUS_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        status: str
        reason: str
        def __init__(self, status: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    welcome: _uplink_pb2.Welcome
    refusal: Greeting.Refusal
    gateway: int
    def __init__(self, welcome: _Optional[_Union[_uplink_pb2.Welcome, _Mapping]] = ..., refusal: _Optional[_Union[Greeting.Refusal, _Mapping]] = ..., gateway: _Optional[int] = ...) -> None: ...

class Present(_message.Message):
    __slots__ = ("worker", "incarnation")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    worker: str
    incarnation: str
    def __init__(self, worker: _Optional[str] = ..., incarnation: _Optional[str] = ...) -> None: ...
