//! What a run says while it has something to clean up. `println!` would end it half-way when nobody takes what it prints.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody takes any more what is printed. As standard output is, it is the whole program's.
static UNHEARD: AtomicBool = AtomicBool::new(false);

/// Prints a line. The first that cannot be printed is the last: what is done goes on without.
pub fn line(text: impl Display) {
    if UNHEARD.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        UNHEARD.store(true, Ordering::Relaxed);
        // A reader that has seen enough is no fault.
        if error.kind() != ErrorKind::BrokenPipe {
            aside(format_args!(
                "torpor: write to standard output: {error}; it goes on without"
            ));
        }
    }
}

/// Says something on standard error, beside what is printed.
pub fn aside(text: impl Display) {
    // There is nowhere left to complain.
    let _ = writeln!(std::io::stderr(), "{text}");
}
