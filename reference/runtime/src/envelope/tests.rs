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

fn envelope_with_room(key: Option<&TenantKey>, room: usize) -> Vec<u8> {
    let encoded = encode(&Contents {
        sandbox_uid: "uid-1",
        generation: 7,
        engine: &engine(),
        attempt: Uuid::from_u128(1),
        added_chunk_bytes: 2,
        packs: &[],
        entries: &[entry(b"a", 0), entry(b"b", 1)],
        kept_here: &KeptChunks::of([&b"a"[..], b"b"]),
        room,
        key,
    });
    [&encoded.unwrap().beginning, &b"ab"[..]].concat()
}

fn envelope(key: Option<&TenantKey>) -> Vec<u8> {
    envelope_with_room(key, 0)
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
fn chunks_begin_behind_the_room_that_is_left_for_what_is_in_front_of_them() {
    let tight = envelope(None).len() - 2;
    for room in [0, tight - 1, tight, tight + 1, 2000] {
        let bytes = envelope_with_room(None, room);
        let (header, _) = decode(&bytes, &TenantKeys::default()).unwrap();
        let kept = usize::try_from(kept_here(&header, bytes.len() as u64)).unwrap();
        assert_eq!(kept, room.max(tight));
    }
}

/// As format 3 was written, with the hash of the body as it is.
fn of_format_3() -> Vec<u8> {
    let now = envelope(None);
    let (mut header, _) = decode(&now, &TenantKeys::default()).unwrap();
    let body = &now[now.len() - usize::try_from(header.body_bytes).unwrap()..];
    header.body_hash = blake3::hash(body).to_hex().to_string();
    let header = serde_json::to_vec(&header).unwrap();
    let mut fixed = MAGIC.to_vec();
    fixed.extend_from_slice(&3_u32.to_le_bytes());
    fixed.extend_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    let hash = Hasher::new().update(&fixed).update(&header).finalize();
    [&fixed, hash.as_bytes().as_slice(), &header, body].concat()
}

#[test]
fn an_envelope_of_the_format_before_is_read_and_its_flipped_bits_are_detected() {
    let sound = of_format_3();
    assert_eq!(decode(&sound, &TenantKeys::default()).unwrap().1.len(), 2);
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&damaged, &TenantKeys::default()).is_err(), "flipped bit {bit}");
    }
}

#[test]
fn every_flipped_bit_is_detected() {
    let keys = keys("k", '1');
    for (key, room) in [(None, 0), (keys.sealing(), 0), (None, 800)] {
        let sound = envelope_with_room(key, room);
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
    let moved = [head::encode(&header, 0).unwrap(), body].concat();
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
            kept_here: &KeptChunks::of([&b"ab"[..]]),
            room: 0,
            key: None,
        };
        let beginning = encode(&contents).unwrap().beginning;
        decode(&[&beginning, &b"ab"[..]].concat(), &TenantKeys::default())
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
        kept_here: &KeptChunks::default(),
        room: 0,
        key: None,
    };
    assert!(matches!(encode(&contents), Err(EnvelopeError::HeaderTooLong { .. })));
}
