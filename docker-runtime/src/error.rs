//! Why containers cannot be run, and what helps.

/// Why Docker did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nobody answers on its socket.
    #[error("reach Docker; is it running? (`docker version` tells, `apt-get install docker.io` installs it)")]
    Unreachable(#[source] bollard::errors::Error),
    /// It is told to be somewhere else than on this machine.
    #[error(
        "reach Docker at {host}; sandboxes get files of this machine, so only its own Docker will do: unset DOCKER_HOST, \
         or set it to a socket (unix:///var/run/docker.sock)"
    )]
    Elsewhere {
        /// As `DOCKER_HOST` says.
        host: String,
    },
    /// It does not have the image.
    #[error("there is no image {image} in Docker; `fixtures/image/build {image}` makes the sandbox image")]
    NoImage {
        /// As the Pod names it.
        image: String,
    },
    /// A call failed.
    #[error("{attempt}")]
    Call {
        /// What was attempted.
        attempt: String,
        /// What Docker said.
        source: bollard::errors::Error,
    },
    /// A container has no address.
    #[error("container {id} has no IP address on Docker's bridge network")]
    NoAddress {
        /// Its id.
        id: String,
    },
    /// The checkpoint store cannot be reached from a container.
    #[error("the checkpoint store {url} cannot be reached from a container; use a directory or a bucket")]
    Store {
        /// As the controller names it.
        url: String,
    },
}

impl DockerError {
    /// Of a connection that could not be begun.
    pub(crate) fn connection(error: bollard::errors::Error) -> Self {
        match error {
            bollard::errors::Error::UnsupportedURISchemeError { uri: host } => Self::Elsewhere { host },
            error => Self::Unreachable(error),
        }
    }

    pub(crate) fn call(attempt: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Call { attempt, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_on_another_machine_is_refused_with_what_would_do() {
        let refused = bollard::Docker::connect_with_host("tcp://elsewhere:2375").map_err(DockerError::connection);
        let said = refused.expect_err("refused").to_string();
        assert!(
            said.starts_with("reach Docker at tcp://elsewhere:2375; ") && said.contains("unset DOCKER_HOST"),
            "{said}"
        );
        let nobody = bollard::Docker::connect_with_host("unix:///nowhere.sock").map_err(DockerError::connection);
        assert!(matches!(nobody, Err(DockerError::Unreachable(_))));
    }
}
