from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Clock(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOCK_RIGHT: _ClassVar[Clock]
    CLOCK_MENDED: _ClassVar[Clock]
    CLOCK_UNSYNCED: _ClassVar[Clock]

class ExportForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_CSV: _ClassVar[ExportForm]
    EXPORT_PARQUET: _ClassVar[ExportForm]
CLOCK_RIGHT: Clock
CLOCK_MENDED: Clock
CLOCK_UNSYNCED: Clock
EXPORT_CSV: ExportForm
EXPORT_PARQUET: ExportForm

class GatewaysRequest(_message.Message):
    __slots__ = ("match", "after", "limit")
    MATCH_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    match: str
    after: str
    limit: int
    def __init__(self, match: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class GatewaysReply(_message.Message):
    __slots__ = ("gateways", "after")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedCompositeFieldContainer[Gateway]
    after: str
    def __init__(self, gateways: _Optional[_Iterable[_Union[Gateway, _Mapping]]] = ..., after: _Optional[str] = ...) -> None: ...

class Gateway(_message.Message):
    __slots__ = ("name", "version", "first_seen_ns", "last_hello_ns", "last_record_ns", "records", "samples")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_HELLO_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECORD_NS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    first_seen_ns: int
    last_hello_ns: int
    last_record_ns: int
    records: int
    samples: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., first_seen_ns: _Optional[int] = ..., last_hello_ns: _Optional[int] = ..., last_record_ns: _Optional[int] = ..., records: _Optional[int] = ..., samples: _Optional[int] = ...) -> None: ...

class TagsRequest(_message.Message):
    __slots__ = ("gateway", "match", "after", "limit")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    match: str
    after: str
    limit: int
    def __init__(self, gateway: _Optional[str] = ..., match: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class TagsReply(_message.Message):
    __slots__ = ("tags", "after")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    after: str
    def __init__(self, tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., after: _Optional[str] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("tag", "type", "unit", "address")
    TAG_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    tag: str
    type: str
    unit: str
    address: str
    def __init__(self, tag: _Optional[str] = ..., type: _Optional[str] = ..., unit: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class WatermarksRequest(_message.Message):
    __slots__ = ("gateway",)
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    def __init__(self, gateway: _Optional[str] = ...) -> None: ...

class WatermarksReply(_message.Message):
    __slots__ = ("watermarks",)
    WATERMARKS_FIELD_NUMBER: _ClassVar[int]
    watermarks: _containers.RepeatedCompositeFieldContainer[Watermark]
    def __init__(self, watermarks: _Optional[_Iterable[_Union[Watermark, _Mapping]]] = ...) -> None: ...

class Watermark(_message.Message):
    __slots__ = ("stream", "position", "open")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    stream: str
    position: Position
    open: int
    def __init__(self, stream: _Optional[str] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., open: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("epoch", "seq")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    seq: int
    def __init__(self, epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Samples(_message.Message):
    __slots__ = ("time_ns", "received_ns", "status", "clock", "epoch", "seq", "flags", "integers", "naturals", "numbers", "texts", "blobs")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    NATURALS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    time_ns: _containers.RepeatedScalarFieldContainer[int]
    received_ns: _containers.RepeatedScalarFieldContainer[int]
    status: _containers.RepeatedScalarFieldContainer[int]
    clock: _containers.RepeatedScalarFieldContainer[Clock]
    epoch: _containers.RepeatedScalarFieldContainer[int]
    seq: _containers.RepeatedScalarFieldContainer[int]
    flags: Flags
    integers: Integers
    naturals: Naturals
    numbers: Numbers
    texts: Texts
    blobs: Blobs
    def __init__(self, time_ns: _Optional[_Iterable[int]] = ..., received_ns: _Optional[_Iterable[int]] = ..., status: _Optional[_Iterable[int]] = ..., clock: _Optional[_Iterable[_Union[Clock, str]]] = ..., epoch: _Optional[_Iterable[int]] = ..., seq: _Optional[_Iterable[int]] = ..., flags: _Optional[_Union[Flags, _Mapping]] = ..., integers: _Optional[_Union[Integers, _Mapping]] = ..., naturals: _Optional[_Union[Naturals, _Mapping]] = ..., numbers: _Optional[_Union[Numbers, _Mapping]] = ..., texts: _Optional[_Union[Texts, _Mapping]] = ..., blobs: _Optional[_Union[Blobs, _Mapping]] = ...) -> None: ...

class Flags(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, entries: _Optional[_Iterable[bool]] = ...) -> None: ...

class Integers(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, entries: _Optional[_Iterable[int]] = ...) -> None: ...

class Naturals(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, entries: _Optional[_Iterable[int]] = ...) -> None: ...

class Numbers(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, entries: _Optional[_Iterable[float]] = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, entries: _Optional[_Iterable[str]] = ...) -> None: ...

class Blobs(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, entries: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("tag", "unit", "parts", "missing", "missing_more")
    TAG_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MISSING_MORE_FIELD_NUMBER: _ClassVar[int]
    tag: str
    unit: str
    parts: _containers.RepeatedCompositeFieldContainer[Samples]
    missing: _containers.RepeatedCompositeFieldContainer[Loss]
    missing_more: int
    def __init__(self, tag: _Optional[str] = ..., unit: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Samples, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ..., missing_more: _Optional[int] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("cause", "time_from_ns", "time_to_ns", "samples", "source")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TIME_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_NS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    cause: str
    time_from_ns: int
    time_to_ns: int
    samples: int
    source: str
    def __init__(self, cause: _Optional[str] = ..., time_from_ns: _Optional[int] = ..., time_to_ns: _Optional[int] = ..., samples: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class NewestRequest(_message.Message):
    __slots__ = ("gateway", "tag", "from_ns", "to_ns", "limit", "raw_times")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RAW_TIMES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    tag: str
    from_ns: int
    to_ns: int
    limit: int
    raw_times: bool
    def __init__(self, gateway: _Optional[str] = ..., tag: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., limit: _Optional[int] = ..., raw_times: _Optional[bool] = ...) -> None: ...

class NewestReply(_message.Message):
    __slots__ = ("series",)
    SERIES_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    def __init__(self, series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ...) -> None: ...

class OrderedRequest(_message.Message):
    __slots__ = ("gateway", "tag", "after", "limit", "raw_times")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RAW_TIMES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    tag: str
    after: Position
    limit: int
    raw_times: bool
    def __init__(self, gateway: _Optional[str] = ..., tag: _Optional[str] = ..., after: _Optional[_Union[Position, _Mapping]] = ..., limit: _Optional[int] = ..., raw_times: _Optional[bool] = ...) -> None: ...

class OrderedReply(_message.Message):
    __slots__ = ("series", "after", "watermark")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    series: Series
    after: Position
    watermark: Watermark
    def __init__(self, series: _Optional[_Union[Series, _Mapping]] = ..., after: _Optional[_Union[Position, _Mapping]] = ..., watermark: _Optional[_Union[Watermark, _Mapping]] = ...) -> None: ...

class RangesRequest(_message.Message):
    __slots__ = ("gateway", "tag", "from_ns", "to_ns", "steps", "raw_times")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RAW_TIMES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    tag: str
    from_ns: int
    to_ns: int
    steps: int
    raw_times: bool
    def __init__(self, gateway: _Optional[str] = ..., tag: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., steps: _Optional[int] = ..., raw_times: _Optional[bool] = ...) -> None: ...

class RangesReply(_message.Message):
    __slots__ = ("series",)
    SERIES_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Steps]
    def __init__(self, series: _Optional[_Iterable[_Union[Steps, _Mapping]]] = ...) -> None: ...

class Steps(_message.Message):
    __slots__ = ("tag", "unit", "start_ns", "step_ns", "samples", "good", "numbers", "min", "max", "mean", "first", "last", "missing", "missing_more")
    TAG_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    STEP_NS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MISSING_MORE_FIELD_NUMBER: _ClassVar[int]
    tag: str
    unit: str
    start_ns: int
    step_ns: int
    samples: _containers.RepeatedScalarFieldContainer[int]
    good: _containers.RepeatedScalarFieldContainer[int]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    min: _containers.RepeatedScalarFieldContainer[float]
    max: _containers.RepeatedScalarFieldContainer[float]
    mean: _containers.RepeatedScalarFieldContainer[float]
    first: _containers.RepeatedScalarFieldContainer[float]
    last: _containers.RepeatedScalarFieldContainer[float]
    missing: _containers.RepeatedCompositeFieldContainer[Loss]
    missing_more: int
    def __init__(self, tag: _Optional[str] = ..., unit: _Optional[str] = ..., start_ns: _Optional[int] = ..., step_ns: _Optional[int] = ..., samples: _Optional[_Iterable[int]] = ..., good: _Optional[_Iterable[int]] = ..., numbers: _Optional[_Iterable[int]] = ..., min: _Optional[_Iterable[float]] = ..., max: _Optional[_Iterable[float]] = ..., mean: _Optional[_Iterable[float]] = ..., first: _Optional[_Iterable[float]] = ..., last: _Optional[_Iterable[float]] = ..., missing: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ..., missing_more: _Optional[int] = ...) -> None: ...

class LiveRequest(_message.Message):
    __slots__ = ("gateway", "tag", "behind")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    tag: str
    behind: _containers.RepeatedCompositeFieldContainer[Place]
    def __init__(self, gateway: _Optional[str] = ..., tag: _Optional[str] = ..., behind: _Optional[_Iterable[_Union[Place, _Mapping]]] = ...) -> None: ...

class LiveReply(_message.Message):
    __slots__ = ("series", "missed", "at")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    missed: _containers.RepeatedCompositeFieldContainer[Missed]
    at: _containers.RepeatedCompositeFieldContainer[Place]
    def __init__(self, series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., missed: _Optional[_Iterable[_Union[Missed, _Mapping]]] = ..., at: _Optional[_Iterable[_Union[Place, _Mapping]]] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("stream", "position")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    stream: str
    position: Position
    def __init__(self, stream: _Optional[str] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class Missed(_message.Message):
    __slots__ = ("stream", "epoch", "first", "last")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    stream: str
    epoch: int
    first: int
    last: int
    def __init__(self, stream: _Optional[str] = ..., epoch: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("gateway", "tag", "from_ns", "to_ns", "form", "raw_times")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    RAW_TIMES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    tag: str
    from_ns: int
    to_ns: int
    form: ExportForm
    raw_times: bool
    def __init__(self, gateway: _Optional[str] = ..., tag: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., form: _Optional[_Union[ExportForm, str]] = ..., raw_times: _Optional[bool] = ...) -> None: ...

class ExportPart(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
