//! A chunk is what its name says, whatever was done to it on the way.

use proptest::prelude::*;

use super::*;

fn unpacked(chunk: &ChunkRef, packed: &Packed) -> Result<Vec<u8>, ChunkError> {
    let mut plain = vec![0; chunk.length as usize];
    unpack(chunk, &packed.form, &packed.stored, None, &mut plain).map(|()| plain)
}

fn pack(plain: &[u8]) -> Packed {
    super::pack(&mut Compressor::new().unwrap(), plain).unwrap()
}

fn noise(seed: [u8; 32], bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut noise);
    noise
}

#[test]
fn an_empty_payload_has_no_chunks() {
    assert_eq!(cut(&[], None), []);
}

#[test]
fn a_sound_chunk_under_another_name_is_refused() {
    for plain in [b"one".as_slice(), &[b'1'; 500]] {
        let packed = pack(plain);
        let other = [b"2", &plain[1..]].concat();
        let refused = unpacked(&reference(&other, None), &packed);
        assert!(matches!(refused, Err(ChunkError::OtherChunk)), "{refused:?}");
        for length in [plain.len() - 1, plain.len() + 1] {
            let name = reference(&vec![b'1'; length], None);
            assert!(unpacked(&name, &packed).is_err(), "{length} bytes");
        }
    }
}

#[test]
fn what_does_not_compress_is_stored_as_it_is() {
    let plain = noise([1; 32], 100_000);
    let packed = pack(&plain);
    assert_eq!((packed.form.encoding, packed.stored.len()), (Encoding::Plain, 100_000));
    assert_eq!(pack(&vec![0; 100_000]).form.encoding, Encoding::Zstd);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pieces_joined_are_the_payload(seed in any::<[u8; 32]>(), bytes in 0..SEGMENT_BYTES * 5 / 2) {
        let payload = noise(seed, bytes);
        let pieces = cut(&payload, None);
        prop_assert!(pieces.iter().all(|piece| (1..=MAX_CHUNK_BYTES).contains(&piece.chunk.length)));
        prop_assert!(pieces.iter().all(|piece| piece.chunk == reference(&payload[piece.range.clone()], None)));
        let joined: Vec<u8> = pieces.into_iter().flat_map(|piece| payload[piece.range].to_vec()).collect();
        prop_assert!(joined == payload);
    }

    #[test]
    fn what_is_cut_of_a_beginning_is_cut_of_all(seed in any::<[u8; 32]>(), bytes in 1..1_000_000_usize, known in 0..1_000_000_usize, odd in any::<bool>(), is_fine in any::<bool>()) {
        let grain = if is_fine { Grain::Byte } else { Grain::Aligned };
        let mut payload = noise(seed, bytes);
        if odd {
            // Nothing to cut at.
            payload.fill(0);
        }
        let pieces = cut_segment(7, &payload, grain, None);
        let first = cut_beginning(7, &payload[..known.min(bytes)], grain, None);
        prop_assert!(pieces.starts_with(&first));
        let left = known.min(bytes) - first.last().map_or(0, |piece| piece.range.end - 7);
        prop_assert!(left <= MAX_CHUNK_BYTES as usize, "{left} bytes wait for what follows");
    }

    #[test]
    fn memory_is_cut_where_the_1024_bytes_in_front_say_so(seed in any::<[u8; 32]>(), bytes in 1..1_000_000_usize, zeroes in 0..1_000_000_usize) {
        let mut memory = noise(seed, bytes);
        memory[..zeroes.min(bytes) / 2].fill(0);
        let expected = cuts_by_definition(&memory);
        let found = cuts(&memory, Grain::Aligned, true);
        prop_assert_eq!(found.iter().map(|cut| cut.end).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_chunk_survives_packing(plain in prop::collection::vec(0..4_u8, 1..5000)) {
        prop_assert_eq!(unpacked(&reference(&plain, None), &pack(&plain)).unwrap(), plain);
    }
}

/// Where pieces of memory end, each place looked at by itself.
fn cuts_by_definition(memory: &[u8]) -> Vec<usize> {
    let says_so = |end: usize, bits: u32| {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let strides = memory[end - 1024..end].chunks(16).rev();
        let weighed = strides.zip(0..64).map(|(stride, age)| {
            let folded = word(&stride[..8]) ^ word(&stride[8..]).rotate_left(29);
            ((u128::from(folded) * 0x9e37_79b9_7f4a_7c15) << age) & u128::from(u64::MAX)
        });
        // The last so many bits of the pattern are the first of the sum.
        let sum = weighed.fold(0_u128, |sum, word| (sum + word) & u128::from(u64::MAX));
        sum >> (64 - bits) == 0x1a55 & ((1 << bits) - 1)
    };
    let (mut ends, mut start) = (Vec::new(), 0);
    while start < memory.len() {
        let last = memory.len().min(start + 131_072);
        let mut places = (start + 8_192 + 16..=last).step_by(16);
        let end = places.find(|end| says_so(*end, if *end <= start + 32_768 { 12 } else { 10 }));
        start = end.unwrap_or(last);
        ends.push(start);
    }
    ends
}

/// Bytes of chunks of `after` that `before` does not have.
fn new_bytes(before: &[u8], after: &[u8]) -> usize {
    new_bytes_of(Grain::Aligned, before, after)
}

fn new_bytes_of(grain: Grain, before: &[u8], after: &[u8]) -> usize {
    let pieces = |memory: &[u8]| cut_segment(0, memory, grain, None);
    let known: Vec<ChunkRef> = pieces(before).iter().map(|piece| piece.chunk).collect();
    let new = pieces(after).into_iter().filter(|piece| !known.contains(&piece.chunk));
    new.map(|piece| piece.range.len()).sum()
}

#[test]
fn pages_that_are_put_in_or_taken_out_change_few_pieces() {
    let memory = noise([9; 32], 3_000_000);
    for (place, pages) in (1..12).map(|nth| (nth * 50 * 4096, nth % 5 + 1)) {
        let mut longer = memory.clone();
        longer.splice(place..place, noise([8; 32], pages * 4096));
        let (put_in, taken_out) = (new_bytes(&memory, &longer), new_bytes(&longer, &memory));
        assert!(
            put_in <= pages * 4096 + 400_000,
            "{put_in} bytes after {pages} pages at {place}"
        );
        assert!(
            taken_out <= 400_000,
            "{taken_out} bytes without {pages} pages at {place}"
        );
    }
}

#[test]
fn memory_of_which_a_hundredth_changed_has_few_new_bytes() {
    let memory = noise([9; 32], 30_000_000);
    let mut changed = memory.clone();
    changed[7_000_001..7_300_001].copy_from_slice(&noise([8; 32], 300_000));
    let new = new_bytes(&memory, &changed);
    assert!((300_000..=1_500_000).contains(&new), "{new} bytes");
}

#[test]
fn single_pages_that_change_take_less_along_than_bytes_of_a_file() {
    let memory = noise([9; 32], 4 << 20);
    let mut changed = memory.clone();
    for page in changed.chunks_mut(256 << 10) {
        page[..4096].copy_from_slice(&noise([8; 32], 4096));
    }
    let [memory, file] = [Grain::Aligned, Grain::Byte].map(|grain| new_bytes_of(grain, &memory, &changed));
    assert!(16 * 4096 <= memory && memory < file * 3 / 4, "{memory} of {file} bytes");
}

#[test]
fn zeroes_are_cut_into_pieces_that_are_alike() {
    let pieces = cut_segment(0, &vec![0; SEGMENT_BYTES], Grain::Aligned, None);
    assert_eq!(pieces.len(), 2 * SEGMENT_BYTES / MAX_CHUNK_BYTES as usize);
    assert!(pieces.iter().all(|piece| piece.chunk == pieces[0].chunk));
}

#[test]
fn bytes_put_in_change_few_pieces() {
    let mut payload = noise([7; 32], 3_000_000);
    let before = cut(&payload, None);
    payload.splice(1_000_000..1_000_000, *b"a few bytes more");
    let new = cut(&payload, None)
        .into_iter()
        .filter(|piece| !before.iter().any(|old| old.chunk == piece.chunk));
    assert!((1..=3).contains(&new.count()));
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_chunk_is_detected() {
    let key = TenantKey::parse(&format!("k:{}", "5a".repeat(32))).unwrap();
    let nonce = Nonce::of(uuid::Uuid::nil(), 0);
    for (plain, sealed_with) in [
        (b"torpor ".repeat(50), None),
        (noise([3; 32], 300), None),
        (b"torpor ".repeat(50), Some((&key, nonce))),
    ] {
        let chunk = reference(&plain, sealed_with.map(|(key, _)| key));
        let packed = match sealed_with {
            None => pack(&plain),
            Some((key, nonce)) => encrypt(&pack(&plain), key, nonce),
        };
        let sound = |stored: &[u8]| {
            let mut out = vec![0; plain.len()];
            let read = unpack(&chunk, &packed.form, stored, sealed_with, &mut out).is_ok();
            assert_eq!(read, is_intact(&chunk, &packed.form, stored, sealed_with));
            read
        };
        assert!(sound(&packed.stored));
        for bit in 0..packed.stored.len() * 8 {
            let mut damaged = packed.stored.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!sound(&damaged), "flipped bit {bit}");
        }
        for length in 0..packed.stored.len() {
            assert!(!sound(&packed.stored[..length]), "cut to {length} bytes");
        }
    }
}
