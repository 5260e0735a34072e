//! Starts sandboxes, and restores them by CRIU.

mod restore;
mod wholly;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::OnceCell;

use super::baseline::{Baseline, Ground, Listing};
use super::client::InitClient;
use super::command::Criu;
use super::contexts::Contexts;
use super::dumper::Dumper;
use super::error::CriuError;
use super::fitness::{Fitness, KERNEL_DATA};
use super::image::IMAGE_VERSION;
use super::init::INIT_ALLOCATOR;
use super::kernel::SCRIPT;
use super::lazy::{Paging, Touched};
use super::sandbox::{CriuSandbox, Parts};
use super::system::{LAST_PID_OF_AGENT, advance_pids_beyond};
use super::tree::Tree;
use crate::engine::{Answer, CommandRefused, Engine, Facet, Fresh, Place, ProcessSpec, Sandbox, SandboxError};
use crate::payload::PayloadReader;
use crate::step::Steps;
use crate::store::EngineVersion;
use wholly::{or_killed, to_the_end};

const HOME: &str = "/home/user";
/// What every process of a sandbox has in its environment, unless the sandbox says otherwise.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("HOME", HOME),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("USER", "root"),
];

/// Memory that takes no longer to be laid out than to be brought in later.
const LAZY_FROM_BYTES: u64 = 16 << 20;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct CriuConfig {
    /// The CRIU program.
    pub criu: PathBuf,
    /// A command that runs [`run_init`](crate::run_init) on the socket that is its last argument.
    pub init: Vec<OsString>,
    /// Where init listens: a path in the sandbox that nothing else uses.
    pub socket: PathBuf,
    /// With at least so many bytes of memory that may come later, processes run before it is there.
    pub lazy_from_bytes: u64,
    /// The memory of a sandbox that has used no processor time for so long is stored ahead of its pause; never when absent.
    pub store_ahead_after: Option<Duration>,
    /// Is told the steps of checkpoints and restores.
    pub steps: Steps,
}

impl CriuConfig {
    /// CRIU by its name, and `init` as the command of init.
    #[must_use]
    pub fn new(init: Vec<OsString>) -> Self {
        Self {
            criu: "criu".into(),
            init,
            socket: "/run/torpor/init.sock".into(),
            lazy_from_bytes: LAZY_FROM_BYTES,
            store_ahead_after: None,
            steps: Steps::default(),
        }
    }
}

/// Runs one sandbox in this container. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct CriuEngine {
    config: CriuConfig,
    criu: Criu,
    /// What is known of CRIU, once it is.
    fitness: Arc<OnceCell<Fitness>>,
}

impl CriuEngine {
    /// An engine that has not looked yet whether it can run here.
    #[must_use]
    pub fn new(config: CriuConfig) -> Self {
        Self {
            criu: Criu::new(config.criu.clone()),
            config,
            fitness: Arc::default(),
        }
    }

    /// Whether sandboxes can be run, dumped and restored here, by asking CRIU.
    ///
    /// # Errors
    /// CRIU is missing, too old, or lacks something of the kernel or the container.
    pub async fn probe(&self) -> Result<(), CriuError> {
        is_first_process()?;
        self.fit().await.map(drop)
    }

    /// What is known of CRIU here, which is found out once.
    async fn fit(&self) -> Result<&Fitness, CriuError> {
        let find_out = async || Ok(Fitness::found(self.criu.probe().await?));
        self.fitness.get_or_try_init(find_out).await
    }

    /// Believes what a checkpoint knows of CRIU where that still holds.
    fn recall(&self, fitness: &Fitness) {
        if self.fitness.initialized() || !fitness.holds_here() {
            return;
        }
        match fitness.recall() {
            // Somebody may just have found it out.
            Ok(()) => drop(self.fitness.set(fitness.clone())),
            Err(error) => tracing::warn!(%error, "give CRIU what it knew"),
        }
    }

    async fn begin(self, place: Place, fresh: Fresh) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (ground, script) = self.prepare(&place.directory).await?;
        let baseline = blocking(move || {
            let listing = Listing::take(&ground)?;
            Ok(Arc::new(Baseline::new(ground, listing)))
        });
        let baseline = baseline.await?;
        let mut env: std::collections::BTreeMap<String, String> = ENVIRONMENT
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        env.extend(fresh.env.clone());
        let client = InitClient::new(self.config.socket.clone());
        let tree = Tree::new(self.spawn_init(&env)?);
        let reached = async {
            client.ready().await?;
            let contexts = Contexts::fresh(client.clone(), script).await?;
            Ok::<_, SandboxError>((contexts, self.fit().await?.clone()))
        };
        let (contexts, fitness) = or_killed(tree, None, reached).await?;
        let sandbox = CriuSandbox::new(Parts {
            dumper: Dumper::new(self.criu.clone()),
            fitness,
            client,
            contexts,
            tree,
            baseline,
            paging: Paging::complete(),
            touched: Touched::default(),
            steps: self.config.steps.clone(),
            is_new: true,
            store_ahead_after: self.config.store_ahead_after,
            place,
            env: fresh.env,
        });
        if let Some(program) = program(&fresh.command)
            && let Err(error) = sandbox.start_program(program).await
        {
            sandbox.stop().await;
            return Err(error);
        }
        Ok(Arc::new(sandbox))
    }

    /// What a start and a restore have in common: the system is fit, the agent's own files are there, and what
    /// changes from now on is the sandbox's.
    async fn prepare(&self, directory: &Path) -> Result<(Ground, PathBuf), CriuError> {
        self.probe().await?;
        let home = Path::new(HOME);
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(home);
        made.map_err(CriuError::file("make", home))?;
        make_parent(&self.config.socket)?;
        // Beside the socket: a kernel that is still starting has it open, and finds it there after a restore.
        let script = self.config.socket.with_file_name("kernel.py");
        fs::write(&script, SCRIPT).map_err(CriuError::file("write", &script))?;
        let mut excluded = vec![directory.to_owned(), PathBuf::from(KERNEL_DATA)];
        excluded.extend(self.config.socket.parent().map(Path::to_owned));
        Ok((Ground::now(excluded)?, script))
    }

    /// Starts init in a session of its own, at a high pid, connected to nothing.
    fn spawn_init(&self, env: &std::collections::BTreeMap<String, String>) -> Result<u32, CriuError> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| CriuError::init("start")(errno.into()))?;
        advance_pids(LAST_PID_OF_AGENT)?;
        let child = std::process::Command::new("setsid")
            .args(&self.config.init)
            .arg(&self.config.socket)
            .env_clear()
            .env(torpor_api::env::ALLOCATOR, INIT_ALLOCATOR)
            .envs(env)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(child.map_err(CriuError::init("start"))?.id())
    }
}

impl Engine for CriuEngine {
    fn version(&self) -> EngineVersion {
        EngineVersion {
            name: "criu".to_owned(),
            version: IMAGE_VERSION,
        }
    }

    fn facets(&self) -> &'static [Facet] {
        &Facet::ALL
    }

    fn accepts(&self, _command: &[String]) -> Result<(), CommandRefused> {
        Ok(())
    }

    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        to_the_end(self.clone().begin(place, fresh)).boxed()
    }

    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        to_the_end(self.clone().bring_back(place, payload)).boxed()
    }
}

/// The program of a sandbox, by its command line.
fn program(command: &[String]) -> Option<ProcessSpec> {
    let (program, args) = command.split_first()?;
    Some(ProcessSpec {
        program: program.clone(),
        args: args.to_vec(),
        keep_output: true,
        ..ProcessSpec::default()
    })
}

fn is_first_process() -> Result<(), CriuError> {
    match std::process::id() {
        1 => Ok(()),
        _ => Err(CriuError::NotFirstProcess),
    }
}

fn advance_pids(beyond: u32) -> Result<(), CriuError> {
    advance_pids_beyond(beyond).map_err(CriuError::file("write", Path::new("/proc/sys/kernel/ns_last_pid")))
}

/// The directory of a socket, without the socket of an earlier life.
fn make_parent(socket: &Path) -> Result<(), CriuError> {
    if let Some(parent) = socket.parent() {
        fs::create_dir_all(parent).map_err(CriuError::file("make", parent))?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CriuError::file("remove", socket)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs what waits for the disk off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CriuError> + Send + 'static,
) -> Result<T, CriuError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(CriuError::init("wait for the disk")(std::io::Error::other(error))),
    }
}
