//! What an agent is told at its start: the environment and command of its container, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use torpor_api::{Addressee, env};
use torpor_runtime::{CommandRefused, Engine, chain};

/// Which sandbox an agent runs, and in which Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxIdentity {
    /// `metadata.namespace` of the Sandbox.
    pub namespace: String,
    /// `metadata.name` of the Sandbox.
    pub name: String,
    /// `metadata.uid` of the Sandbox.
    pub uid: String,
    /// `metadata.uid` of the Pod; absent where there is none, or nobody said.
    pub pod_uid: Option<String>,
}

impl SandboxIdentity {
    /// What the controller's calls are compared with.
    pub(crate) fn addressee(&self) -> Addressee {
        Addressee {
            sandbox_uid: Some(self.uid.clone()),
            pod_uid: self.pod_uid.clone(),
        }
    }
}

/// How an agent is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// Which sandbox it runs.
    pub identity: SandboxIdentity,
    /// The checkpoint generation to restore; a fresh start when absent.
    pub restore: Option<u64>,
    /// What that checkpoint has for a digest; any when absent.
    pub restore_digest: Option<String>,
    /// The environment that code in the sandbox sees.
    pub env: BTreeMap<String, String>,
    /// The program that the container runs by itself, one that the engine accepts; empty for none.
    pub command: Vec<String>,
    /// Where the files of the sandbox are while it runs; made at the start and removed at the end.
    pub work_dir: PathBuf,
    /// How long running code may take to reach a point where it can be stopped.
    pub freeze_limit: Duration,
}

/// Why a container cannot be run as a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable that the controller sets is missing.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// The generation is not a number.
    #[error("environment variable TORPOR_RESTORE_GENERATION is {0:?}, not a checkpoint generation")]
    Generation(String),
    /// No checkpoint can be kept for a sandbox of this UID.
    #[error("environment variable TORPOR_SANDBOX_UID: {0}")]
    Uid(String),
    /// The command is not one that the engine can run.
    #[error(transparent)]
    Command(#[from] CommandRefused),
}

impl AgentConfig {
    /// The usual [`Self::freeze_limit`].
    pub const FREEZE_LIMIT: Duration = Duration::from_secs(10);

    /// Reads the environment and command of a container that is to run through `engine`.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable or command that is wrong.
    pub fn from_container(
        environment: &BTreeMap<String, String>,
        command: &[String],
        args: &[String],
        work_dir: PathBuf,
        engine: &dyn Engine,
    ) -> Result<Self, ConfigError> {
        let command: Vec<String> = command.iter().chain(args).cloned().collect();
        engine.accepts(&command)?;
        let required = |name| environment.get(name).cloned().ok_or(ConfigError::Missing(name));
        let uid = required(env::SANDBOX_UID)?;
        torpor_runtime::check_sandbox_uid(&uid).map_err(|error| ConfigError::Uid(chain(&error)))?;
        let identity = SandboxIdentity {
            namespace: required(env::SANDBOX_NAMESPACE)?,
            name: required(env::SANDBOX_NAME)?,
            uid,
            pod_uid: environment.get(env::POD_UID).cloned(),
        };
        let generation = |text: &String| text.parse().map_err(|_| ConfigError::Generation(text.clone()));
        let restore = environment.get(env::RESTORE_GENERATION).map(generation).transpose()?;
        let visible = |(name, _): &(&String, &String)| !name.starts_with(env::PREFIX) && *name != env::ALLOCATOR;
        let env = environment
            .iter()
            .filter(visible)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Self {
            identity,
            restore,
            restore_digest: environment.get(env::RESTORE_DIGEST).cloned(),
            env,
            command,
            work_dir,
            freeze_limit: Self::FREEZE_LIMIT,
        })
    }
}

#[cfg(test)]
mod tests {
    use torpor_runtime::{Clock, MontyEngine};

    use super::*;

    fn read(
        environment: &BTreeMap<String, String>,
        command: &[&str],
        args: &[&str],
    ) -> Result<AgentConfig, ConfigError> {
        let engine = MontyEngine::new(Clock::system());
        AgentConfig::from_container(environment, &words(command), &words(args), PathBuf::new(), &engine)
    }

    fn environment() -> BTreeMap<String, String> {
        [
            (env::SANDBOX_NAMESPACE, "ns"),
            (env::SANDBOX_NAME, "sb"),
            (env::SANDBOX_UID, "u1"),
            (env::POD_UID, "p1"),
            (env::ALLOCATOR, "0"),
            ("GREETING", "hello"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_agents_own_variables_are_not_shown_to_the_code() {
        let config = read(&environment(), &[], &[]).expect("a configuration");
        assert_eq!(
            config.env,
            BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())])
        );
        assert_eq!((config.restore, config.command), (None, vec![]));
    }

    #[test]
    fn an_agent_knows_its_sandbox_and_its_pod_if_it_was_told() {
        let mut environment = environment();
        let addressee = |environment: &_| {
            let config = read(environment, &[], &[]).expect("a configuration");
            config.identity.addressee()
        };
        let mut expected = Addressee {
            sandbox_uid: Some("u1".to_owned()),
            pod_uid: Some("p1".to_owned()),
        };
        assert_eq!(addressee(&environment), expected);
        environment.remove(env::POD_UID);
        expected.pod_uid = None;
        assert_eq!(addressee(&environment), expected);
    }

    #[test]
    fn a_program_is_taken_from_command_and_arguments() {
        let config = read(&environment(), &["python3"], &["-c", "print(1)"]).expect("a configuration");
        assert_eq!(config.command, ["python3", "-c", "print(1)"]);
        let refused = read(&environment(), &["bash"], &[]).expect_err("refused");
        assert!(refused.to_string().contains("[\"bash\"]"), "{refused}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let mut environment = environment();
        environment.insert(env::RESTORE_GENERATION.to_owned(), "newest".to_owned());
        let refused = read(&environment, &[], &[]).expect_err("refused");
        assert!(refused.to_string().contains("\"newest\""), "{refused}");
        environment.remove(env::RESTORE_GENERATION);
        environment.insert(env::SANDBOX_UID.to_owned(), "../x".to_owned());
        let refused = read(&environment, &[], &[]).expect_err("refused").to_string();
        assert!(
            refused.contains(env::SANDBOX_UID) && refused.contains("\"../x\""),
            "{refused}"
        );
        environment.remove(env::SANDBOX_UID);
        let refused = read(&environment, &[], &[]).expect_err("refused");
        assert!(refused.to_string().contains(env::SANDBOX_UID), "{refused}");
    }
}
