//! What Python code in a sandbox sees of the world: its files, its environment, the time, and where its output goes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use monty_fs::{MountCallOutcome, MountError, MountMode, MountTable};
use monty_types::{
    ExcType, ExtFunctionResult, MontyDate, MontyDateTime, MontyException, MontyObject, MontyPath, OsFunctionCall,
    PrintWriterCallback,
};
use tokio_util::sync::CancellationToken;

use super::memory::MemoryGauge;
use crate::clock::{Clock, Uptime};
use crate::engine::{ExecutionEvent, ExecutionSink};
use crate::paths;

/// Home of the code in a sandbox; relative paths start here.
pub(crate) const HOME: &str = "/home/user";
/// The folders of a sandbox, as the code sees them; each is below the sandbox's root directory.
pub(super) const FOLDERS: [&str; 2] = [HOME, "/tmp"];

/// Output that is not ended by a line break is sent on when there is so much of it.
const LINE_BYTES: usize = 256 << 10;

/// Sends output on line by line, and lets an interrupt in.
pub(crate) struct SinkWriter<'a> {
    sink: &'a ExecutionSink,
    ending: CancellationToken,
    line: String,
}

impl<'a> SinkWriter<'a> {
    pub(crate) fn new(sink: &'a ExecutionSink, ending: CancellationToken) -> Self {
        Self {
            sink,
            ending,
            line: String::new(),
        }
    }

    /// Sends what was not ended by a line break.
    pub(crate) fn flush(&mut self) {
        if !self.line.is_empty() {
            self.sink.send(ExecutionEvent::Stdout(std::mem::take(&mut self.line)));
        }
    }
}

impl PrintWriterCallback for SinkWriter<'_> {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        self.line.push_str(&output);
        if self.line.len() >= LINE_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        self.line.push(end);
        if end == '\n' || self.line.len() >= LINE_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn poll_flush(&mut self) -> Result<(), MontyException> {
        check_interrupt(self.sink, &self.ending)
    }
}

/// The error that an interrupted execution ends with.
pub(crate) fn check_interrupt(sink: &ExecutionSink, ending: &CancellationToken) -> Result<(), MontyException> {
    if sink.interrupt.is_cancelled() || ending.is_cancelled() {
        Err(MontyException::new(
            ExcType::KeyboardInterrupt,
            Some("the execution was interrupted".to_owned()),
        ))
    } else {
        Ok(())
    }
}

/// The world of one sandbox.
pub(crate) struct Host {
    mounts: MountTable,
    root: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) clock: Clock,
    /// Cancelled when the sandbox is to end.
    pub(crate) ending: CancellationToken,
    /// Measures executions, if they can be measured.
    pub(crate) gauge: Option<MemoryGauge>,
    uptime: Uptime,
}

impl Host {
    /// Opens the folders of a sandbox below `root`, making those that are missing. It has run for `before` already.
    pub(crate) fn open(
        root: &Path,
        env: BTreeMap<String, String>,
        clock: Clock,
        before: Duration,
    ) -> Result<Self, MountError> {
        let mut mounts = MountTable::new();
        for folder in FOLDERS {
            let below = root.join(folder.trim_start_matches('/'));
            // A folder that cannot be made cannot be mounted, and that error names it.
            let _ = std::fs::create_dir_all(&below);
            mounts.mount(folder, &below, MountMode::ReadWrite, None)?;
        }
        let uptime = Uptime::begin(before, clock.monotonic());
        Ok(Self {
            mounts,
            root: root.to_owned(),
            env,
            clock,
            ending: CancellationToken::new(),
            gauge: None,
            uptime,
        })
    }

    /// For how long the sandbox has run.
    pub(crate) fn uptime(&self) -> Duration {
        self.uptime.total(self.clock.monotonic())
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.uptime.is_frozen()
    }

    pub(crate) fn freeze(&mut self) {
        self.uptime.freeze(self.clock.monotonic());
    }

    pub(crate) fn thaw(&mut self) {
        self.uptime.thaw(self.clock.monotonic());
    }

    /// Answers a call of the interpreter. `extra` are variables of this execution alone.
    pub(crate) fn answer(&mut self, call: OsFunctionCall, extra: &BTreeMap<String, String>) -> ExtFunctionResult {
        let call = from_home(call);
        if let Err(error) = self.check_paths(&call) {
            return MontyException::new(ExcType::OSError, Some(error.to_string())).into();
        }
        match self.mounts.handle_os_call(call) {
            MountCallOutcome::Handled(Ok(value)) => value.into(),
            MountCallOutcome::Handled(Err(error)) => error.into_exception().into(),
            MountCallOutcome::NotHandled(call) => self.answer_elsewhere(call, extra),
        }
    }

    /// Refuses what would make a path that is too long.
    fn check_paths(&self, call: &OsFunctionCall) -> io::Result<()> {
        use OsFunctionCall as C;
        match call {
            C::WriteText(args) | C::AppendText(args) => paths::check(args.path.as_str()),
            C::WriteBytes(args) | C::AppendBytes(args) => paths::check(args.path.as_str()),
            C::Open(args) => paths::check(args.path.as_str()),
            C::Mkdir(args) => paths::check(args.path.as_str()),
            C::Rename(args) => {
                let (from, to) = (plain(args.src.as_str()), plain(args.dst.as_str()));
                paths::check_move(&from, &to, |path| {
                    names_in(&self.root.join(path.trim_start_matches('/')))
                })
            }
            _ => Ok(()),
        }
    }

    fn answer_elsewhere(&self, call: OsFunctionCall, extra: &BTreeMap<String, String>) -> ExtFunctionResult {
        let text = |value: &String| MontyObject::String(value.clone());
        match call {
            OsFunctionCall::Getenv(args) => {
                let found = extra.get(&args.key).or_else(|| self.env.get(&args.key)).map(text);
                found.unwrap_or(args.default).into()
            }
            OsFunctionCall::GetEnviron => {
                let mut env = self.env.clone();
                env.extend(extra.clone());
                let pairs: Vec<_> = env.iter().map(|(name, value)| (text(name), text(value))).collect();
                MontyObject::dict(pairs).into()
            }
            OsFunctionCall::DateToday => {
                let date = self.clock.now().to_zoned(TimeZone::UTC).date();
                MontyObject::Date(MontyDate {
                    year: date.year().into(),
                    month: date.month().unsigned_abs(),
                    day: date.day().unsigned_abs(),
                })
                .into()
            }
            OsFunctionCall::DateTimeNow(zone) => date_time(self.clock.now(), zone.as_ref()).into(),
            call => call.on_no_handler().into(),
        }
    }
}

fn date_time(now: Timestamp, zone: Option<&monty_types::MontyTimeZone>) -> MontyObject {
    let offset = zone.map_or(0, |zone| zone.offset_seconds);
    let offset = jiff::tz::Offset::from_seconds(offset).unwrap_or(jiff::tz::Offset::UTC);
    let at = offset.to_datetime(now);
    MontyObject::DateTime(MontyDateTime {
        year: at.year().into(),
        month: at.month().unsigned_abs(),
        day: at.day().unsigned_abs(),
        hour: at.hour().unsigned_abs(),
        minute: at.minute().unsigned_abs(),
        second: at.second().unsigned_abs(),
        microsecond: at.subsec_nanosecond().unsigned_abs() / 1000,
        offset_seconds: zone.map(|zone| zone.offset_seconds),
        timezone_name: zone.and_then(|zone| zone.name.clone()),
    })
}

/// A relative path taken from the home folder.
fn absolute(path: MontyPath) -> MontyPath {
    if path.as_str().starts_with('/') {
        path
    } else {
        MontyPath::new(format!("{HOME}/{}", path.as_str()))
    }
}

/// An absolute path without `.` and `..`.
fn plain(path: &str) -> String {
    let mut plain = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain.to_string_lossy().into_owned()
}

/// The names in a folder, and whether each is a folder.
fn names_in(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let named = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok((name, entry.file_type()?.is_dir()))
    };
    std::fs::read_dir(folder)?.map(named).collect()
}

/// The same call with relative paths taken from the home folder, as a process started there would.
fn from_home(call: OsFunctionCall) -> OsFunctionCall {
    use OsFunctionCall as C;
    match call {
        C::Exists(path) => C::Exists(absolute(path)),
        C::IsFile(path) => C::IsFile(absolute(path)),
        C::IsDir(path) => C::IsDir(absolute(path)),
        C::IsSymlink(path) => C::IsSymlink(absolute(path)),
        C::ReadText(path) => C::ReadText(absolute(path)),
        C::ReadBytes(path) => C::ReadBytes(absolute(path)),
        C::Stat(path) => C::Stat(absolute(path)),
        C::Iterdir(path) => C::Iterdir(absolute(path)),
        C::Resolve(path) => C::Resolve(absolute(path)),
        C::Absolute(path) => C::Absolute(absolute(path)),
        C::Unlink(path) => C::Unlink(absolute(path)),
        C::Rmdir(path) => C::Rmdir(absolute(path)),
        C::WriteText(mut args) => {
            args.path = absolute(args.path);
            C::WriteText(args)
        }
        C::AppendText(mut args) => {
            args.path = absolute(args.path);
            C::AppendText(args)
        }
        C::WriteBytes(mut args) => {
            args.path = absolute(args.path);
            C::WriteBytes(args)
        }
        C::AppendBytes(mut args) => {
            args.path = absolute(args.path);
            C::AppendBytes(args)
        }
        C::Open(mut args) => {
            args.path = absolute(args.path);
            C::Open(args)
        }
        C::Mkdir(mut args) => {
            args.path = absolute(args.path);
            C::Mkdir(args)
        }
        C::Rename(mut args) => {
            args.src = absolute(args.src);
            args.dst = absolute(args.dst);
            C::Rename(args)
        }
        C::Getenv(_) | C::GetEnviron | C::DateToday | C::DateTimeNow(_) => call,
    }
}
