//! The sandbox that the hazards happen to, and what must be true of it whatever happened.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use torpor_runtime::envelope::{PREFIX_BYTES, decode_header, decode_prefix};
use torpor_runtime::{CheckpointKey, CheckpointStore, EngineVersion};

use crate::noise::noise;

pub const UID: &str = "5f1c9a52-0f3e-4a55-9c07-6f2f8f2b7f10";
/// More bytes than are kept in an envelope.
const LARGE: usize = 1_100_000;

pub fn key(generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: UID.to_owned(),
        generation,
    }
}

pub fn engine() -> EngineVersion {
    EngineVersion {
        name: "sim".to_owned(),
        version: 1,
    }
}

/// The context at a generation: most of it is that of the generation before the last, and nothing of it that
/// of the last, so that packs fall out of use.
pub fn payload(generation: u64) -> Vec<u8> {
    let mut payload = noise(generation % 2, LARGE);
    for past in (2..=generation).filter(|past| past % 2 == generation % 2) {
        let at = usize::try_from(past % 10).unwrap() * 100_000;
        payload[at..at + 90_000].copy_from_slice(&noise(past, 90_000));
    }
    payload
}

/// A program of its own on the same objects, to which nothing happens.
pub fn sound(objects: &Arc<InMemory>) -> CheckpointStore {
    CheckpointStore::in_object_store(Arc::clone(objects) as Arc<dyn ObjectStore>)
}

/// Whether a file is an envelope, by its name.
pub fn is_envelope(place: &Path) -> bool {
    place.extension() == Some("ckpt")
}

/// By the objects alone: which envelope names a pack that is not there as it should be.
pub async fn broken_envelope(objects: &InMemory) -> Option<String> {
    let all: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let size = |name: &str| {
        all.iter()
            .find(|object| object.location.as_ref() == name)
            .map(|object| object.size)
    };
    for envelope in all
        .iter()
        .filter(|object| is_envelope(&object.location) && object.size > 16)
    {
        let name = envelope.location.as_ref();
        let bytes = objects.get(&envelope.location).await.unwrap().bytes().await.unwrap();
        let head = decode_prefix(&bytes).and_then(|prefix| {
            let end = bytes.len().min(PREFIX_BYTES + prefix.header_bytes as usize);
            decode_header(&prefix, &bytes[PREFIX_BYTES..end], bytes.len() as u64)
        });
        let header = match head {
            Ok(header) => header,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        for pack in header.packs {
            let found = size(&format!("{UID}/packs/{}", pack.id));
            if found != Some(pack.bytes) {
                return Some(format!(
                    "{name} needs pack {} of {} bytes: {found:?}",
                    pack.id, pack.bytes
                ));
            }
        }
    }
    None
}

/// Reads every listed checkpoint whole, and gives the generations.
///
/// # Errors
/// The first one that is not what was sealed.
pub async fn whole_generations(objects: &Arc<InMemory>) -> Result<Vec<u64>, String> {
    let store = sound(objects);
    let generations = store.list(UID).await.map_err(|error| error.to_string())?;
    for generation in &generations {
        match store.load(&key(*generation), &engine()).await {
            Ok(loaded) if loaded == payload(*generation) => {}
            Ok(_) => return Err(format!("generation {generation} has the bytes of another one")),
            Err(error) => return Err(format!("generation {generation} is listed: {error:?}")),
        }
    }
    Ok(generations)
}
