//! A certificate made on the spot, for TLS on this machine when none is given: self-signed, for localhost, until 2050.
//!
//! Only what X.509 asks for at least is written, by hand. Nobody trusts it unless told to.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::net::TlsError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const NAME: &str = "alpaca-broker sim";
/// It is valid between these: any clock that runs this program is.
const FROM: &str = "250101000000Z";
const UNTIL: &str = "491231235959Z";

/// The settings of a server that shows it, and the certificate as PEM.
pub(super) fn make() -> Result<(Arc<ServerConfig>, String), TlsError> {
    let refused = |_| TlsError::Unusable(rustls::Error::General("the system gives no randomness for a key".to_owned()));
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(refused)?;
    let broken = |error: ring::error::KeyRejected| TlsError::Unusable(rustls::Error::General(error.to_string()));
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).map_err(broken)?;
    let mut serial = [0; 16];
    random.fill(&mut serial).map_err(refused)?;
    // Positive, and never shortened by a leading zero.
    serial[0] = (serial[0] & 0x3f) | 0x40;
    let content = content(&serial, pair.public_key().as_ref());
    let signature = pair.sign(&random, &content).map_err(refused)?;
    let certificate = of(SEQUENCE, &[&content, &algorithm(), &bits(signature.as_ref())]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(document.as_ref().to_vec()));
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", base64(&certificate));
    Ok((Arc::new(config.with_single_cert(vec![CertificateDer::from(certificate)], key)?), pem))
}

/// What is signed.
fn content(serial: &[u8], public: &[u8]) -> Vec<u8> {
    let name = of(SEQUENCE, &[&of(SET, &[&of(SEQUENCE, &[&of(OBJECT, &[COMMON_NAME]), &of(UTF8, &[NAME.as_bytes()])])])]);
    let version = of(0xa0, &[&of(INTEGER, &[&[2]])]);
    let validity = of(SEQUENCE, &[&of(UTC_TIME, &[FROM.as_bytes()]), &of(UTC_TIME, &[UNTIL.as_bytes()])]);
    let key = of(SEQUENCE, &[&of(SEQUENCE, &[&of(OBJECT, &[EC_PUBLIC_KEY]), &of(OBJECT, &[PRIME256V1])]), &bits(public)]);
    let loopback6 = std::net::Ipv6Addr::LOCALHOST.octets();
    let names = of(SEQUENCE, &[&of(0x82, &[b"localhost"]), &of(0x87, &[&[127, 0, 0, 1]]), &of(0x87, &[&loopback6])]);
    let extension = of(SEQUENCE, &[&of(OBJECT, &[ALTERNATIVE_NAMES]), &of(OCTET_STRING, &[&names])]);
    let extensions = of(0xa3, &[&of(SEQUENCE, &[&extension])]);
    of(SEQUENCE, &[&version, &of(INTEGER, &[serial]), &algorithm(), &name, &validity, &name, &key, &extensions])
}

fn algorithm() -> Vec<u8> {
    of(SEQUENCE, &[&of(OBJECT, &[ECDSA_WITH_SHA256])])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    of(BIT_STRING, &[&[0], bytes])
}

/// One DER value of its parts; none here is longer than 65,535 bytes.
fn of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// In lines of 64 letters.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (n, three) in bytes.chunks(3).enumerate() {
        let word = three.iter().chain(&[0, 0]).take(3).fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let letter = |place: usize| if place <= three.len() { LETTERS[word >> (18 - 6 * place) & 63] as char } else { '=' };
        out.extend((0..4).map(letter));
        if n % 16 == 15 {
            out.push('\n');
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_lengths_are_those_of_the_standards() {
        for (text, wanted) in [("", "\n"), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("foobar", "Zm9vYmFy\n")] {
            assert_eq!(base64(text.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0; 48]), format!("{}\n", "A".repeat(64)));
        assert_eq!((of(4, &[&[0; 127]])[1], &of(4, &[&[0; 200]])[1..3], &of(4, &[&[0; 300]])[1..4]), (127, &[0x81, 200][..], &[0x82, 1, 44][..]));
    }
}
