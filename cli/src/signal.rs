//! How a process is asked to end.

use tokio_util::sync::CancellationToken;

use crate::say;

/// Completes on Ctrl-C or, where there are such, a termination signal or the end of the terminal. It is listened for from
/// this call on.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // A handler would undo `nohup`.
        let hangup = (!hangup_is_ignored())
            .then(|| signal(SignalKind::hangup()))
            .transpose()?;
        let asked = insistence()?;
        Ok(async move {
            let hung_up = async move {
                match hangup {
                    Some(mut hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = asked => {}
                () = hung_up => {}
            }
        })
    }
    #[cfg(not(unix))]
    insistence()
}

/// Lets a signal stop something in good order, which is `said`, and a second one end the process at once.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn stop_in_order(stop: CancellationToken, said: &'static str) -> std::io::Result<()> {
    let first = stop_signal()?;
    tokio::spawn(async move {
        first.await;
        // Listened for from now on: the first signal is not the second, too.
        let second = insistence();
        say::aside(said);
        stop.cancel();
        if let Ok(second) = second {
            second.await;
            std::process::exit(2);
        }
    });
    Ok(())
}

/// Completes on Ctrl-C or a termination signal, which somebody sent on purpose. The end of a terminal may be told several
/// times, by the kernel and by the shell. It is listened for from this call on.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn insistence() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a signal handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Whether whoever started this process has it outlive its terminal. So it does, too, where that cannot be told.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    /// The bit of SIGHUP, the first signal.
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_none_or(|ignored| ignored & HANGUP != 0)
}

#[cfg(unix)]
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_signals_that_a_process_ignores_are_read_as_the_kernel_writes_them() {
        let status = "Name:\ttorpor\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(ignored_signals(status), Some(0x1001));
        assert_eq!(ignored_signals("Name:\ttorpor\n"), None);
    }
}
