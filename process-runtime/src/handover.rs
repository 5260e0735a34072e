//! Hands bound sockets to the process of an agent, over the socket that is its standard input.
//!
//! An address could be lost to another program between the choice and the bind of a child; a socket that is handed over cannot,
//! and connections wait in it until the child serves.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use torpor_agent::AgentListeners;

/// Sockets of an agent: for the controller, for files, for code.
const SOCKETS: usize = 3;
/// A message has to have a byte for sockets to travel with.
const MESSAGE: &[u8] = b"L";

/// Sends the sockets of an agent; its process has them then, and this one no more.
pub(crate) fn send(socket: &UnixStream, listeners: AgentListeners) -> io::Result<()> {
    let AgentListeners {
        control,
        envd,
        code_interpreter,
    } = listeners;
    let sockets = [control.into_std()?, envd.into_std()?, code_interpreter.into_std()?];
    let descriptors = sockets.each_ref().map(|socket| socket.as_fd());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // The space is for as many.
    let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
    debug_assert!(fits, "the space is for as many descriptors");
    sendmsg(socket, &[IoSlice::new(MESSAGE)], &mut control, SendFlags::empty())?;
    Ok(())
}

/// The connection of an agent to the node that started it.
#[derive(Debug)]
pub struct NodeLink {
    socket: tokio::net::UnixStream,
}

impl NodeLink {
    /// Takes the sockets that the node handed over. Standard input has to be the node's socket.
    ///
    /// # Errors
    /// It is none, or nothing came over it. Called outside of a Tokio runtime it panics.
    pub fn open() -> io::Result<(Self, AgentListeners)> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let listeners = receive(&socket)?;
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(socket)?;
        Ok((Self { socket }, listeners))
    }

    /// Waits until the node wants the agent to end, or has itself ended.
    pub async fn closed(&mut self) {
        let mut nothing = [0; 16];
        // Whatever else the node sends says nothing.
        while matches!(self.socket.read(&mut nothing).await, Ok(1..)) {}
    }
}

fn receive(socket: &UnixStream) -> io::Result<AgentListeners> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = [0; MESSAGE.len()];
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut message)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut received: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    let [control, envd, code_interpreter] = <[OwnedFd; SOCKETS]>::try_from(received).map_err(|received| {
        let message = format!(
            "{} sockets came over standard input instead of {SOCKETS}",
            received.len()
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    Ok(AgentListeners {
        control: listener(control)?,
        envd: listener(envd)?,
        code_interpreter: listener(code_interpreter)?,
    })
}

fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bound() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a socket")
    }

    #[tokio::test]
    async fn sockets_arrive_in_their_order_and_stay_bound_on_the_way() {
        let listeners = AgentListeners {
            control: bound().await,
            envd: bound().await,
            code_interpreter: bound().await,
        };
        let addresses = |listeners: &AgentListeners| {
            [&listeners.control, &listeners.envd, &listeners.code_interpreter]
                .map(|socket| socket.local_addr().expect("an address"))
        };
        let expected = addresses(&listeners);
        let (node, agent) = UnixStream::pair().expect("a pair of sockets");
        send(&node, listeners).expect("sent");
        let refused = TcpListener::bind(expected[0]).await.expect_err("still bound");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let received = receive(&agent).expect("received");
        assert_eq!(addresses(&received), expected);
        let (served, connected) = tokio::join!(received.envd.accept(), tokio::net::TcpStream::connect(expected[1]));
        assert!(served.is_ok() && connected.is_ok());
    }

    #[tokio::test]
    async fn a_node_that_hands_nothing_over_is_an_error() {
        let (node, agent) = UnixStream::pair().expect("a pair of sockets");
        drop(node);
        let error = receive(&agent).expect_err("an error");
        assert!(error.to_string().contains("0 sockets"), "{error}");
    }
}
