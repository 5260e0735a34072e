//! What holds whatever clients send.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod depth;
#[path = "../common/encode.rs"]
mod encode;
mod encoded;
mod kept;
mod managers;
mod nested;
mod requests;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod support;

/// Runs a case on this thread.
fn block_on<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.unwrap().block_on(case)
}
