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
    pub(crate) fn call(attempt: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Call { attempt, source }
    }
}
