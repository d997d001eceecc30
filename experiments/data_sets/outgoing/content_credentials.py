"""C2PA manifests in pictures that leave: who made them and how, signed, so that any change of the file is seen.

The manifest holds one action, `c2pa.created`, with the picture's IPTC digital source type (C2PA specification 2.x,
section "Actions"), and binds itself to the file by a hash. Signing works offline: no time-stamp authority is asked, so
a signature is to be trusted only as long as its certificate is valid. c2pa-python is an optional dependency.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from spooflab.errors import ConfigError, DataError
from spooflab.provenance import DIGITAL_CAPTURE, GENERATOR, SOURCE_TYPES

_TOLD = "Simulated for the detection of face presentation attacks; no real event."
_LONGEST = max(map(len, SOURCE_TYPES))
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}, "auto_timestamp_assertion": {"enabled": False}},
    "verify": {"verify_after_sign": False, "ocsp_fetch": False, "remote_manifest_fetch": False},
}
"""No thumbnails, no network; each signed picture is read back here."""


@dataclass(frozen=True)
class Credentials:
    """Whose name pictures are signed with; the key itself is read when it is needed and kept nowhere.

    Attributes:
        certificate: PEM file of the signer's certificate and, behind it, those that vouch for it.
        key: PEM file of its private key, PKCS #8, not encrypted.
    """

    certificate: Path
    key: Path


class PictureSigner:
    """Signs PNG files.

    Args:
        library: the module `c2pa`.
        signer: a `c2pa.Signer`.
    """

    def __init__(self, library: Any, signer: Any) -> None:
        self._c2pa, self._signer = library, signer
        self._context = library.Context.from_dict(_SETTINGS)

    @classmethod
    def open(cls, credentials: Credentials) -> Self:
        """Read certificate and key.

        Raises:
            ConfigError: c2pa-python is not installed, or files that are not there, are no PEM, or do not fit.
        """
        try:
            import c2pa
        except ImportError as error:
            raise ConfigError(
                "c2pa-python is not installed", wanted="the extra `c2pa`", next_step="pip install 'spooflab[c2pa]'"
            ) from error
        chain, algorithm = _certificate(credentials.certificate)
        key = _read(credentials.key, "private key")
        if b"PRIVATE KEY-----" not in key or b"ENCRYPTED" in key:
            raise ConfigError(f"{credentials.key}: no plain private key", wanted="PEM, PKCS #8, not encrypted")
        try:
            return cls(c2pa, c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None)))
        except c2pa.C2paError:
            # Not chained: whatever the library says of a key is not for a log.
            raise ConfigError(
                f"{credentials.certificate} and {credentials.key} cannot sign ({algorithm.decode()})",
                wanted="a certificate and its private key, for one of ES256, ES384, ES512, PS256, Ed25519",
            ) from None

    def sign(self, key: str, picture: bytes, digital_source_type: str) -> bytes:
        """Return the PNG file with a signed manifest, read back and found valid.

        All terms give one length, so that file size tells nothing of them. Signatures hold random numbers: the same
        picture gives other bytes each time.

        Args:
            key: of the sample; the manifest's title.
            picture: PNG file without a manifest.
            digital_source_type: one of `SOURCE_TYPES` but a plain capture, which spooflab did not make.

        Raises:
            DataError: a plain capture, or a signature that does not hold (a certificate that has expired, or whose
                extensions C2PA does not allow).
        """
        if digital_source_type == DIGITAL_CAPTURE:
            raise DataError(
                f"sample {key} is a plain photograph",
                wanted="pictures that spooflab made: it cannot sign for how others came about",
                next_step="export without --c2pa",
            )
        out = io.BytesIO()
        try:
            builder = self._c2pa.Builder(_manifest(key, digital_source_type), self._context)
            builder.sign(self._signer, "image/png", io.BytesIO(picture), out)
            with self._c2pa.Reader("image/png", io.BytesIO(out.getvalue()), context=self._context) as reader:
                state, told = reader.get_validation_state(), json.loads(reader.json())
        except self._c2pa.C2paError as error:
            raise DataError(
                f"sample {key}: cannot be signed: {str(error).splitlines()[0]}",
                wanted="a certificate that is valid today, for digital signatures and a purpose that C2PA takes",
            ) from None
        if state not in ("Valid", "Trusted"):
            codes = ", ".join(status["code"] for status in told.get("validation_status", ()))
            raise DataError(f"sample {key}: its signature is {state}: {codes}", wanted="a valid one")
        return out.getvalue()


def _manifest(key: str, term: str) -> dict[str, Any]:
    name, _, version = GENERATOR.partition(" ")
    padded = _TOLD + " " * (_LONGEST - len(term))
    action = {"action": "c2pa.created", "digitalSourceType": term, "description": padded}
    return {
        "claim_generator_info": [{"name": name, "version": version}],
        "title": key,
        "format": "image/png",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _certificate(path: Path) -> tuple[bytes, bytes]:
    """Return the chain's PEM and C2PA's name of the algorithm that its first certificate's key signs with."""
    from cryptography import x509  # comes with c2pa-python
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    chain = _read(path, "certificate")
    try:
        public = x509.load_pem_x509_certificate(chain).public_key()
    except ValueError as error:
        raise ConfigError(f"{path}: no certificate", wanted="PEM, the signer's certificate first") from error
    curves = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in curves:
        return chain, curves[public.curve.name]
    if isinstance(public, ed25519.Ed25519PublicKey):
        return chain, b"ed25519"
    if isinstance(public, rsa.RSAPublicKey):
        return chain, b"ps256"
    raise ConfigError(f"{path}: a key that C2PA does not take", wanted="P-256, P-384, P-521, Ed25519 or RSA")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the {what} cannot be read: {error.strerror}", wanted="a PEM file") from error
