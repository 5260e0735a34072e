//! `torpor checkpoint`: a look into a checkpoint store, a check of it, and its clearing up.
//!
//! What is wrong with one checkpoint is said beside it and ends nothing; a store that fails ends the command.

mod clear;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use torpor_runtime::{CheckpointKey, CheckpointStore, EnvelopeHeader, StoreError};
use url::Url;

use crate::args::{CheckpointArgs, CheckpointCommand, Output};
use crate::environment;
use crate::exit::Exit;

/// One checkpoint, as far as it can be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    sandbox_uid: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<EnvelopeHeader>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// That is the keys alone that are given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
}

impl Row {
    /// What is wrong, in a word that tells people what to keep.
    fn word(&self) -> &'static str {
        if self.locked { "LOCKED" } else { "DAMAGED" }
    }
}

/// Runs one of the commands.
///
/// # Errors
/// The store cannot be read, or what it gave cannot be printed.
pub async fn run(args: CheckpointArgs) -> anyhow::Result<Exit> {
    let url = match store_url(&args) {
        Ok(url) => url,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    let store = match CheckpointStore::open_in(&url, &environment::variables()) {
        Ok(store) => store,
        Err(error) => return Ok(Exit::usage(&error.into())),
    };
    if let Some(uid) = args.command.sandbox() {
        let known = store.list(uid).await;
        if known
            .with_context(|| format!("use the checkpoint store {url}"))?
            .is_empty()
        {
            eprintln!(
                "torpor: there is no checkpoint of sandbox {uid} in {url}; `torpor checkpoint ls` lists those there are"
            );
            return Ok(Exit::NotConformant);
        }
    }
    let outcome = match args.command {
        CheckpointCommand::Ls { uid } => list(&store, uid, args.output).await,
        CheckpointCommand::Show { uid, generation } => show(&store, uid, generation, args.output).await,
        CheckpointCommand::Verify { uid } => verify(&store, uid, args.output).await,
        CheckpointCommand::Gc { uid, keep, dry_run } => clear::run(&store, uid, keep.get(), dry_run, args.output).await,
    };
    outcome.with_context(|| format!("use the checkpoint store {url}"))
}

fn store_url(args: &CheckpointArgs) -> anyhow::Result<String> {
    if let Some(url) = &args.store {
        // Opened to be written to, a directory that is not there would be made.
        let directory = Url::parse(url).ok().filter(|url| url.scheme() == "file");
        let directory = directory.and_then(|url| url.to_file_path().ok());
        return match directory {
            Some(path) if !path.is_dir() => Err(anyhow!("there is no checkpoint store at {url}: no such directory")),
            Some(_) | None => Ok(url.clone()),
        };
    }
    let path = args.data_dir.join("checkpoints");
    if !path.is_dir() {
        return Err(anyhow!(
            "{} holds no checkpoint store; name the data directory with --data-dir DIR or a store with --store URL",
            args.data_dir.display()
        ));
    }
    let path = path
        .canonicalize()
        .with_context(|| format!("find {}", path.display()))?;
    let url = Url::from_directory_path(&path).map_err(|()| anyhow!("the path {} has no URL form", path.display()))?;
    Ok(url.to_string())
}

async fn uids(store: &CheckpointStore, uid: Option<String>) -> Result<Vec<String>, StoreError> {
    match uid {
        Some(uid) => Ok(vec![uid]),
        None => store.sandboxes().await,
    }
}

/// A row for each checkpoint, with what `read` finds.
async fn rows(
    store: &CheckpointStore,
    uid: Option<String>,
    read: impl AsyncFn(&CheckpointKey) -> Result<EnvelopeHeader, StoreError>,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for uid in uids(store, uid).await? {
        for generation in store.list(&uid).await? {
            let key = CheckpointKey {
                sandbox_uid: uid.clone(),
                generation,
            };
            let (header, error, locked) = match read(&key).await {
                Ok(header) => (Some(header), None, false),
                // Somebody has removed it since it was listed.
                Err(error) if error.is_about_a_checkpoint() && !is_listed(store, &key).await? => continue,
                Err(error) if error.is_about_a_checkpoint() => {
                    let locked = error.lacks_a_key();
                    (None, Some(chain(error)), locked)
                }
                Err(error) => return Err(error.into()),
            };
            rows.push(Row {
                sandbox_uid: uid.clone(),
                generation,
                header,
                error,
                locked,
            });
        }
    }
    Ok(rows)
}

/// Whether there is such a checkpoint, sound or not.
async fn is_listed(store: &CheckpointStore, key: &CheckpointKey) -> Result<bool, StoreError> {
    Ok(store.list(&key.sandbox_uid).await?.contains(&key.generation))
}

async fn list(store: &CheckpointStore, uid: Option<String>, output: Output) -> anyhow::Result<Exit> {
    let rows = rows(store, uid, async |key: &CheckpointKey| store.header(key).await).await?;
    match output {
        Output::Json => print_json(&rows)?,
        Output::Text => {
            if rows.is_empty() {
                eprintln!("torpor: there is no checkpoint in the store");
            }
            let titles = ["SANDBOX UID", "GENERATION", "ENGINE", "BYTES", "ADDED", "KEY"];
            print_row(&titles.map(str::to_owned));
            for row in &rows {
                print_row(&cells(row));
            }
        }
    }
    Ok(exit(rows.iter().map(|row| &row.error)))
}

fn cells(row: &Row) -> [String; 6] {
    let (uid, generation) = (row.sandbox_uid.clone(), row.generation.to_string());
    let Some(header) = &row.header else {
        let error = row.error.clone().unwrap_or_default();
        return [
            uid,
            generation,
            row.word().to_owned(),
            String::new(),
            String::new(),
            error,
        ];
    };
    [
        uid,
        generation,
        format!("{}/{}", header.engine.name, header.engine.version),
        header.payload_bytes.to_string(),
        header.added_chunk_bytes.to_string(),
        header.key_id.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn print_row([uid, generation, engine, bytes, added, key]: &[String; 6]) {
    println!("{uid:<38} {generation:>10} {engine:<12} {bytes:>12} {added:>12} {key}");
}

async fn show(store: &CheckpointStore, uid: String, generation: Option<u64>, output: Output) -> anyhow::Result<Exit> {
    let generations = store.list(&uid).await?;
    // Without any this was refused before.
    let generation = generation.or(generations.last().copied()).unwrap_or_default();
    if !generations.contains(&generation) {
        eprintln!("torpor: there is no checkpoint {generation} of sandbox {uid}; there are {generations:?}");
        return Ok(Exit::NotConformant);
    }
    let key = CheckpointKey {
        sandbox_uid: uid,
        generation,
    };
    let header = match store.header(&key).await {
        Ok(header) => header,
        Err(error) if error.is_about_a_checkpoint() => {
            eprintln!("torpor: {}", chain(error));
            return Ok(Exit::NotConformant);
        }
        Err(error) => return Err(error.into()),
    };
    match output {
        Output::Json => print_json(&header)?,
        Output::Text => {
            let line = |name: &str, value: &dyn Display| println!("{name:<12}{value}");
            line("sandbox", &header.sandbox_uid);
            line("generation", &header.generation);
            line(
                "engine",
                &format!("{} (version {})", header.engine.name, header.engine.version),
            );
            line("bytes", &header.payload_bytes);
            line("added", &header.added_chunk_bytes);
            line("packs", &header.packs.len());
            line("key", &header.key_id.as_deref().unwrap_or("none, it is not encrypted"));
            line("hash", &header.payload_hash);
        }
    }
    Ok(Exit::Success)
}

async fn verify(store: &CheckpointStore, uid: Option<String>, output: Output) -> anyhow::Result<Exit> {
    let rows = rows(store, uid, async |key: &CheckpointKey| store.verify(key).await).await?;
    let whole = rows.iter().filter(|row| row.error.is_none()).count();
    let locked = rows.iter().filter(|row| row.locked).count();
    let damaged = rows.len() - whole - locked;
    match output {
        Output::Json => print_json(&rows)?,
        Output::Text => {
            for row in &rows {
                let Row {
                    sandbox_uid,
                    generation,
                    ..
                } = row;
                if let Some(header) = &row.header {
                    println!("whole    {sandbox_uid} {generation} ({} bytes)", header.payload_bytes);
                }
                if let Some(error) = &row.error {
                    println!("{:<8} {sandbox_uid} {generation}: {error}", row.word());
                }
            }
            match locked {
                0 => println!("{whole} whole, {damaged} damaged"),
                _ => println!("{whole} whole, {damaged} damaged, {locked} locked"),
            }
        }
    }
    Ok(exit(rows.iter().map(|row| &row.error)))
}

fn exit<'a>(mut errors: impl Iterator<Item = &'a Option<String>>) -> Exit {
    if errors.all(Option::is_none) {
        Exit::Success
    } else {
        Exit::NotConformant
    }
}

fn chain(error: StoreError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("encode the result")?);
    Ok(())
}
