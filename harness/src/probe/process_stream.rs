//! What envd answers while a process runs: messages of the Connect protocol, one after another.
//!
//! Decodes bytes as they come, however they are cut, into events. Pure; reading and judging are done elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Bytes before the JSON of a message: flags, and the length in big endian.
const HEAD: usize = 5;
/// Set in the flags of the message that ends the stream.
const LAST: u8 = 0b10;

/// Something that a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProcessEvent {
    /// It has begun.
    Started {
        /// Its number inside.
        pid: u64,
    },
    /// It wrote to its standard output or its terminal.
    Output(Vec<u8>),
    /// It wrote to its standard error.
    Errors(Vec<u8>),
    /// It has ended.
    Ended {
        /// Its exit code; zero where none is said, as the protocol leaves zeros out.
        exit: i64,
    },
    /// The stream has ended; with the reason if that was not right.
    Closed(Option<String>),
}

/// The message that a streaming call sends.
pub(crate) fn framed(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(text.into_bytes());
    frame
}

/// Puts messages together from the pieces in which they come.
#[derive(Debug, Default)]
pub(crate) struct ProcessDecoder {
    waiting: Vec<u8>,
}

impl ProcessDecoder {
    /// The events that are complete with this piece.
    ///
    /// # Errors
    /// A message is no JSON, or its output no base64.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<ProcessEvent>, String> {
        self.waiting.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some((flags, message)) = self.next_message() {
            let text = String::from_utf8_lossy(&message);
            let message =
                serde_json::from_str(&text).map_err(|error| format!("a message is no JSON: {error}: {text}"))?;
            if flags & LAST == 0 {
                events.extend(event(&message)?);
            } else {
                events.push(ProcessEvent::Closed(complaint(&message)));
            }
        }
        Ok(events)
    }

    fn next_message(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&[flags, a, b, c, d], rest) = self.waiting.split_first_chunk::<HEAD>()?;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        let message = rest.get(..length)?.to_vec();
        self.waiting.drain(..HEAD + length);
        Some((flags, message))
    }
}

fn complaint(last: &Value) -> Option<String> {
    let error = last.get("error").filter(|error| !error.is_null())?;
    Some(format!(
        "{}: {}",
        error["code"].as_str().unwrap_or_default(),
        error["message"].as_str().unwrap_or_default()
    ))
}

/// Signs of life and what is not known are no event.
fn event(message: &Value) -> Result<Option<ProcessEvent>, String> {
    let event = &message["event"];
    let bytes = |text: &str| {
        let decoded = STANDARD.decode(text);
        decoded.map_err(|error| format!("output is no base64: {error}"))
    };
    if let Some(start) = event.get("start") {
        let pid = start["pid"].as_u64().unwrap_or_default();
        return Ok(Some(ProcessEvent::Started { pid }));
    }
    if let Some(end) = event.get("end") {
        // A process that a signal ended has no exit code of its own.
        let exit = end["exitCode"].as_i64().unwrap_or_default();
        return Ok(Some(ProcessEvent::Ended { exit }));
    }
    let data = &event["data"];
    if let Some(text) = data["stdout"].as_str().or_else(|| data["pty"].as_str()) {
        return Ok(Some(ProcessEvent::Output(bytes(text)?)));
    }
    if let Some(text) = data["stderr"].as_str() {
        return Ok(Some(ProcessEvent::Errors(bytes(text)?)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn last(error: &Value) -> Vec<u8> {
        let mut frame = framed(error);
        frame[0] = LAST;
        frame
    }

    fn stream() -> Vec<u8> {
        [
            framed(&json!({"event": {"start": {"pid": 7}}})),
            framed(&json!({"event": {"data": {"stdout": STANDARD.encode("one\n")}}})),
            framed(&json!({"event": {"keepalive": {}}})),
            framed(&json!({"event": {"data": {"pty": STANDARD.encode("two")}}})),
            framed(&json!({"event": {"data": {"stderr": STANDARD.encode("no")}}})),
            framed(&json!({"event": {"end": {"exited": true, "status": "exit status 0"}}})),
            last(&json!({})),
        ]
        .concat()
    }

    fn expected() -> Vec<ProcessEvent> {
        vec![
            ProcessEvent::Started { pid: 7 },
            ProcessEvent::Output(b"one\n".to_vec()),
            ProcessEvent::Output(b"two".to_vec()),
            ProcessEvent::Errors(b"no".to_vec()),
            ProcessEvent::Ended { exit: 0 },
            ProcessEvent::Closed(None),
        ]
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_their_bytes_are_cut(cuts in proptest::collection::vec(0usize..400, 0..12)) {
            let whole = stream();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < whole.len()).collect();
            cuts.sort_unstable();
            cuts.push(whole.len());
            let (mut decoder, mut from, mut events) = (ProcessDecoder::default(), 0, Vec::new());
            for to in cuts {
                events.extend(decoder.push(&whole[from..to]).unwrap());
                from = to;
            }
            prop_assert_eq!(events, expected());
        }
    }

    #[test]
    fn an_error_in_the_last_message_is_told() {
        let mut decoder = ProcessDecoder::default();
        let events = decoder.push(&last(
            &json!({"error": {"code": "unavailable", "message": "it stopped"}}),
        ));
        let why = Some("unavailable: it stopped".to_owned());
        assert_eq!(events, Ok(vec![ProcessEvent::Closed(why)]));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut frame = framed(&json!({}));
        frame[5] = b'!';
        assert!(ProcessDecoder::default().push(&frame).is_err());
        let output = framed(&json!({"event": {"data": {"stdout": "*"}}}));
        assert!(ProcessDecoder::default().push(&output).is_err());
    }
}
