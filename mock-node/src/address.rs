//! Pod IPs: each Pod gets a loopback address of its own, so that every agent can listen on the
//! same well-known ports, as in a cluster, without privileges.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpListener;
use torpor_agent::AgentListeners;
use torpor_api::port;

/// Addresses in `127.16.0.0`–`127.255.255.255`, handed out in order.
const FIRST: u32 = u32::from_be_bytes([127, 16, 0, 1]);
const LAST: u32 = u32::from_be_bytes([127, 255, 255, 254]);
/// How many addresses in use by other processes are passed over before giving up.
const ATTEMPTS: u32 = 4096;

/// Hands out Pod IPs.
#[derive(Debug)]
pub struct PodAddresses {
    next: u32,
}

impl PodAddresses {
    /// Starts at an address chosen by `seed`, so that several nodes on one machine rarely meet.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            next: FIRST + seed % (LAST - FIRST),
        }
    }

    /// Binds the three ports of an agent on the next address where all are free.
    ///
    /// # Errors
    /// The last bind error when no address could be had.
    pub async fn bind(&mut self) -> io::Result<(IpAddr, AgentListeners)> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let address = IpAddr::V4(Ipv4Addr::from(self.next));
            self.next = if self.next == LAST { FIRST } else { self.next + 1 };
            match listeners(address).await {
                Ok(listeners) => return Ok((address, listeners)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

async fn listeners(address: IpAddr) -> io::Result<AgentListeners> {
    Ok(AgentListeners {
        control: TcpListener::bind((address, port::CONTROL)).await?,
        envd: TcpListener::bind((address, port::ENVD)).await?,
        code_interpreter: TcpListener::bind((address, port::CODE_INTERPRETER)).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_passed_over() {
        let mut addresses = PodAddresses::new(4_000_000);
        let (first, _held) = addresses.bind().await.expect("a first address");
        let mut again = PodAddresses::new(4_000_000);
        let (second, _) = again.bind().await.expect("a second address");
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn the_range_wraps_around() {
        let mut addresses = PodAddresses { next: LAST };
        addresses.bind().await.expect("the last address");
        assert_eq!(addresses.next, FIRST);
    }
}
