"""Beyond loopback: TLS with the files of the other listeners, and certificates of callers where they are asked for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flowspan.errors import PreconditionError
from gateway.web.settings import WebTls
from tests.web.house import web_house


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_callers_speak_tls_and_show_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "gateway")
    own, own_key = make_certificate(tmp_path, "caller")
    token = "a token of some length"
    async with web_house(tmp_path, token=token, tls=WebTls(certificate, key, own)) as house:
        assert house.url.startswith("https://127.0.0.1:")
        headers = {"authorization": f"Bearer {token}"}
        context = ssl.create_default_context(cafile=certificate)
        async with httpx.AsyncClient(verify=context, headers=headers, trust_env=False) as stranger:
            with pytest.raises(httpx.TransportError):
                await stranger.get(f"{house.url}/v1/runs")
        context.load_cert_chain(own, own_key)
        async with httpx.AsyncClient(verify=context, headers=headers, trust_env=False) as friend:
            assert (await friend.get(f"{house.url}/v1/runs")).json() == {"runs": []}


async def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "gateway")
    _, other = make_certificate(tmp_path, "other")
    with pytest.raises(PreconditionError, match=r"web\.listen"):
        async with web_house(tmp_path, tls=WebTls(certificate, other)):
            raise AssertionError("it started")
