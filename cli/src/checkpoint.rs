//! `torpor checkpoint`: a look into the checkpoint store of a data directory.

use anyhow::{Context as _, anyhow, bail};
use torpor_runtime::{CheckpointKey, CheckpointStore};
use url::Url;

use crate::args::{CheckpointArgs, CheckpointCommand};
use crate::exit::Exit;

/// Lists, shows or verifies checkpoints.
///
/// # Errors
/// The store or a checkpoint cannot be read.
pub async fn run(args: CheckpointArgs) -> anyhow::Result<Exit> {
    let path = args.data_dir.join("checkpoints");
    if !path.is_dir() {
        bail!(
            "{} holds no checkpoint store; name the data directory with --data-dir DIR",
            args.data_dir.display()
        );
    }
    let path = path
        .canonicalize()
        .with_context(|| format!("find {}", path.display()))?;
    let url = Url::from_directory_path(&path).map_err(|()| anyhow!("the path {} has no URL form", path.display()))?;
    let store = CheckpointStore::open(url.as_str()).context("open the checkpoint store")?;
    match args.command {
        CheckpointCommand::Ls => list(&store).await,
        CheckpointCommand::Show { uid, generation } => show(&store, uid, generation).await,
        CheckpointCommand::Verify { uid } => verify(&store, uid).await,
    }
}

async fn list(store: &CheckpointStore) -> anyhow::Result<Exit> {
    println!(
        "{:<38} {:>10} {:<8} {:>12} {:>12}",
        "SANDBOX UID", "GENERATION", "ENGINE", "BYTES", "STORED"
    );
    for uid in store.sandboxes().await? {
        let stored = store.stored_bytes(&uid).await?;
        for generation in store.list(&uid).await? {
            let key = CheckpointKey {
                sandbox_uid: uid.clone(),
                generation,
            };
            let header = store
                .header(&key)
                .await
                .with_context(|| format!("read checkpoint {generation} of {uid}"))?;
            println!(
                "{uid:<38} {generation:>10} {:<8} {:>12} {stored:>12}",
                header.engine.name, header.payload_bytes
            );
        }
    }
    Ok(Exit::Success)
}

async fn show(store: &CheckpointStore, uid: String, generation: u64) -> anyhow::Result<Exit> {
    let key = CheckpointKey {
        sandbox_uid: uid,
        generation,
    };
    let header = store.header(&key).await?;
    println!("sandbox     {}\ngeneration  {}", header.sandbox_uid, header.generation);
    println!("engine      {} (version {})", header.engine.name, header.engine.version);
    println!(
        "bytes       {}\nhash        {}",
        header.payload_bytes, header.payload_hash
    );
    Ok(Exit::Success)
}

async fn verify(store: &CheckpointStore, uid: Option<String>) -> anyhow::Result<Exit> {
    let uids = match uid {
        Some(uid) => vec![uid],
        None => store.sandboxes().await?,
    };
    let (mut whole, mut damaged) = (0, 0);
    for uid in uids {
        for generation in store.list(&uid).await? {
            match store
                .verify(&CheckpointKey {
                    sandbox_uid: uid.clone(),
                    generation,
                })
                .await
            {
                Ok(header) => {
                    whole += 1;
                    println!("whole    {uid} {generation} ({} bytes)", header.payload_bytes);
                }
                Err(error) => {
                    damaged += 1;
                    println!("DAMAGED  {uid} {generation}: {:#}", anyhow::Error::from(error));
                }
            }
        }
    }
    println!("{whole} whole, {damaged} damaged");
    Ok(if damaged == 0 {
        Exit::Success
    } else {
        Exit::NotConformant
    })
}
