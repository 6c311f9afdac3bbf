"""Who gets a certificate: tokens once, generations up, clones locked, one recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.identity import gateways
from forebay_fleet.identity.answering import Caller
from forebay_fleet.identity.door import judge
from forebay_fleet.identity.gateways import Denied
from forebay_fleet.identity.refused import Refused
from support.boxes import Bureau, HandBox, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def bureau(data: Path) -> Iterator[Bureau]:
    bureau = Bureau(data)
    with bureau.registry:
        yield bureau


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bureau:
    """Give one for all examples, with a box in it."""
    bureau = Bureau(tmp_path_factory.mktemp("bureau"))
    HandBox(bureau).enroll(bureau.token())
    return bureau


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(Refused) as found:
        ask()
    assert found.value.hint
    return found.value.code


def test_a_certificate_says_who_and_which(bureau: Bureau) -> None:
    key = new_key("gw-1")
    identity = HandBox(bureau).enroll(bureau.token(), key)
    certificate = x509.load_der_x509_certificate(identity.certificate)
    subject = {one.oid: one.value for one in certificate.subject}
    assert subject == {NameOID.COMMON_NAME: "gw-1", NameOID.SERIAL_NUMBER: "1"}
    assert certificate.public_key() == key.private.public_key()
    (authority,) = map(x509.load_der_x509_certificate, identity.authorities)
    certificate.verify_directly_issued_by(authority)
    assert (identity.generation, identity.address) == (1, "fleet:7443")


def test_a_token_serves_one_box(bureau: Bureau) -> None:
    token = bureau.token()
    HandBox(bureau, "gw-1").enroll(token)
    assert refused(lambda: HandBox(bureau, "gw-2").enroll(token)) == "token"
    assert refused(lambda: HandBox(bureau, "gw-1").enroll(token)) == "token"


def test_who_lost_the_answer_asks_again_with_the_same_key(bureau: Bureau) -> None:
    token, key, box = bureau.token(), new_key("gw-1"), HandBox(bureau)
    first = box.enroll(token, key)
    assert box.enroll(token, key) == first
    box.renew()
    assert refused(lambda: box.enroll(token, key)) == "token"


def test_a_token_for_one_id_serves_no_other(bureau: Bureau) -> None:
    token = bureau.token("gw-7")
    assert refused(lambda: HandBox(bureau, "gw-8").enroll(token)) == "token"
    assert HandBox(bureau, "gw-7").enroll(token).generation == 1


def test_a_known_id_is_not_taken_over_by_chance(bureau: Bureau) -> None:
    HandBox(bureau).enroll(bureau.token())
    token = bureau.token()
    assert refused(lambda: HandBox(bureau).enroll(token)) == "known"
    assert HandBox(bureau, "gw-2").enroll(token).generation == 1  # the token is still good


def test_a_replaced_box_may_not_come_any_more(bureau: Bureau) -> None:
    old = HandBox(bureau)
    old.enroll(bureau.token())
    old.renew()
    new = HandBox(bureau)
    assert new.enroll(bureau.token("gw-1", replace=True)).generation == 3
    assert refused(old.renew) == "replaced"
    assert refused(old.recover) == "proof"
    for generation, code in ((0, "replaced"), (2, "replaced"), (3, None)):
        verdict = judge(bureau.registry, Caller("gw-1", generation))
        assert (verdict and verdict.code) == code
    assert new.renew().generation == 4


def test_generations_count_up(bureau: Bureau) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    assert [box.renew().generation for _ in range(3)] == [2, 3, 4]


def test_an_answer_that_was_lost_is_no_clone(bureau: Bureau) -> None:
    box, key = HandBox(bureau), new_key("gw-1")
    box.enroll(bureau.token())
    before = box.copy()
    first = box.renew(key)
    assert before.renew(key) == first
    assert box.renew().generation == 3


@pytest.mark.parametrize("first", ["the box", "its copy"])
@pytest.mark.parametrize("by", [HandBox.renew, HandBox.recover])
def test_of_two_boxes_both_are_locked(
    bureau: Bureau, first: str, by: Callable[[HandBox], object]
) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    one, other = (box, box.copy()) if first == "the box" else (box.copy(), box)
    one.renew()
    assert refused(lambda: by(other)) == "clone"
    assert refused(one.renew) == refused(other.renew) == "locked"
    assert refused(one.recover) == "locked"
    verdict = judge(bureau.registry, Caller("gw-1", one.generation))
    assert verdict is not None
    assert verdict.code == "locked"
    gateways.unlock(bureau.registry, "gw-1")
    assert one.renew().generation == 3


def test_a_recovery_is_had_once_until_the_next_renewal(bureau: Bureau) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    key, before = new_key("gw-1"), box.copy()
    assert box.recover(key).generation == 2
    assert before.recover(key).generation == 2  # the answer was lost: it costs nothing more
    assert refused(box.recover) == "budget"
    box.renew()
    assert box.recover().generation == 4


def test_a_recovery_is_proved(bureau: Bureau) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    thief = HandBox(bureau, "gw-1", box.generation)
    assert refused(thief.recover) == "proof"
    assert refused(HandBox(bureau, "gw-9", 1).recover) == "proof"
    nonce = bureau.challenges.give("gw-1")
    bureau.now_s += 61.0
    assert refused(lambda: box.recover(nonce=nonce)) == "proof"
    nonce = bureau.challenges.give("gw-1")
    box.recover(nonce=nonce)
    box.renew()
    assert refused(lambda: box.recover(nonce=nonce)) == "proof"
    assert refused(lambda: box.recover(nonce=bureau.challenges.give("gw-2"))) == "proof"


def test_who_is_revoked_gets_nothing(bureau: Bureau) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    gateways.revoke(bureau.registry, "gw-1", "stolen", bureau.now_ns)
    assert refused(box.renew) == refused(box.recover) == "revoked"
    with bureau.registry.transaction() as db:  # a clone of it changes nothing
        gateways.deny(db, Denied("gw-1", "locked", "two", bureau.now_ns))
    assert refused(box.renew) == "revoked"
    assert HandBox(bureau).enroll(bureau.token("gw-1", replace=True)).generation == 2


@pytest.mark.parametrize("by", [HandBox.renew, HandBox.recover])
def test_a_registry_from_a_backup_locks_nobody_out(
    bureau: Bureau, by: Callable[[HandBox], fleet_pb2.Identity]
) -> None:
    box = HandBox(bureau)
    box.enroll(bureau.token())
    with bureau.registry.reading() as db:
        kept = gateways.get(db, "gw-1")
    assert kept is not None
    box.renew()
    box.renew()
    with bureau.registry.transaction() as db:
        gateways.put(db, kept)
    assert by(box).generation == 4


@given(
    st.builds(
        fleet_pb2.EnrollRequest,
        token=st.text(max_size=150),
        gateway=st.text(max_size=80),
        csr=st.binary(max_size=300),
        bound_key=st.binary(max_size=40),
    ),
    st.builds(
        fleet_pb2.RecoverRequest,
        gateway=st.sampled_from(["gw-1", "gw-2", "", "a b", "\u00e4"]),
        nonce=st.binary(max_size=40),
        csr=st.sampled_from([b"", new_key("gw-1").csr, b"\x30\x82"]),
        generation=st.integers(0, (1 << 64) - 1),
        signature=st.binary(max_size=70),
    ),
)
def test_whatever_comes_is_refused_in_order(
    shared: Bureau, enrollment: fleet_pb2.EnrollRequest, recovery: fleet_pb2.RecoverRequest
) -> None:
    bureau = shared
    refused(lambda: bureau.office.enroll(bureau.registry, enrollment))
    refused(lambda: bureau.office.recover(bureau.registry, recovery))
    recovery.nonce = bureau.challenges.give(recovery.gateway)
    refused(lambda: bureau.office.recover(bureau.registry, recovery))
    assert [row.generation for row in gateways.all_enrolled(bureau.registry)] == [1]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(9000), id="too large"),
        pytest.param(b"\x30\x03\x02\x01\x00", id="no request"),
        pytest.param(new_key("gw-2").csr, id="another's name"),
        pytest.param(new_key("gw-1").csr[:-1] + b"\0", id="not signed"),
        pytest.param(new_key("gw-1", ec.SECP521R1()).csr, id="odd curve"),
    ],
)
def test_requests_that_are_none(bureau: Bureau, asked: bytes) -> None:
    token, box, key = bureau.token(), HandBox(bureau), new_key("gw-1")
    assert refused(lambda: box.enroll(token, key._replace(csr=asked))) == "invalid"
    assert box.enroll(token).generation == 1
