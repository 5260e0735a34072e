use super::*;
use crate::chunks::{CHECK_BYTES, ChunkRef, Encoding, Form};

fn entry(plain: &[u8], offset: u64) -> Entry {
    Entry {
        chunk: ChunkRef {
            hash: blake3::hash(plain),
            length: 1,
        },
        form: Form {
            encoding: Encoding::Plain,
            check: [0; CHECK_BYTES],
        },
        holder: Holder::Envelope,
        offset,
        stored_bytes: 1,
    }
}

fn engine() -> EngineVersion {
    EngineVersion {
        name: "sim".to_owned(),
        version: 3,
    }
}

fn envelope(key: Option<&TenantKey>) -> Vec<u8> {
    encode(&Contents {
        sandbox_uid: "uid-1",
        generation: 7,
        engine: &engine(),
        attempt: Uuid::from_u128(1),
        added_chunk_bytes: 2,
        packs: &[],
        entries: &[entry(b"a", 0), entry(b"b", 1)],
        kept_here: &[Bytes::from_static(b"ab")],
        key,
    })
    .unwrap()
    .parts
    .concat()
}

fn keys(id: &str, digit: char) -> TenantKeys {
    TenantKeys::parse(&format!("{id}:{}", digit.to_string().repeat(64))).unwrap()
}

#[test]
fn a_decoded_envelope_says_what_was_encoded() {
    let bytes = envelope(None);
    let (header, entries) = decode(&bytes, &TenantKeys::default()).unwrap();
    assert_eq!(
        (header.sandbox_uid.as_str(), header.generation, header.payload_bytes),
        ("uid-1", 7, 2)
    );
    assert_eq!(header.engine, engine());
    assert_eq!(entries, [entry(b"a", 0), entry(b"b", 1)]);
    let kept = usize::try_from(kept_here(&header, bytes.len() as u64)).unwrap();
    assert_eq!(&bytes[kept..], b"ab");
}

#[test]
fn every_flipped_bit_is_detected() {
    let keys = keys("k", '1');
    for key in [None, keys.sealing()] {
        let sound = envelope(key);
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged, &keys).is_err(), "flipped bit {bit}");
        }
    }
}

#[test]
fn every_flipped_bit_of_the_head_is_detected_without_the_body() {
    let sound = envelope(None);
    let prefix = decode_prefix(&sound).unwrap();
    let head = PREFIX_BYTES + prefix.header_bytes as usize;
    let read = |head: &[u8]| {
        let prefix = decode_prefix(head)?;
        let end = head.len().min(PREFIX_BYTES + prefix.header_bytes as usize);
        decode_header(&prefix, &head[PREFIX_BYTES..end], sound.len() as u64)
    };
    assert_eq!(read(&sound[..head]).unwrap().generation, 7);
    for bit in 0..head * 8 {
        let mut damaged = sound[..head].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "flipped bit {bit}");
    }
}

#[test]
fn every_truncation_and_every_added_byte_is_detected() {
    let sound = envelope(None);
    for length in 0..sound.len() {
        assert!(
            decode(&sound[..length], &TenantKeys::default()).is_err(),
            "cut to {length} bytes"
        );
    }
    let longer = [sound.as_slice(), &[0]].concat();
    assert!(matches!(
        decode(&longer, &TenantKeys::default()),
        Err(EnvelopeError::TrailingBytes { .. })
    ));
}

#[test]
fn another_format_version_is_refused_by_its_number() {
    let mut other = envelope(None);
    other[8] = 1;
    assert!(matches!(
        decode(&other, &TenantKeys::default()),
        Err(EnvelopeError::FormatVersion { found: 1 })
    ));
}

#[test]
fn an_encrypted_table_opens_with_its_key_only_and_below_its_own_header_only() {
    let right = keys("k", '1');
    let sound = envelope(right.sealing());
    assert!(!sound.windows(32).any(|window| window == blake3::hash(b"a").as_bytes()));
    assert_eq!(decode(&sound, &right).unwrap().1.len(), 2);
    let refused = decode(&sound, &TenantKeys::default());
    assert!(
        matches!(refused, Err(EnvelopeError::NoKey { given: 0, .. })),
        "{refused:?}"
    );
    let refused = decode(&sound, &keys("k", '2'));
    assert!(matches!(refused, Err(EnvelopeError::WrongKey { .. })), "{refused:?}");

    let (mut header, _) = decode(&sound, &right).unwrap();
    let body = sound[sound.len() - usize::try_from(header.body_bytes).unwrap()..].to_vec();
    header.sandbox_uid = "another".to_owned();
    let moved = [head::encode(&header).unwrap(), body].concat();
    assert!(matches!(decode(&moved, &right), Err(EnvelopeError::WrongKey { .. })));
}

#[test]
fn a_chunk_outside_of_what_holds_it_is_refused_when_read() {
    let reach = |entry: Entry| {
        let contents = Contents {
            sandbox_uid: "uid-1",
            generation: 7,
            engine: &engine(),
            attempt: Uuid::from_u128(1),
            added_chunk_bytes: 2,
            packs: &[Pack {
                id: Uuid::from_u128(1),
                bytes: 4,
            }],
            entries: &[entry],
            kept_here: &[Bytes::from_static(b"ab")],
            key: None,
        };
        decode(&encode(&contents).unwrap().parts.concat(), &TenantKeys::default())
    };
    reach(entry(b"a", 1)).unwrap();
    let pack = |nth, offset| Entry {
        holder: Holder::Pack(nth),
        ..entry(b"a", offset)
    };
    reach(pack(0, 3)).unwrap();
    for outside in [entry(b"a", 2), entry(b"a", u64::MAX), pack(0, 4), pack(1, 0)] {
        assert!(
            matches!(reach(outside), Err(EnvelopeError::TableSyntax { .. })),
            "{outside:?}"
        );
    }
}

#[test]
fn a_name_that_fits_no_header_is_refused_when_written() {
    let long = EngineVersion {
        name: "x".repeat(MAX_HEADER_BYTES as usize),
        version: 1,
    };
    let contents = Contents {
        sandbox_uid: "uid-1",
        generation: 1,
        engine: &long,
        attempt: Uuid::nil(),
        added_chunk_bytes: 0,
        packs: &[],
        entries: &[],
        kept_here: &[],
        key: None,
    };
    assert!(matches!(encode(&contents), Err(EnvelopeError::HeaderTooLong { .. })));
}
