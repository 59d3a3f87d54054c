"""Secrets taken out by value: in every form they take, whole where they overlap, quickly however many there are."""

from __future__ import annotations

import base64
import json
import time

import pytest

from runtime_core.model.redaction import MAX_KNOWN, KnownSecrets, Redactor, redactor_of, secret_texts
from runtime_core.model.text_search import TextSearch

PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


@pytest.mark.parametrize(
    "told",
    [
        r'{"code":"COMPONENT_FAILED","message":"no","data":{"url":"pass\/word<1>"}}',
        r'{"code":"COMPONENT_FAILED","message":"no","data":{"url":"pass/word\u003C1\u003E"}}',
        r'{"code":"COMPONENT_FAILED","message":"no","data":{"pa\u0073s/word<1>":1}}',
    ],
)
def test_a_secret_is_found_however_json_spells_it(told: str) -> None:
    clean = Redactor(["pass/word<1>"]).payload(told.encode())
    assert "pass/word<1>" not in str(json.loads(clean))
    assert json.loads(clean)["code"] == "COMPONENT_FAILED"


@pytest.mark.parametrize("secret", ["code", "message", "data", "COMPONENT_FAILED", "reason", "FAILED"])
def test_an_error_stays_one_whatever_the_secret_looks_like(secret: str) -> None:
    error = {"code": "COMPONENT_FAILED", "message": f"it was {secret}", "data": {"told": [secret]}}
    clean = json.loads(Redactor([secret]).payload(json.dumps(error).encode()))
    assert clean == {"code": "COMPONENT_FAILED", "message": "it was ***", "data": {"told": ["***"]}}
    assert json.loads(Redactor([secret]).payload(b'{"reason":"%b!"}' % secret.encode())) == {"reason": "***!"}


def test_a_payload_without_secrets_is_untouched() -> None:
    data = b'{ "message": "a\\nb", "data": 1.50 }'
    assert Redactor(["absent"]).payload(data) is data


def test_secrets_that_overlap_are_taken_out_whole() -> None:
    redactor = Redactor(["abcdef", "defghi", "pass", "password1234"])
    assert redactor.text("x abcdefghi y") == "x *** y"
    assert redactor.text("password1234, pass") == "***, ***"


def test_a_secret_that_begins_another_does_not_leave_the_rest_of_it_in_logs() -> None:
    known = KnownSecrets()
    known.add(["pass"])
    known.add(["password1234"])
    assert known.text("password1234") == "***"


def test_a_password_is_found_within_other_base64() -> None:
    for user in ("a", "ab", "abc"):
        header = base64.b64encode(f"{user}:hunter2-hunter2 and more".encode()).decode()
        clean = Redactor(["hunter2-hunter2"]).text(header)
        assert "***" in clean
        assert len(clean) < len(header) - 12


def test_a_secret_of_several_lines_is_told_by_each_of_them() -> None:
    redactor = Redactor(secret_texts({"key": PEM}))
    for line in PEM.splitlines():
        assert redactor.text(f"stderr: {line}") == "stderr: ***"


@pytest.mark.parametrize("secret", ['it\'s "so"', "a\nb\tc d", "Ωmega-ß", "x\x07\x7fyz", "\\back\\slash"])
def test_forms_of_json_and_repr_are_found(secret: str) -> None:
    redactor = Redactor(secret_texts(secret))
    for told in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), str(KeyError(secret))):
        assert redactor.text(told).strip("'\"") == "***"


def test_a_thousand_secrets_and_a_large_error_take_no_time_to_speak_of() -> None:
    redactor = Redactor([f"sk-proj-{n:06}-{n * 7919 % 1_000_003:06}" for n in range(1_000)])
    error = {"code": "COMPONENT_FAILED", "message": "no", "data": [f"sk-proj-{n} and some more \n text" for n in range(20_000)]}
    error["data"].append("sk-proj-000999-" + f"{999 * 7919 % 1_000_003:06}")  # type: ignore[attr-defined]
    data = json.dumps(error).encode()
    began_s = time.monotonic()
    assert json.loads(redactor.payload(data))["data"][-1] == "***"
    assert time.monotonic() - began_s < 3.0


def test_long_secrets_that_repeat_themselves_take_no_quadratic_time() -> None:
    redactor = Redactor(["a" * 200_000 + "b"])
    began_s = time.monotonic()
    assert redactor.text("a" * 500_000 + " b") == "a" * 500_000 + " b"
    assert redactor.text("a" * 200_000 + "b") == "***"
    assert time.monotonic() - began_s < 3.0


def test_a_log_line_costs_little_however_many_secrets_are_known() -> None:
    known = KnownSecrets()
    known.add([f"token-{n:08}-{n * 7919 % 1_000_003:06}" for n in range(4_000)])
    event = {"event": "component_stderr", "plugin": "p", "line": "a usual line of text of some length " * 5}
    began_s = time.monotonic()
    for _ in range(100):
        assert known.value(event) == event
    assert time.monotonic() - began_s < 0.5


def test_the_oldest_of_very_many_known_secrets_is_forgotten_with_all_its_forms() -> None:
    known = KnownSecrets()
    known.add([f"secret-{n}!" for n in range(MAX_KNOWN + 1)])
    assert known.text("secret-0!") == "secret-0!"
    assert known.text("secret-1!") == "***"


def test_values_of_any_kind_in_a_log_line_say_nothing() -> None:
    class Told:
        def __repr__(self) -> str:
            return "Told(hunter22)"

    known = KnownSecrets()
    known.add(["hunter22", "123456"])
    clean = known.value({"a": Told(), "b": b"hunter22", "c": ValueError("hunter22"), "d": 123456, "e": ("hunter22",), "f": None})
    assert "hunter22" not in repr(clean)
    assert clean["d"] == "***"
    assert clean["f"] is None


def test_runs_with_the_same_secrets_share_a_redactor() -> None:
    first = redactor_of({"one-secret", "two-secret"})
    assert redactor_of({"two-secret", "one-secret"}) is first


def test_a_search_forgets_what_is_discarded_as_often_as_it_was_added() -> None:
    search = TextSearch(["abcd", "abcd", "abcde"])
    search.discard("abcd")
    assert search.replace("abcd", "-") == "-"
    search.discard("abcd")
    search.discard("abcd")
    assert search.replace("abcd abcde", "-") == "abcd -"
    assert len(search) == 1


def test_a_line_of_the_log_that_was_cut_in_the_middle_of_a_secret_does_not_show_its_beginning() -> None:
    known = KnownSecrets()
    known.add(["hunter22-and-more", "x" * 40 + "y" * 60])
    assert known.text("a line with hunter22-and…") == "a line with ***…"
    assert known.value({"quoted": ["a line with hunter22..."]}) == {"quoted": ["a line with ***..."]}
    assert known.text("x" * 40 + "yyyy") == "***"
    assert known.text("a line with hunter") == "a line with hunter"
    assert known.text("") == ""


def test_a_secret_at_whose_middle_a_peer_has_cut_an_error_is_taken_out() -> None:
    secret = "SECRET" + "abcdefghijklmnopqrstuvwxyz"
    cut = json.dumps({"code": "COMPONENT_FAILED", "message": "y" * 50 + secret[:29], "data": [secret[:12]]}).encode()
    assert json.loads(Redactor((secret,)).payload(cut)) == {
        "code": "COMPONENT_FAILED",
        "message": "y" * 50 + "***",
        "data": ["***"],
    }
