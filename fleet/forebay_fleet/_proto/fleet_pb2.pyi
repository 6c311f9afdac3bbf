from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_CAPABILITY_UNSPECIFIED: _ClassVar[AgentCapability]
    AGENT_REPORTS_HEALTH: _ClassVar[AgentCapability]
    AGENT_ACCEPTS_CONFIG: _ClassVar[AgentCapability]
    AGENT_ACCEPTS_PACKAGES: _ClassVar[AgentCapability]
    AGENT_ACCEPTS_COMMANDS: _ClassVar[AgentCapability]
    AGENT_REPORTS_SHADOW: _ClassVar[AgentCapability]

class ServerFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVER_FLAG_UNSPECIFIED: _ClassVar[ServerFlag]
    REPORT_FULL_STATE: _ClassVar[ServerFlag]
    RENEW_CERTIFICATE: _ClassVar[ServerFlag]

class PackageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACKAGE_TYPE_UNSPECIFIED: _ClassVar[PackageType]
    PACKAGE_PLUGIN: _ClassVar[PackageType]
    PACKAGE_MODEL: _ClassVar[PackageType]
    PACKAGE_AGENT: _ClassVar[PackageType]

class ConfigPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIG_PHASE_UNSPECIFIED: _ClassVar[ConfigPhase]
    PHASE_RECEIVED: _ClassVar[ConfigPhase]
    PHASE_VALIDATED: _ClassVar[ConfigPhase]
    PHASE_STAGED: _ClassVar[ConfigPhase]
    PHASE_APPLYING: _ClassVar[ConfigPhase]
    PHASE_PROBATION: _ClassVar[ConfigPhase]
    PHASE_COMMITTED: _ClassVar[ConfigPhase]
    PHASE_ROLLED_BACK: _ClassVar[ConfigPhase]
    PHASE_FAILED: _ClassVar[ConfigPhase]
    PHASE_SUPERSEDED: _ClassVar[ConfigPhase]

class CommandOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_OUTCOME_UNSPECIFIED: _ClassVar[CommandOutcome]
    COMMAND_DONE: _ClassVar[CommandOutcome]
    COMMAND_REFUSED: _ClassVar[CommandOutcome]
    COMMAND_UNKNOWN: _ClassVar[CommandOutcome]
AGENT_CAPABILITY_UNSPECIFIED: AgentCapability
AGENT_REPORTS_HEALTH: AgentCapability
AGENT_ACCEPTS_CONFIG: AgentCapability
AGENT_ACCEPTS_PACKAGES: AgentCapability
AGENT_ACCEPTS_COMMANDS: AgentCapability
AGENT_REPORTS_SHADOW: AgentCapability
SERVER_FLAG_UNSPECIFIED: ServerFlag
REPORT_FULL_STATE: ServerFlag
RENEW_CERTIFICATE: ServerFlag
PACKAGE_TYPE_UNSPECIFIED: PackageType
PACKAGE_PLUGIN: PackageType
PACKAGE_MODEL: PackageType
PACKAGE_AGENT: PackageType
CONFIG_PHASE_UNSPECIFIED: ConfigPhase
PHASE_RECEIVED: ConfigPhase
PHASE_VALIDATED: ConfigPhase
PHASE_STAGED: ConfigPhase
PHASE_APPLYING: ConfigPhase
PHASE_PROBATION: ConfigPhase
PHASE_COMMITTED: ConfigPhase
PHASE_ROLLED_BACK: ConfigPhase
PHASE_FAILED: ConfigPhase
PHASE_SUPERSEDED: ConfigPhase
COMMAND_OUTCOME_UNSPECIFIED: CommandOutcome
COMMAND_DONE: CommandOutcome
COMMAND_REFUSED: CommandOutcome
COMMAND_UNKNOWN: CommandOutcome

class AgentDescription(_message.Message):
    __slots__ = ("version", "boot_id", "machine", "os", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    version: str
    boot_id: str
    machine: str
    os: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., boot_id: _Optional[str] = ..., machine: _Optional[str] = ..., os: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EnrollRequest(_message.Message):
    __slots__ = ("token", "gateway", "csr", "bound_key", "description")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    BOUND_KEY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    token: str
    gateway: str
    csr: bytes
    bound_key: bytes
    description: AgentDescription
    def __init__(self, token: _Optional[str] = ..., gateway: _Optional[str] = ..., csr: _Optional[bytes] = ..., bound_key: _Optional[bytes] = ..., description: _Optional[_Union[AgentDescription, _Mapping]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("certificate", "authorities", "generation", "signing_keys", "address", "root", "sealing_key")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEYS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    authorities: _containers.RepeatedScalarFieldContainer[bytes]
    generation: int
    signing_keys: _containers.RepeatedScalarFieldContainer[bytes]
    address: str
    root: bytes
    sealing_key: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., authorities: _Optional[_Iterable[bytes]] = ..., generation: _Optional[int] = ..., signing_keys: _Optional[_Iterable[bytes]] = ..., address: _Optional[str] = ..., root: _Optional[bytes] = ..., sealing_key: _Optional[bytes] = ...) -> None: ...

class ChallengeRequest(_message.Message):
    __slots__ = ("gateway",)
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    def __init__(self, gateway: _Optional[str] = ...) -> None: ...

class ChallengeReply(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class RecoverRequest(_message.Message):
    __slots__ = ("gateway", "nonce", "csr", "generation", "signature")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    nonce: bytes
    csr: bytes
    generation: int
    signature: bytes
    def __init__(self, gateway: _Optional[str] = ..., nonce: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., generation: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr", "generation")
    CSR_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    generation: int
    def __init__(self, csr: _Optional[bytes] = ..., generation: _Optional[int] = ...) -> None: ...

class AgentToServer(_message.Message):
    __slots__ = ("instance_uid", "sequence_num", "description", "capabilities", "health", "config", "packages", "connection", "shadow", "results", "full_state", "generation", "disconnecting")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    FULL_STATE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTING_FIELD_NUMBER: _ClassVar[int]
    instance_uid: bytes
    sequence_num: int
    description: AgentDescription
    capabilities: int
    health: Health
    config: ConfigStatus
    packages: PackageStatuses
    connection: ConnectionStatus
    shadow: ShadowReport
    results: _containers.RepeatedCompositeFieldContainer[CommandResult]
    full_state: bool
    generation: int
    disconnecting: bool
    def __init__(self, instance_uid: _Optional[bytes] = ..., sequence_num: _Optional[int] = ..., description: _Optional[_Union[AgentDescription, _Mapping]] = ..., capabilities: _Optional[int] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., config: _Optional[_Union[ConfigStatus, _Mapping]] = ..., packages: _Optional[_Union[PackageStatuses, _Mapping]] = ..., connection: _Optional[_Union[ConnectionStatus, _Mapping]] = ..., shadow: _Optional[_Union[ShadowReport, _Mapping]] = ..., results: _Optional[_Iterable[_Union[CommandResult, _Mapping]]] = ..., full_state: _Optional[bool] = ..., generation: _Optional[int] = ..., disconnecting: _Optional[bool] = ...) -> None: ...

class ServerToAgent(_message.Message):
    __slots__ = ("instance_uid", "flags", "desired", "commands", "connection", "error", "accepted_results", "acked")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_RESULTS_FIELD_NUMBER: _ClassVar[int]
    ACKED_FIELD_NUMBER: _ClassVar[int]
    instance_uid: bytes
    flags: int
    desired: Signed
    commands: _containers.RepeatedCompositeFieldContainer[Signed]
    connection: Signed
    error: ErrorResponse
    accepted_results: _containers.RepeatedScalarFieldContainer[str]
    acked: int
    def __init__(self, instance_uid: _Optional[bytes] = ..., flags: _Optional[int] = ..., desired: _Optional[_Union[Signed, _Mapping]] = ..., commands: _Optional[_Iterable[_Union[Signed, _Mapping]]] = ..., connection: _Optional[_Union[Signed, _Mapping]] = ..., error: _Optional[_Union[ErrorResponse, _Mapping]] = ..., accepted_results: _Optional[_Iterable[str]] = ..., acked: _Optional[int] = ...) -> None: ...

class ErrorResponse(_message.Message):
    __slots__ = ("code", "message", "hint", "retry_after_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    hint: str
    retry_after_s: float
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("kind", "payload", "signatures")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    payload: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[Signature]
    def __init__(self, kind: _Optional[str] = ..., payload: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[Signature, _Mapping]]] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("key_id", "signature")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key_id: bytes
    signature: bytes
    def __init__(self, key_id: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class DesiredState(_message.Message):
    __slots__ = ("gateway", "version", "offer_id", "issued_ns", "expires_ns", "config_hash", "files", "packages", "min_agent", "issuer", "reason")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    MIN_AGENT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    version: int
    offer_id: str
    issued_ns: int
    expires_ns: int
    config_hash: bytes
    files: _containers.RepeatedCompositeFieldContainer[ConfigFile]
    packages: _containers.RepeatedCompositeFieldContainer[Package]
    min_agent: str
    issuer: str
    reason: str
    def __init__(self, gateway: _Optional[str] = ..., version: _Optional[int] = ..., offer_id: _Optional[str] = ..., issued_ns: _Optional[int] = ..., expires_ns: _Optional[int] = ..., config_hash: _Optional[bytes] = ..., files: _Optional[_Iterable[_Union[ConfigFile, _Mapping]]] = ..., packages: _Optional[_Iterable[_Union[Package, _Mapping]]] = ..., min_agent: _Optional[str] = ..., issuer: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ConfigFile(_message.Message):
    __slots__ = ("path", "sha256", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: bytes
    size_bytes: int
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Package(_message.Message):
    __slots__ = ("name", "type", "version", "target", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: PackageType
    version: str
    target: str
    sha256: bytes
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[PackageType, str]] = ..., version: _Optional[str] = ..., target: _Optional[str] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class ConnectionSettings(_message.Message):
    __slots__ = ("gateway", "offer_id", "address", "enrollment_address", "authorities", "signing_keys", "version", "expires_ns")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ENROLLMENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    offer_id: str
    address: str
    enrollment_address: str
    authorities: _containers.RepeatedScalarFieldContainer[bytes]
    signing_keys: _containers.RepeatedScalarFieldContainer[bytes]
    version: int
    expires_ns: int
    def __init__(self, gateway: _Optional[str] = ..., offer_id: _Optional[str] = ..., address: _Optional[str] = ..., enrollment_address: _Optional[str] = ..., authorities: _Optional[_Iterable[bytes]] = ..., signing_keys: _Optional[_Iterable[bytes]] = ..., version: _Optional[int] = ..., expires_ns: _Optional[int] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("healthy", "status", "last_error", "uptime_s", "memory_bytes", "components", "heads", "buffer_s", "journal_full_in_s", "clock")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_S_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FULL_IN_S_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    status: str
    last_error: str
    uptime_s: float
    memory_bytes: int
    components: _containers.RepeatedCompositeFieldContainer[ComponentHealth]
    heads: _containers.RepeatedCompositeFieldContainer[JournalHead]
    buffer_s: float
    journal_full_in_s: float
    clock: str
    def __init__(self, healthy: _Optional[bool] = ..., status: _Optional[str] = ..., last_error: _Optional[str] = ..., uptime_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., components: _Optional[_Iterable[_Union[ComponentHealth, _Mapping]]] = ..., heads: _Optional[_Iterable[_Union[JournalHead, _Mapping]]] = ..., buffer_s: _Optional[float] = ..., journal_full_in_s: _Optional[float] = ..., clock: _Optional[str] = ...) -> None: ...

class JournalHead(_message.Message):
    __slots__ = ("stream", "epoch", "next_seq")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    stream: str
    epoch: int
    next_seq: int
    def __init__(self, stream: _Optional[str] = ..., epoch: _Optional[int] = ..., next_seq: _Optional[int] = ...) -> None: ...

class ComponentHealth(_message.Message):
    __slots__ = ("kind", "name", "healthy", "state", "error", "hint")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    healthy: bool
    state: str
    error: str
    hint: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., healthy: _Optional[bool] = ..., state: _Optional[str] = ..., error: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class ConfigStatus(_message.Message):
    __slots__ = ("desired", "desired_offer", "running", "running_generation", "running_source", "last_attempt", "quarantined", "quarantined_count", "effective_hash")
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    DESIRED_OFFER_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_GENERATION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_SOURCE_FIELD_NUMBER: _ClassVar[int]
    LAST_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_HASH_FIELD_NUMBER: _ClassVar[int]
    desired: bytes
    desired_offer: str
    running: bytes
    running_generation: int
    running_source: str
    last_attempt: Attempt
    quarantined: _containers.RepeatedCompositeFieldContainer[ItemFault]
    quarantined_count: int
    effective_hash: bytes
    def __init__(self, desired: _Optional[bytes] = ..., desired_offer: _Optional[str] = ..., running: _Optional[bytes] = ..., running_generation: _Optional[int] = ..., running_source: _Optional[str] = ..., last_attempt: _Optional[_Union[Attempt, _Mapping]] = ..., quarantined: _Optional[_Iterable[_Union[ItemFault, _Mapping]]] = ..., quarantined_count: _Optional[int] = ..., effective_hash: _Optional[bytes] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("hash", "offer_id", "phase", "error", "hint", "began_ns", "ended_ns", "took_s", "changed")
    HASH_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    BEGAN_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    offer_id: str
    phase: ConfigPhase
    error: str
    hint: str
    began_ns: int
    ended_ns: int
    took_s: float
    changed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hash: _Optional[bytes] = ..., offer_id: _Optional[str] = ..., phase: _Optional[_Union[ConfigPhase, str]] = ..., error: _Optional[str] = ..., hint: _Optional[str] = ..., began_ns: _Optional[int] = ..., ended_ns: _Optional[int] = ..., took_s: _Optional[float] = ..., changed: _Optional[_Iterable[str]] = ...) -> None: ...

class ItemFault(_message.Message):
    __slots__ = ("path", "message", "hint")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    hint: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class PackageStatuses(_message.Message):
    __slots__ = ("packages",)
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    packages: _containers.RepeatedCompositeFieldContainer[PackageStatus]
    def __init__(self, packages: _Optional[_Iterable[_Union[PackageStatus, _Mapping]]] = ...) -> None: ...

class PackageStatus(_message.Message):
    __slots__ = ("name", "type", "running_version", "desired_version", "phase", "error", "downloaded_bytes", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_VERSION_FIELD_NUMBER: _ClassVar[int]
    DESIRED_VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DOWNLOADED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: PackageType
    running_version: str
    desired_version: str
    phase: ConfigPhase
    error: str
    downloaded_bytes: int
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[PackageType, str]] = ..., running_version: _Optional[str] = ..., desired_version: _Optional[str] = ..., phase: _Optional[_Union[ConfigPhase, str]] = ..., error: _Optional[str] = ..., downloaded_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ConnectionStatus(_message.Message):
    __slots__ = ("offer_id", "applied", "error")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    applied: bool
    error: str
    def __init__(self, offer_id: _Optional[str] = ..., applied: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...

class ShadowReport(_message.Message):
    __slots__ = ("full", "complete", "values")
    FULL_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    full: bool
    complete: bool
    values: _containers.RepeatedCompositeFieldContainer[ShadowValue]
    def __init__(self, full: _Optional[bool] = ..., complete: _Optional[bool] = ..., values: _Optional[_Iterable[_Union[ShadowValue, _Mapping]]] = ...) -> None: ...

class ShadowValue(_message.Message):
    __slots__ = ("device", "tag", "bool_value", "int_value", "uint_value", "double_value", "string_value", "quality", "time_ns", "received_ns", "unit")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    device: str
    tag: str
    bool_value: bool
    int_value: int
    uint_value: int
    double_value: float
    string_value: str
    quality: int
    time_ns: int
    received_ns: int
    unit: str
    def __init__(self, device: _Optional[str] = ..., tag: _Optional[str] = ..., bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., uint_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., quality: _Optional[int] = ..., time_ns: _Optional[int] = ..., received_ns: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("id", "gateway", "issuer", "role", "not_after_ns", "reason", "read", "write", "restart", "log_level", "bundle")
    ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    gateway: str
    issuer: str
    role: str
    not_after_ns: int
    reason: str
    read: ReadCommand
    write: WriteCommand
    restart: RestartCommand
    log_level: LogLevelCommand
    bundle: BundleCommand
    def __init__(self, id: _Optional[str] = ..., gateway: _Optional[str] = ..., issuer: _Optional[str] = ..., role: _Optional[str] = ..., not_after_ns: _Optional[int] = ..., reason: _Optional[str] = ..., read: _Optional[_Union[ReadCommand, _Mapping]] = ..., write: _Optional[_Union[WriteCommand, _Mapping]] = ..., restart: _Optional[_Union[RestartCommand, _Mapping]] = ..., log_level: _Optional[_Union[LogLevelCommand, _Mapping]] = ..., bundle: _Optional[_Union[BundleCommand, _Mapping]] = ...) -> None: ...

class ReadCommand(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[str]] = ...) -> None: ...

class WriteCommand(_message.Message):
    __slots__ = ("device", "tag", "bool_value", "int_value", "uint_value", "double_value", "string_value")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    device: str
    tag: str
    bool_value: bool
    int_value: int
    uint_value: int
    double_value: float
    string_value: str
    def __init__(self, device: _Optional[str] = ..., tag: _Optional[str] = ..., bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., uint_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ...) -> None: ...

class RestartCommand(_message.Message):
    __slots__ = ("component",)
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    component: str
    def __init__(self, component: _Optional[str] = ...) -> None: ...

class LogLevelCommand(_message.Message):
    __slots__ = ("level", "for_s")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    level: str
    for_s: float
    def __init__(self, level: _Optional[str] = ..., for_s: _Optional[float] = ...) -> None: ...

class BundleCommand(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("id", "outcome", "detail", "values", "bundle_sha256", "ended_ns")
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    id: str
    outcome: CommandOutcome
    detail: str
    values: _containers.RepeatedCompositeFieldContainer[ShadowValue]
    bundle_sha256: bytes
    ended_ns: int
    def __init__(self, id: _Optional[str] = ..., outcome: _Optional[_Union[CommandOutcome, str]] = ..., detail: _Optional[str] = ..., values: _Optional[_Iterable[_Union[ShadowValue, _Mapping]]] = ..., bundle_sha256: _Optional[bytes] = ..., ended_ns: _Optional[int] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("sha256", "metadata", "offset")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    metadata: str
    offset: int
    def __init__(self, sha256: _Optional[bytes] = ..., metadata: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class FetchReply(_message.Message):
    __slots__ = ("size_bytes", "data")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    data: bytes
    def __init__(self, size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class DeliverRequest(_message.Message):
    __slots__ = ("command_id", "sha256", "size_bytes", "data")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    sha256: bytes
    size_bytes: int
    data: bytes
    def __init__(self, command_id: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class DeliverReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
