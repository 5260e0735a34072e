//! What a code interpreter answers while the code still runs.

use super::Fault;
use super::http::HttpAnswer;
use crate::pulse::Patience;

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct ExecutionStream {
    answer: HttpAnswer,
    patience: Patience,
}

impl ExecutionStream {
    pub(crate) const fn new(answer: HttpAnswer, patience: Patience) -> Self {
        Self { answer, patience }
    }

    /// Reads until the answer holds that text.
    pub(crate) async fn until(&mut self, text: &str) -> Result<(), Fault> {
        let mut read = Vec::new();
        let deadline = self.patience.begin();
        while !String::from_utf8_lossy(&read).contains(text) {
            let chunk = deadline.within(self.answer.chunk()).await;
            let chunk = chunk.map_err(|late| late.fault(|within| format!("execute had no output {within}")))?;
            let chunk = chunk.map_err(|error| Fault::harness("read what execute answers", error))?;
            let Some(bytes) = chunk else {
                let read = String::from_utf8_lossy(&read);
                return Err(Fault::Claim(format!("execute ended before it had output: {read}")));
            };
            read.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Reads the rest, so that nothing holds the code up. How it ends, nobody asks.
    pub(crate) async fn read_to_end(mut self) {
        while let Ok(Some(_)) = self.answer.chunk().await {}
    }
}
