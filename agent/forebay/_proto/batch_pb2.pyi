from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_TYPE_UNSPECIFIED: _ClassVar[ValueType]
    BOOL: _ClassVar[ValueType]
    INT8: _ClassVar[ValueType]
    UINT8: _ClassVar[ValueType]
    INT16: _ClassVar[ValueType]
    UINT16: _ClassVar[ValueType]
    INT32: _ClassVar[ValueType]
    UINT32: _ClassVar[ValueType]
    INT64: _ClassVar[ValueType]
    UINT64: _ClassVar[ValueType]
    FLOAT32: _ClassVar[ValueType]
    FLOAT64: _ClassVar[ValueType]
    STRING: _ClassVar[ValueType]
    BYTES: _ClassVar[ValueType]

class Transform(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSFORM_UNSPECIFIED: _ClassVar[Transform]
    PLAIN: _ClassVar[Transform]
    SHUFFLE: _ClassVar[Transform]
    DELTA: _ClassVar[Transform]
    DECIMAL: _ClassVar[Transform]
    STRINGS: _ClassVar[Transform]

class ColumnRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_ROLE_UNSPECIFIED: _ClassVar[ColumnRole]
    TIME: _ClassVar[ColumnRole]
    RECEIVED: _ClassVar[ColumnRole]
    INDEX: _ClassVar[ColumnRole]
    VALUES: _ClassVar[ColumnRole]
    QUALITY: _ClassVar[ColumnRole]

class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPRESSION_UNSPECIFIED: _ClassVar[Compression]
    NONE: _ClassVar[Compression]
    ZSTD: _ClassVar[Compression]

class GapCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_CAUSE_UNSPECIFIED: _ClassVar[GapCause]
    RING_OVERFLOW: _ClassVar[GapCause]
    UNCLEAN_SHUTDOWN: _ClassVar[GapCause]
    RETENTION_BYTES: _ClassVar[GapCause]
    RETENTION_AGE: _ClassVar[GapCause]
    CORRUPT: _ClassVar[GapCause]
    NOT_POLLED: _ClassVar[GapCause]
    STREAM_FULL: _ClassVar[GapCause]
    QUARANTINED: _ClassVar[GapCause]
    NOT_COMPUTED: _ClassVar[GapCause]

class ClockState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOCK_STATE_UNSPECIFIED: _ClassVar[ClockState]
    UNSYNCED: _ClassVar[ClockState]
    SYNCED: _ClassVar[ClockState]
    HOLDOVER: _ClassVar[ClockState]
VALUE_TYPE_UNSPECIFIED: ValueType
BOOL: ValueType
INT8: ValueType
UINT8: ValueType
INT16: ValueType
UINT16: ValueType
INT32: ValueType
UINT32: ValueType
INT64: ValueType
UINT64: ValueType
FLOAT32: ValueType
FLOAT64: ValueType
STRING: ValueType
BYTES: ValueType
TRANSFORM_UNSPECIFIED: Transform
PLAIN: Transform
SHUFFLE: Transform
DELTA: Transform
DECIMAL: Transform
STRINGS: Transform
COLUMN_ROLE_UNSPECIFIED: ColumnRole
TIME: ColumnRole
RECEIVED: ColumnRole
INDEX: ColumnRole
VALUES: ColumnRole
QUALITY: ColumnRole
COMPRESSION_UNSPECIFIED: Compression
NONE: Compression
ZSTD: Compression
GAP_CAUSE_UNSPECIFIED: GapCause
RING_OVERFLOW: GapCause
UNCLEAN_SHUTDOWN: GapCause
RETENTION_BYTES: GapCause
RETENTION_AGE: GapCause
CORRUPT: GapCause
NOT_POLLED: GapCause
STREAM_FULL: GapCause
QUARANTINED: GapCause
NOT_COMPUTED: GapCause
CLOCK_STATE_UNSPECIFIED: ClockState
UNSYNCED: ClockState
SYNCED: ClockState
HOLDOVER: ClockState

class Tag(_message.Message):
    __slots__ = ("name", "address", "type", "unit", "scale", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    type: ValueType
    unit: str
    scale: float
    offset: float
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., type: _Optional[_Union[ValueType, str]] = ..., unit: _Optional[str] = ..., scale: _Optional[float] = ..., offset: _Optional[float] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("id", "source", "group", "tags")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    id: int
    source: str
    group: str
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    def __init__(self, id: _Optional[int] = ..., source: _Optional[str] = ..., group: _Optional[str] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ...) -> None: ...

class Decimal(_message.Message):
    __slots__ = ("exponent", "product", "width")
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    exponent: int
    product: bool
    width: int
    def __init__(self, exponent: _Optional[int] = ..., product: _Optional[bool] = ..., width: _Optional[int] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("role", "type", "transform", "bytes", "decimal")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DECIMAL_FIELD_NUMBER: _ClassVar[int]
    role: ColumnRole
    type: ValueType
    transform: Transform
    bytes: int
    decimal: Decimal
    def __init__(self, role: _Optional[_Union[ColumnRole, str]] = ..., type: _Optional[_Union[ValueType, str]] = ..., transform: _Optional[_Union[Transform, str]] = ..., bytes: _Optional[int] = ..., decimal: _Optional[_Union[Decimal, _Mapping]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("schema_id", "rows", "base_time_ns", "columns", "compression", "raw_bytes", "data")
    SCHEMA_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BASE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    schema_id: int
    rows: int
    base_time_ns: int
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    compression: Compression
    raw_bytes: int
    data: bytes
    def __init__(self, schema_id: _Optional[int] = ..., rows: _Optional[int] = ..., base_time_ns: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., compression: _Optional[_Union[Compression, str]] = ..., raw_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("cause", "time_from_ns", "time_to_ns", "samples", "source", "epoch", "seq_from", "seq_to")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TIME_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_NS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FROM_FIELD_NUMBER: _ClassVar[int]
    SEQ_TO_FIELD_NUMBER: _ClassVar[int]
    cause: GapCause
    time_from_ns: int
    time_to_ns: int
    samples: int
    source: str
    epoch: int
    seq_from: int
    seq_to: int
    def __init__(self, cause: _Optional[_Union[GapCause, str]] = ..., time_from_ns: _Optional[int] = ..., time_to_ns: _Optional[int] = ..., samples: _Optional[int] = ..., source: _Optional[str] = ..., epoch: _Optional[int] = ..., seq_from: _Optional[int] = ..., seq_to: _Optional[int] = ...) -> None: ...

class Anchor(_message.Message):
    __slots__ = ("boot_id", "wall_ns", "monotonic_ns", "state", "error_ns")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    WALL_NS_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_NS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_NS_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    wall_ns: int
    monotonic_ns: int
    state: ClockState
    error_ns: int
    def __init__(self, boot_id: _Optional[str] = ..., wall_ns: _Optional[int] = ..., monotonic_ns: _Optional[int] = ..., state: _Optional[_Union[ClockState, str]] = ..., error_ns: _Optional[int] = ...) -> None: ...
