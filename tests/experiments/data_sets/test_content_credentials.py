"""Signed manifests, with a certificate chain that is made for the test and thrown away."""

import datetime
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spooflab.cli.main import run
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_sets.outgoing.content_credentials import Credentials, PictureSigner
from spooflab.experiments.data_sets.outgoing.export import export_data_set
from spooflab.images import encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA, DIGITAL_CAPTURE, SOURCE_TYPES
from spooflab.source_mark import mark_source, source_mark
from spooflab.store import read_row

c2pa = pytest.importorskip("c2pa")
x509 = pytest.importorskip("cryptography.x509")

MakeStore = Callable[..., Path]
PICTURE = encode_png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def issue(name: str, key: Any, issuer: Any = None, issuer_key: Any = None, *, days: int = 3) -> Any:
    from cryptography.hazmat.primitives import hashes

    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30)
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "content_commitment"), False
    ) | {"encipher_only": False, "decipher_only": False}
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=30 + days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=issuer is not None, key_cert_sign=issuer is None, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer_key or key).public_key()), critical=False
        )
    )
    if issuer is not None:
        purpose = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=True)
    return builder.sign(issuer_key or key, hashes.SHA256())


def chain(folder: Path, *, days: int = 3) -> Credentials:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = issue("Throw-away root", root_key)
    leaf = issue("Throw-away signer", key, root, root_key, days=days)
    folder.mkdir()
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(form.Encoding.PEM) for c in (leaf, root)))
    (folder / "root.pem").write_bytes(root.public_bytes(form.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    return Credentials(folder / "chain.pem", folder / "key.pem")


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return chain(tmp_path / "secret")


def state(data: bytes, anchors: Path | None = None) -> tuple[str, dict[str, Any], set[str]]:
    settings = {"verify": {"ocsp_fetch": False, "remote_manifest_fetch": False}}
    if anchors is not None:
        settings["trust"] = {"trust_anchors": anchors.read_text()}  # type: ignore[dict-item]
    with c2pa.Reader("image/png", io.BytesIO(data), context=c2pa.Context.from_dict(settings)) as reader:
        told = json.loads(reader.json())
        return reader.get_validation_state(), told, {s["code"] for s in told.get("validation_status", ())}


@pytest.mark.parametrize("mark", [True, False])
def test_an_export_is_signed_and_every_change_of_a_file_is_seen(
    make_store: MakeStore, tmp_path: Path, credentials: Credentials, mark: bool
) -> None:
    root, out = make_store(rows=3), tmp_path / "out"
    done = export_data_set(root, out, "imagefolder", mark=mark, credentials=credentials)
    assert done.signed
    assert json.loads((out / "provenance.json").read_text())["signed"] is True
    for path in sorted((out / "images").rglob("*.png")):
        data = path.read_bytes()
        found, told, _ = state(data, tmp_path / "secret/root.pem")
        assert found == "Trusted"
        manifest = told["manifests"][told["active_manifest"]]
        assert manifest["title"] == path.stem
        (actions,) = (a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
        assert [(a["action"], a["digitalSourceType"]) for a in actions] == [("c2pa.created", ALGORITHMIC_MEDIA)]
        assert source_mark(data) == (ALGORITHMIC_MEDIA if mark else None)
        stored = Image.open(io.BytesIO(read_row(root, path.stem).image))
        assert Image.open(io.BytesIO(data)).tobytes() == stored.tobytes()
    pixels = len(data) - 200
    tampered = data[:pixels] + bytes([data[pixels] ^ 1]) + data[pixels + 1 :]
    found, _, codes = state(tampered)
    assert found == "Invalid"
    assert "assertion.dataHash.mismatch" in codes


def test_the_key_is_nowhere_in_what_leaves_or_is_said(
    make_store: MakeStore, tmp_path: Path, credentials: Credentials, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told = ["export-dataset", str(make_store(rows=2)), "--to", "webdataset", "--out", str(out), "--c2pa"]
    assert run([*told, "--certificate", str(credentials.certificate), "--key", str(credentials.key)]) == 0
    secret = b"".join(credentials.key.read_bytes().splitlines()[1:-1])
    said = "".join(capfd.readouterr()).encode()
    for data in (said, *(path.read_bytes() for path in out.rglob("*") if path.is_file())):
        assert b"PRIVATE" not in data
        assert secret[:32] not in data
        assert str(credentials.key).encode() not in data


def test_the_length_of_a_signed_file_does_not_tell_its_term(credentials: Credentials) -> None:
    signer = PictureSigner.open(credentials)
    made = [term for term in SOURCE_TYPES if term != DIGITAL_CAPTURE]
    assert len({len(signer.sign("s00000001", mark_source(PICTURE, term), term)) for term in made}) == 1


def test_a_plain_photograph_is_not_signed(make_store: MakeStore, tmp_path: Path, credentials: Credentials) -> None:
    root = make_store(digital_source_type=DIGITAL_CAPTURE)
    with pytest.raises(DataError, match="plain photograph"):
        export_data_set(root, tmp_path / "out", "hf", credentials=credentials)
    assert not (tmp_path / "out").exists()


def test_certificates_and_keys_that_cannot_sign_are_refused(
    make_store: MakeStore, tmp_path: Path, credentials: Credentials, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"cannot be signed|signature is Invalid"):
        PictureSigner.open(chain(tmp_path / "old", days=-1)).sign("s", PICTURE, ALGORITHMIC_MEDIA)
    with pytest.raises(ConfigError, match="private key cannot be read"):
        PictureSigner.open(Credentials(credentials.certificate, tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="no certificate"):
        PictureSigner.open(Credentials(credentials.key, credentials.key))
    with pytest.raises(ConfigError, match="no plain private key"):
        PictureSigner.open(Credentials(credentials.certificate, credentials.certificate))
    other = chain(tmp_path / "other")
    signer = PictureSigner.open(Credentials(credentials.certificate, other.key))
    with pytest.raises(DataError, match=r"cannot be signed|signature is Invalid"):
        signer.sign("s", PICTURE, ALGORITHMIC_MEDIA)
    base = ["export-dataset", str(make_store()), "--to", "hf", "--out", str(tmp_path / "out")]
    assert run([*base, "--c2pa", "--key", str(credentials.key)]) == 2
    assert "--c2pa, --certificate and --key go together" in capsys.readouterr().err


def test_without_the_library_the_way_to_it_is_told(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r"pip install 'spooflab\[c2pa\]'"):
        PictureSigner.open(credentials)
