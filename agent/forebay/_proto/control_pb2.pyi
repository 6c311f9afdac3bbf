from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WriteOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WRITE_OUTCOME_UNSPECIFIED: _ClassVar[WriteOutcome]
    GOOD: _ClassVar[WriteOutcome]
    REFUSED: _ClassVar[WriteOutcome]
    UNKNOWN: _ClassVar[WriteOutcome]
WRITE_OUTCOME_UNSPECIFIED: WriteOutcome
GOOD: WriteOutcome
REFUSED: WriteOutcome
UNKNOWN: WriteOutcome

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("gateway", "version", "uptime_s", "state", "devices", "devices_connected", "tags", "samples_per_s", "rss_bytes", "problems", "devices_disabled", "uplinks", "uplinks_connected", "pending_records", "oldest_pending_s", "notes")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_PER_S_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_DISABLED_FIELD_NUMBER: _ClassVar[int]
    UPLINKS_FIELD_NUMBER: _ClassVar[int]
    UPLINKS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    PENDING_RECORDS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_S_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    version: str
    uptime_s: float
    state: str
    devices: int
    devices_connected: int
    tags: int
    samples_per_s: float
    rss_bytes: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    devices_disabled: int
    uplinks: int
    uplinks_connected: int
    pending_records: int
    oldest_pending_s: float
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, gateway: _Optional[str] = ..., version: _Optional[str] = ..., uptime_s: _Optional[float] = ..., state: _Optional[str] = ..., devices: _Optional[int] = ..., devices_connected: _Optional[int] = ..., tags: _Optional[int] = ..., samples_per_s: _Optional[float] = ..., rss_bytes: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., devices_disabled: _Optional[int] = ..., uplinks: _Optional[int] = ..., uplinks_connected: _Optional[int] = ..., pending_records: _Optional[int] = ..., oldest_pending_s: _Optional[float] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class DevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeviceStatus(_message.Message):
    __slots__ = ("name", "protocol", "state", "tags", "tags_bad", "polls", "overruns", "connections", "last_poll_ms", "last_data_ns", "last_error", "last_hint", "next_try_s", "line", "line_load", "period_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TAGS_BAD_FIELD_NUMBER: _ClassVar[int]
    POLLS_FIELD_NUMBER: _ClassVar[int]
    OVERRUNS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_POLL_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_DATA_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_HINT_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_S_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    LINE_LOAD_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: str
    state: str
    tags: int
    tags_bad: int
    polls: int
    overruns: int
    connections: int
    last_poll_ms: float
    last_data_ns: int
    last_error: str
    last_hint: str
    next_try_s: float
    line: str
    line_load: float
    period_s: float
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[str] = ..., state: _Optional[str] = ..., tags: _Optional[int] = ..., tags_bad: _Optional[int] = ..., polls: _Optional[int] = ..., overruns: _Optional[int] = ..., connections: _Optional[int] = ..., last_poll_ms: _Optional[float] = ..., last_data_ns: _Optional[int] = ..., last_error: _Optional[str] = ..., last_hint: _Optional[str] = ..., next_try_s: _Optional[float] = ..., line: _Optional[str] = ..., line_load: _Optional[float] = ..., period_s: _Optional[float] = ...) -> None: ...

class DevicesReply(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[DeviceStatus]
    def __init__(self, devices: _Optional[_Iterable[_Union[DeviceStatus, _Mapping]]] = ...) -> None: ...

class TagsRequest(_message.Message):
    __slots__ = ("device", "pattern", "limit", "offset")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    device: str
    pattern: str
    limit: int
    offset: int
    def __init__(self, device: _Optional[str] = ..., pattern: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TagValue(_message.Message):
    __slots__ = ("device", "name", "address", "type", "unit", "group", "bool_value", "int_value", "uint_value", "double_value", "string_value", "quality", "time_ns", "received_ns", "quality_name")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_NAME_FIELD_NUMBER: _ClassVar[int]
    device: str
    name: str
    address: str
    type: str
    unit: str
    group: str
    bool_value: bool
    int_value: int
    uint_value: int
    double_value: float
    string_value: str
    quality: int
    time_ns: int
    received_ns: int
    quality_name: str
    def __init__(self, device: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., type: _Optional[str] = ..., unit: _Optional[str] = ..., group: _Optional[str] = ..., bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., uint_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., quality: _Optional[int] = ..., time_ns: _Optional[int] = ..., received_ns: _Optional[int] = ..., quality_name: _Optional[str] = ...) -> None: ...

class TagsReply(_message.Message):
    __slots__ = ("tags", "matched")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[TagValue]
    matched: int
    def __init__(self, tags: _Optional[_Iterable[_Union[TagValue, _Mapping]]] = ..., matched: _Optional[int] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadReply(_message.Message):
    __slots__ = ("tags", "unknown")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[TagValue]
    unknown: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[_Union[TagValue, _Mapping]]] = ..., unknown: _Optional[_Iterable[str]] = ...) -> None: ...

class LedgerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LedgerLine(_message.Message):
    __slots__ = ("stream", "uplink", "produced", "delivered", "pending", "gapped", "quarantined", "accepted")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    PRODUCED_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    GAPPED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    stream: str
    uplink: str
    produced: int
    delivered: int
    pending: int
    gapped: int
    quarantined: int
    accepted: int
    def __init__(self, stream: _Optional[str] = ..., uplink: _Optional[str] = ..., produced: _Optional[int] = ..., delivered: _Optional[int] = ..., pending: _Optional[int] = ..., gapped: _Optional[int] = ..., quarantined: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class LedgerReply(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LedgerLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[LedgerLine, _Mapping]]] = ...) -> None: ...

class UplinksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UplinkStatus(_message.Message):
    __slots__ = ("name", "kind", "state", "records_sent", "records_acked", "bytes_sent", "pending_records", "pending_bytes", "unacked_bytes", "credit_bytes", "oldest_pending_s", "last_ack_s", "sessions", "last_error", "last_hint", "live_records", "backfill_records", "held", "sent_today_bytes", "quarantined_records", "unheard_messages", "stuck")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_SENT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_ACKED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    PENDING_RECORDS_FIELD_NUMBER: _ClassVar[int]
    PENDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNACKED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_S_FIELD_NUMBER: _ClassVar[int]
    LAST_ACK_S_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_HINT_FIELD_NUMBER: _ClassVar[int]
    LIVE_RECORDS_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_RECORDS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SENT_TODAY_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    UNHEARD_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    state: str
    records_sent: int
    records_acked: int
    bytes_sent: int
    pending_records: int
    pending_bytes: int
    unacked_bytes: int
    credit_bytes: int
    oldest_pending_s: float
    last_ack_s: float
    sessions: int
    last_error: str
    last_hint: str
    live_records: int
    backfill_records: int
    held: str
    sent_today_bytes: int
    quarantined_records: int
    unheard_messages: int
    stuck: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[str] = ..., records_sent: _Optional[int] = ..., records_acked: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., pending_records: _Optional[int] = ..., pending_bytes: _Optional[int] = ..., unacked_bytes: _Optional[int] = ..., credit_bytes: _Optional[int] = ..., oldest_pending_s: _Optional[float] = ..., last_ack_s: _Optional[float] = ..., sessions: _Optional[int] = ..., last_error: _Optional[str] = ..., last_hint: _Optional[str] = ..., live_records: _Optional[int] = ..., backfill_records: _Optional[int] = ..., held: _Optional[str] = ..., sent_today_bytes: _Optional[int] = ..., quarantined_records: _Optional[int] = ..., unheard_messages: _Optional[int] = ..., stuck: _Optional[str] = ...) -> None: ...

class UplinksReply(_message.Message):
    __slots__ = ("uplinks",)
    UPLINKS_FIELD_NUMBER: _ClassVar[int]
    uplinks: _containers.RepeatedCompositeFieldContainer[UplinkStatus]
    def __init__(self, uplinks: _Optional[_Iterable[_Union[UplinkStatus, _Mapping]]] = ...) -> None: ...

class JournalStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamStatus(_message.Message):
    __slots__ = ("stream", "epoch", "first_seq", "next_seq", "bytes", "max_bytes", "segments", "samples", "oldest_ns", "newest_ns", "overflow")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_NS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_NS_FIELD_NUMBER: _ClassVar[int]
    OVERFLOW_FIELD_NUMBER: _ClassVar[int]
    stream: str
    epoch: int
    first_seq: int
    next_seq: int
    bytes: int
    max_bytes: int
    segments: int
    samples: int
    oldest_ns: int
    newest_ns: int
    overflow: str
    def __init__(self, stream: _Optional[str] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., next_seq: _Optional[int] = ..., bytes: _Optional[int] = ..., max_bytes: _Optional[int] = ..., segments: _Optional[int] = ..., samples: _Optional[int] = ..., oldest_ns: _Optional[int] = ..., newest_ns: _Optional[int] = ..., overflow: _Optional[str] = ...) -> None: ...

class JournalStatusReply(_message.Message):
    __slots__ = ("directory", "streams", "commit_p50_ms", "commit_p99_ms", "commits", "ring_bytes", "ring_max_bytes", "disk_free_bytes", "max_bytes", "bytes_written", "bytes_written_s", "wear_bytes_per_day", "trouble", "thinned_samples", "quarantined_records", "max_age_s")
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_P50_MS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_P99_MS_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    RING_BYTES_FIELD_NUMBER: _ClassVar[int]
    RING_MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    BYTES_WRITTEN_S_FIELD_NUMBER: _ClassVar[int]
    WEAR_BYTES_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    THINNED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_S_FIELD_NUMBER: _ClassVar[int]
    directory: str
    streams: _containers.RepeatedCompositeFieldContainer[StreamStatus]
    commit_p50_ms: float
    commit_p99_ms: float
    commits: int
    ring_bytes: int
    ring_max_bytes: int
    disk_free_bytes: int
    max_bytes: int
    bytes_written: int
    bytes_written_s: float
    wear_bytes_per_day: int
    trouble: str
    thinned_samples: int
    quarantined_records: int
    max_age_s: float
    def __init__(self, directory: _Optional[str] = ..., streams: _Optional[_Iterable[_Union[StreamStatus, _Mapping]]] = ..., commit_p50_ms: _Optional[float] = ..., commit_p99_ms: _Optional[float] = ..., commits: _Optional[int] = ..., ring_bytes: _Optional[int] = ..., ring_max_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., max_bytes: _Optional[int] = ..., bytes_written: _Optional[int] = ..., bytes_written_s: _Optional[float] = ..., wear_bytes_per_day: _Optional[int] = ..., trouble: _Optional[str] = ..., thinned_samples: _Optional[int] = ..., quarantined_records: _Optional[int] = ..., max_age_s: _Optional[float] = ...) -> None: ...

class SegmentsRequest(_message.Message):
    __slots__ = ("stream",)
    STREAM_FIELD_NUMBER: _ClassVar[int]
    stream: str
    def __init__(self, stream: _Optional[str] = ...) -> None: ...

class SegmentStatus(_message.Message):
    __slots__ = ("stream", "file", "epoch", "first_seq", "last_seq", "bytes", "samples", "sealed", "time_min_ns", "time_max_ns")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    TIME_MIN_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    stream: str
    file: str
    epoch: int
    first_seq: int
    last_seq: int
    bytes: int
    samples: int
    sealed: bool
    time_min_ns: int
    time_max_ns: int
    def __init__(self, stream: _Optional[str] = ..., file: _Optional[str] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., bytes: _Optional[int] = ..., samples: _Optional[int] = ..., sealed: _Optional[bool] = ..., time_min_ns: _Optional[int] = ..., time_max_ns: _Optional[int] = ...) -> None: ...

class SegmentsReply(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentStatus]
    def __init__(self, segments: _Optional[_Iterable[_Union[SegmentStatus, _Mapping]]] = ...) -> None: ...

class ShowRequest(_message.Message):
    __slots__ = ("stream", "seq_from", "limit", "epoch_number")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FROM_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_NUMBER_FIELD_NUMBER: _ClassVar[int]
    stream: str
    seq_from: int
    limit: int
    epoch_number: int
    def __init__(self, stream: _Optional[str] = ..., seq_from: _Optional[int] = ..., limit: _Optional[int] = ..., epoch_number: _Optional[int] = ...) -> None: ...

class RecordSummary(_message.Message):
    __slots__ = ("stream", "epoch", "seq", "kind", "samples", "bytes", "time_min_ns", "time_max_ns", "text")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_MIN_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    stream: str
    epoch: int
    seq: int
    kind: str
    samples: int
    bytes: int
    time_min_ns: int
    time_max_ns: int
    text: str
    def __init__(self, stream: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., kind: _Optional[str] = ..., samples: _Optional[int] = ..., bytes: _Optional[int] = ..., time_min_ns: _Optional[int] = ..., time_max_ns: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class ShowReply(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[RecordSummary]
    def __init__(self, records: _Optional[_Iterable[_Union[RecordSummary, _Mapping]]] = ...) -> None: ...

class QuarantineRequest(_message.Message):
    __slots__ = ("uplink",)
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    uplink: str
    def __init__(self, uplink: _Optional[str] = ...) -> None: ...

class QuarantinedRecord(_message.Message):
    __slots__ = ("id", "uplink", "stream", "epoch", "seq", "kind", "samples", "bytes", "at_ns", "code", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    uplink: str
    stream: str
    epoch: int
    seq: int
    kind: str
    samples: int
    bytes: int
    at_ns: int
    code: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., uplink: _Optional[str] = ..., stream: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., kind: _Optional[str] = ..., samples: _Optional[int] = ..., bytes: _Optional[int] = ..., at_ns: _Optional[int] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class QuarantineReply(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[QuarantinedRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[QuarantinedRecord, _Mapping]]] = ...) -> None: ...

class QuarantineChoice(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class QuarantineDone(_message.Message):
    __slots__ = ("done", "failed")
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedScalarFieldContainer[str]
    failed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, done: _Optional[_Iterable[str]] = ..., failed: _Optional[_Iterable[str]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("bool_value", "int_value", "uint_value", "double_value", "string_value")
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    bool_value: bool
    int_value: int
    uint_value: int
    double_value: float
    string_value: str
    def __init__(self, bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., uint_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ...) -> None: ...

class WriteRequest(_message.Message):
    __slots__ = ("tag", "value", "id", "deadline_s", "reason")
    TAG_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tag: str
    value: Value
    id: str
    deadline_s: float
    reason: str
    def __init__(self, tag: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., id: _Optional[str] = ..., deadline_s: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class WriteReply(_message.Message):
    __slots__ = ("id", "outcome", "detail", "hint", "read_back", "outputs", "took_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    READ_BACK_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    outcome: WriteOutcome
    detail: str
    hint: str
    read_back: Value
    outputs: _containers.RepeatedCompositeFieldContainer[Value]
    took_ms: float
    def __init__(self, id: _Optional[str] = ..., outcome: _Optional[_Union[WriteOutcome, str]] = ..., detail: _Optional[str] = ..., hint: _Optional[str] = ..., read_back: _Optional[_Union[Value, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., took_ms: _Optional[float] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("device", "method", "arguments", "id", "deadline_s", "reason")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device: str
    method: str
    arguments: _containers.RepeatedCompositeFieldContainer[Value]
    id: str
    deadline_s: float
    reason: str
    def __init__(self, device: _Optional[str] = ..., method: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., id: _Optional[str] = ..., deadline_s: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: str
    def __init__(self, device: _Optional[str] = ...) -> None: ...

class PlannedRequest(_message.Message):
    __slots__ = ("group", "area", "start", "count", "tags", "unneeded", "reason", "predicted_ms")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UNNEEDED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_MS_FIELD_NUMBER: _ClassVar[int]
    group: str
    area: str
    start: int
    count: int
    tags: int
    unneeded: int
    reason: str
    predicted_ms: float
    def __init__(self, group: _Optional[str] = ..., area: _Optional[str] = ..., start: _Optional[int] = ..., count: _Optional[int] = ..., tags: _Optional[int] = ..., unneeded: _Optional[int] = ..., reason: _Optional[str] = ..., predicted_ms: _Optional[float] = ...) -> None: ...

class PlannedGroup(_message.Message):
    __slots__ = ("group", "period_s", "requests", "load")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    group: str
    period_s: float
    requests: int
    load: float
    def __init__(self, group: _Optional[str] = ..., period_s: _Optional[float] = ..., requests: _Optional[int] = ..., load: _Optional[float] = ...) -> None: ...

class RefusedTag(_message.Message):
    __slots__ = ("group", "tag", "address", "quality_name")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_NAME_FIELD_NUMBER: _ClassVar[int]
    group: str
    tag: str
    address: str
    quality_name: str
    def __init__(self, group: _Optional[str] = ..., tag: _Optional[str] = ..., address: _Optional[str] = ..., quality_name: _Optional[str] = ...) -> None: ...

class PlanReply(_message.Message):
    __slots__ = ("device", "line", "requests", "groups", "refused", "line_load", "learned")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    LINE_LOAD_FIELD_NUMBER: _ClassVar[int]
    LEARNED_FIELD_NUMBER: _ClassVar[int]
    device: str
    line: str
    requests: _containers.RepeatedCompositeFieldContainer[PlannedRequest]
    groups: _containers.RepeatedCompositeFieldContainer[PlannedGroup]
    refused: _containers.RepeatedCompositeFieldContainer[RefusedTag]
    line_load: float
    learned: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device: _Optional[str] = ..., line: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[PlannedRequest, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[PlannedGroup, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[RefusedTag, _Mapping]]] = ..., line_load: _Optional[float] = ..., learned: _Optional[_Iterable[str]] = ...) -> None: ...

class ScanRequest(_message.Message):
    __slots__ = ("device", "areas", "first", "last")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    device: str
    areas: _containers.RepeatedScalarFieldContainer[str]
    first: int
    last: int
    def __init__(self, device: _Optional[str] = ..., areas: _Optional[_Iterable[str]] = ..., first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class ScanReply(_message.Message):
    __slots__ = ("area", "start", "count")
    AREA_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    area: str
    start: int
    count: int
    def __init__(self, area: _Optional[str] = ..., start: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class BrowseRequest(_message.Message):
    __slots__ = ("device", "pattern")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    device: str
    pattern: str
    def __init__(self, device: _Optional[str] = ..., pattern: _Optional[str] = ...) -> None: ...

class BrowseReply(_message.Message):
    __slots__ = ("path", "address", "kind", "type", "unit", "writable", "description")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    path: str
    address: str
    kind: str
    type: str
    unit: str
    writable: bool
    description: str
    def __init__(self, path: _Optional[str] = ..., address: _Optional[str] = ..., kind: _Optional[str] = ..., type: _Optional[str] = ..., unit: _Optional[str] = ..., writable: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class PluginsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PluginStatus(_message.Message):
    __slots__ = ("name", "plugin", "version", "state", "sandbox", "windows", "windows_per_s", "lag_s", "restarts", "last_error", "last_hint", "next_try_s", "samples", "samples_refused", "windows_failed", "windows_passed", "records_skipped", "took_p50_ms", "took_p99_ms", "pid", "sdk", "detail", "facts", "inputs", "outputs", "refused", "directory", "installed", "memory_bytes", "tasks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_PER_S_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_HINT_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_S_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_REFUSED_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FAILED_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_PASSED_FIELD_NUMBER: _ClassVar[int]
    RECORDS_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TOOK_P50_MS_FIELD_NUMBER: _ClassVar[int]
    TOOK_P99_MS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    INSTALLED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    plugin: str
    version: str
    state: str
    sandbox: _containers.RepeatedScalarFieldContainer[str]
    windows: int
    windows_per_s: float
    lag_s: float
    restarts: int
    last_error: str
    last_hint: str
    next_try_s: float
    samples: int
    samples_refused: int
    windows_failed: int
    windows_passed: int
    records_skipped: int
    took_p50_ms: float
    took_p99_ms: float
    pid: int
    sdk: str
    detail: str
    facts: _containers.RepeatedCompositeFieldContainer[PluginFact]
    inputs: _containers.RepeatedCompositeFieldContainer[PluginTag]
    outputs: _containers.RepeatedCompositeFieldContainer[PluginTag]
    refused: _containers.RepeatedCompositeFieldContainer[PluginRefusal]
    directory: str
    installed: str
    memory_bytes: int
    tasks: int
    def __init__(self, name: _Optional[str] = ..., plugin: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., sandbox: _Optional[_Iterable[str]] = ..., windows: _Optional[int] = ..., windows_per_s: _Optional[float] = ..., lag_s: _Optional[float] = ..., restarts: _Optional[int] = ..., last_error: _Optional[str] = ..., last_hint: _Optional[str] = ..., next_try_s: _Optional[float] = ..., samples: _Optional[int] = ..., samples_refused: _Optional[int] = ..., windows_failed: _Optional[int] = ..., windows_passed: _Optional[int] = ..., records_skipped: _Optional[int] = ..., took_p50_ms: _Optional[float] = ..., took_p99_ms: _Optional[float] = ..., pid: _Optional[int] = ..., sdk: _Optional[str] = ..., detail: _Optional[str] = ..., facts: _Optional[_Iterable[_Union[PluginFact, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[PluginTag, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[PluginTag, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[PluginRefusal, _Mapping]]] = ..., directory: _Optional[str] = ..., installed: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., tasks: _Optional[int] = ...) -> None: ...

class PluginFact(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class PluginTag(_message.Message):
    __slots__ = ("role", "tag", "type", "unit")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    role: str
    tag: str
    type: str
    unit: str
    def __init__(self, role: _Optional[str] = ..., tag: _Optional[str] = ..., type: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class PluginRefusal(_message.Message):
    __slots__ = ("reason", "samples")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    samples: int
    def __init__(self, reason: _Optional[str] = ..., samples: _Optional[int] = ...) -> None: ...

class PluginsReply(_message.Message):
    __slots__ = ("plugins", "state")
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    plugins: _containers.RepeatedCompositeFieldContainer[PluginStatus]
    state: str
    def __init__(self, plugins: _Optional[_Iterable[_Union[PluginStatus, _Mapping]]] = ..., state: _Optional[str] = ...) -> None: ...

class PluginLogRequest(_message.Message):
    __slots__ = ("name", "after", "limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    after: int
    limit: int
    def __init__(self, name: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class PluginLogLine(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class PluginLogReply(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[PluginLogLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[PluginLogLine, _Mapping]]] = ...) -> None: ...

class PluginChoice(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PluginDone(_message.Message):
    __slots__ = ("done", "failed")
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedScalarFieldContainer[str]
    failed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, done: _Optional[_Iterable[str]] = ..., failed: _Optional[_Iterable[str]] = ...) -> None: ...

class ConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfigAttempt(_message.Message):
    __slots__ = ("id", "hash", "offer_id", "source", "who", "reason", "phase", "began_ns", "was", "generation", "error", "hint", "ended_ns", "took_s", "changed", "remarks")
    ID_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BEGAN_NS_FIELD_NUMBER: _ClassVar[int]
    WAS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    id: int
    hash: str
    offer_id: str
    source: str
    who: str
    reason: str
    phase: str
    began_ns: int
    was: int
    generation: int
    error: str
    hint: str
    ended_ns: int
    took_s: float
    changed: _containers.RepeatedScalarFieldContainer[str]
    remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., hash: _Optional[str] = ..., offer_id: _Optional[str] = ..., source: _Optional[str] = ..., who: _Optional[str] = ..., reason: _Optional[str] = ..., phase: _Optional[str] = ..., began_ns: _Optional[int] = ..., was: _Optional[int] = ..., generation: _Optional[int] = ..., error: _Optional[str] = ..., hint: _Optional[str] = ..., ended_ns: _Optional[int] = ..., took_s: _Optional[float] = ..., changed: _Optional[_Iterable[str]] = ..., remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class ConfigFault(_message.Message):
    __slots__ = ("path", "message", "hint")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    hint: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class ConfigReply(_message.Message):
    __slots__ = ("desired", "desired_offer", "running", "running_generation", "running_source", "last_attempt", "quarantined", "effective", "on_trial", "probation_left_s", "file", "file_differs")
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    DESIRED_OFFER_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_GENERATION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_SOURCE_FIELD_NUMBER: _ClassVar[int]
    LAST_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    ON_TRIAL_FIELD_NUMBER: _ClassVar[int]
    PROBATION_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    FILE_DIFFERS_FIELD_NUMBER: _ClassVar[int]
    desired: str
    desired_offer: str
    running: str
    running_generation: int
    running_source: str
    last_attempt: ConfigAttempt
    quarantined: _containers.RepeatedCompositeFieldContainer[ConfigFault]
    effective: str
    on_trial: bool
    probation_left_s: float
    file: str
    file_differs: bool
    def __init__(self, desired: _Optional[str] = ..., desired_offer: _Optional[str] = ..., running: _Optional[str] = ..., running_generation: _Optional[int] = ..., running_source: _Optional[str] = ..., last_attempt: _Optional[_Union[ConfigAttempt, _Mapping]] = ..., quarantined: _Optional[_Iterable[_Union[ConfigFault, _Mapping]]] = ..., effective: _Optional[str] = ..., on_trial: _Optional[bool] = ..., probation_left_s: _Optional[float] = ..., file: _Optional[str] = ..., file_differs: _Optional[bool] = ...) -> None: ...

class AttemptsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AttemptsReply(_message.Message):
    __slots__ = ("attempts",)
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[ConfigAttempt]
    def __init__(self, attempts: _Optional[_Iterable[_Union[ConfigAttempt, _Mapping]]] = ...) -> None: ...

class ConfigFilesRequest(_message.Message):
    __slots__ = ("which",)
    WHICH_FIELD_NUMBER: _ClassVar[int]
    which: str
    def __init__(self, which: _Optional[str] = ...) -> None: ...

class ConfigPart(_message.Message):
    __slots__ = ("path", "sha256", "size_bytes", "data", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: bytes
    size_bytes: int
    data: bytes
    reason: str
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class AttemptBegun(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    def __init__(self, attempt: _Optional[int] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class BundlePart(_message.Message):
    __slots__ = ("data", "size_bytes", "confirmed")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size_bytes: int
    confirmed: bytes
    def __init__(self, data: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., confirmed: _Optional[bytes] = ...) -> None: ...

class BundleReply(_message.Message):
    __slots__ = ("digest", "gateway", "version", "issued_ns", "expires_ns", "issuer", "reason", "config_hash", "files", "packages", "known", "attempt")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    gateway: str
    version: int
    issued_ns: int
    expires_ns: int
    issuer: str
    reason: str
    config_hash: str
    files: _containers.RepeatedScalarFieldContainer[str]
    packages: _containers.RepeatedScalarFieldContainer[str]
    known: bool
    attempt: int
    def __init__(self, digest: _Optional[bytes] = ..., gateway: _Optional[str] = ..., version: _Optional[int] = ..., issued_ns: _Optional[int] = ..., expires_ns: _Optional[int] = ..., issuer: _Optional[str] = ..., reason: _Optional[str] = ..., config_hash: _Optional[str] = ..., files: _Optional[_Iterable[str]] = ..., packages: _Optional[_Iterable[str]] = ..., known: _Optional[bool] = ..., attempt: _Optional[int] = ...) -> None: ...

class CollectRequest(_message.Message):
    __slots__ = ("uplink", "max_bytes", "after")
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    uplink: str
    max_bytes: int
    after: bytes
    def __init__(self, uplink: _Optional[str] = ..., max_bytes: _Optional[int] = ..., after: _Optional[bytes] = ...) -> None: ...

class CollectPart(_message.Message):
    __slots__ = ("collection", "gateway", "data", "done")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    collection: bytes
    gateway: str
    data: bytes
    done: CollectDone
    def __init__(self, collection: _Optional[bytes] = ..., gateway: _Optional[str] = ..., data: _Optional[bytes] = ..., done: _Optional[_Union[CollectDone, _Mapping]] = ...) -> None: ...

class CollectDone(_message.Message):
    __slots__ = ("records", "payload_bytes", "more", "time_min_ns", "time_max_ns")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TIME_MIN_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    records: int
    payload_bytes: int
    more: bool
    time_min_ns: int
    time_max_ns: int
    def __init__(self, records: _Optional[int] = ..., payload_bytes: _Optional[int] = ..., more: _Optional[bool] = ..., time_min_ns: _Optional[int] = ..., time_max_ns: _Optional[int] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("signed",)
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    signed: bytes
    def __init__(self, signed: _Optional[bytes] = ...) -> None: ...

class AcknowledgeReply(_message.Message):
    __slots__ = ("uplink", "records", "refused", "remarks")
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    uplink: str
    records: int
    refused: int
    remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uplink: _Optional[str] = ..., records: _Optional[int] = ..., refused: _Optional[int] = ..., remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class RestartRequest(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: str
    def __init__(self, part: _Optional[str] = ...) -> None: ...

class LogLevelRequest(_message.Message):
    __slots__ = ("level", "for_s")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    level: str
    for_s: float
    def __init__(self, level: _Optional[str] = ..., for_s: _Optional[float] = ...) -> None: ...

class TendReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: int
    limit: int
    def __init__(self, after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class LogReply(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ...) -> None: ...

class SupportRequest(_message.Message):
    __slots__ = ("doctor",)
    DOCTOR_FIELD_NUMBER: _ClassVar[int]
    doctor: str
    def __init__(self, doctor: _Optional[str] = ...) -> None: ...

class SupportPart(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class FleetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FleetReply(_message.Message):
    __slots__ = ("state", "address", "connected_s", "next_try_s", "last_error", "last_hint", "last_offer", "refused", "refused_hint")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_S_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_S_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_HINT_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_HINT_FIELD_NUMBER: _ClassVar[int]
    state: str
    address: str
    connected_s: float
    next_try_s: float
    last_error: str
    last_hint: str
    last_offer: str
    refused: str
    refused_hint: str
    def __init__(self, state: _Optional[str] = ..., address: _Optional[str] = ..., connected_s: _Optional[float] = ..., next_try_s: _Optional[float] = ..., last_error: _Optional[str] = ..., last_hint: _Optional[str] = ..., last_offer: _Optional[str] = ..., refused: _Optional[str] = ..., refused_hint: _Optional[str] = ...) -> None: ...
