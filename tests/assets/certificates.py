"""A certificate chain of one's own for content credentials: a root and a leaf, ES256."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM


def write_chain(folder: Path, name: str = "signer") -> dict[str, Path]:
    """Write a chain and the key of its leaf; the result fits `sign_file`."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    usage = [
        (x509.BasicConstraints(False, None), True),
        (key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()), False),
        (above, False),
    ]
    of_root = [
        (x509.BasicConstraints(True, None), True),
        (key_usage(key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(root.public_key()), False),
    ]
    chain = [certificate("leaf", leaf, root, usage), certificate("root", root, root, of_root)]
    paths = {"certificate": folder / f"{name}.pem", "private_key": folder / f"{name}_key.pem"}
    paths["certificate"].write_bytes(b"".join(each.public_bytes(PEM) for each in chain))
    paths["private_key"].write_bytes(
        leaf.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(names(name))
        .issuer_name(names("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2100, 1, 1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer, hashes.SHA256())


def names(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "diff4splat tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def key_usage(**used: bool) -> x509.KeyUsage:
    kinds = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    kinds += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{kind: used.get(kind, False) for kind in kinds})
