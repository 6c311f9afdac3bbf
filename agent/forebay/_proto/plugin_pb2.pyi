from . import batch_pb2 as _batch_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutputKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_KIND_UNSPECIFIED: _ClassVar[OutputKind]
    OUTPUT_TAG: _ClassVar[OutputKind]
    OUTPUT_EVENT: _ClassVar[OutputKind]
    OUTPUT_BLOB: _ClassVar[OutputKind]
    OUTPUT_WRITE: _ClassVar[OutputKind]
OUTPUT_KIND_UNSPECIFIED: OutputKind
OUTPUT_TAG: OutputKind
OUTPUT_EVENT: OutputKind
OUTPUT_BLOB: OutputKind
OUTPUT_WRITE: OutputKind

class FromPlugin(_message.Message):
    __slots__ = ("hello", "ready", "results", "pong")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    hello: PluginHello
    ready: Ready
    results: Results
    pong: Pong
    def __init__(self, hello: _Optional[_Union[PluginHello, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ...) -> None: ...

class ToPlugin(_message.Message):
    __slots__ = ("setup", "work", "ping", "stop")
    SETUP_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    setup: Setup
    work: Work
    ping: Ping
    stop: Stop
    def __init__(self, setup: _Optional[_Union[Setup, _Mapping]] = ..., work: _Optional[_Union[Work, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ...) -> None: ...

class PluginHello(_message.Message):
    __slots__ = ("protocol", "token", "sdk")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    token: str
    sdk: str
    def __init__(self, protocol: _Optional[int] = ..., token: _Optional[str] = ..., sdk: _Optional[str] = ...) -> None: ...

class Setup(_message.Message):
    __slots__ = ("plugin", "settings_json", "inputs", "outputs", "deadline_ms", "max_message_bytes", "state_directory", "model_directory", "replay")
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    settings_json: str
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    deadline_ms: int
    max_message_bytes: int
    state_directory: str
    model_directory: str
    replay: bool
    def __init__(self, plugin: _Optional[str] = ..., settings_json: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., deadline_ms: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., state_directory: _Optional[str] = ..., model_directory: _Optional[str] = ..., replay: _Optional[bool] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("role", "tag", "type", "unit")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    role: str
    tag: str
    type: _batch_pb2.ValueType
    unit: str
    def __init__(self, role: _Optional[str] = ..., tag: _Optional[str] = ..., type: _Optional[_Union[_batch_pb2.ValueType, str]] = ..., unit: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "kind", "type", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: OutputKind
    type: _batch_pb2.ValueType
    unit: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[OutputKind, str]] = ..., type: _Optional[_Union[_batch_pb2.ValueType, str]] = ..., unit: _Optional[str] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("detail", "facts")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    detail: str
    facts: _containers.ScalarMap[str, str]
    def __init__(self, detail: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("id", "axes", "series", "windows")
    ID_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    id: int
    axes: _containers.RepeatedCompositeFieldContainer[Axis]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    windows: Windows
    def __init__(self, id: _Optional[int] = ..., axes: _Optional[_Iterable[_Union[Axis, _Mapping]]] = ..., series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., windows: _Optional[_Union[Windows, _Mapping]] = ...) -> None: ...

class Axis(_message.Message):
    __slots__ = ("rows", "times")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    times: bytes
    def __init__(self, rows: _Optional[int] = ..., times: _Optional[bytes] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("input", "axis", "values", "quality", "texts", "blobs")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    input: int
    axis: int
    values: bytes
    quality: bytes
    texts: _containers.RepeatedScalarFieldContainer[str]
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, input: _Optional[int] = ..., axis: _Optional[int] = ..., values: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., texts: _Optional[_Iterable[str]] = ..., blobs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Windows(_message.Message):
    __slots__ = ("first", "begin_ns", "end_ns", "rows")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    first: int
    begin_ns: bytes
    end_ns: bytes
    rows: bytes
    def __init__(self, first: _Optional[int] = ..., begin_ns: _Optional[bytes] = ..., end_ns: _Optional[bytes] = ..., rows: _Optional[bytes] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("work_id", "columns", "failures")
    WORK_ID_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    work_id: int
    columns: _containers.RepeatedCompositeFieldContainer[OutputColumn]
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    def __init__(self, work_id: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[OutputColumn, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ...) -> None: ...

class OutputColumn(_message.Message):
    __slots__ = ("output", "times", "values", "quality", "texts", "blobs", "windows")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    output: int
    times: bytes
    values: bytes
    quality: bytes
    texts: _containers.RepeatedScalarFieldContainer[str]
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    windows: bytes
    def __init__(self, output: _Optional[int] = ..., times: _Optional[bytes] = ..., values: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., texts: _Optional[_Iterable[str]] = ..., blobs: _Optional[_Iterable[bytes]] = ..., windows: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("window", "reason")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    window: int
    reason: str
    def __init__(self, window: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
