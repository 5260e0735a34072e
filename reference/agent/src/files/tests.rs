use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use super::*;

#[test]
fn paths_are_taken_from_home_and_never_leave_the_root() {
    let path = |text: &str| SandboxPath::new(text).0;
    assert_eq!(path("note.txt"), "/home/user/note.txt");
    assert_eq!(path("/tmp/./a//b"), "/tmp/a/b");
    assert_eq!(path("../../../../etc/passwd"), "/etc/passwd");
    assert_eq!(path("/.."), "/");
}

#[test]
fn a_link_does_not_lead_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("a root");
    std::fs::write(dir.path().join("secret"), "secret").expect("a file outside");
    std::os::unix::fs::symlink("../secret", root.join("link")).expect("a link");
    let files = SandboxFiles::open(&root).expect("opens");
    assert!(files.open_file(&SandboxPath::new("/link")).is_err());
    assert!(files.write(&SandboxPath::new("/link"), b"changed").is_err());
    assert_eq!(
        std::fs::read_to_string(dir.path().join("secret")).expect("still there"),
        "secret"
    );
}

#[test]
fn folders_are_made_listed_to_a_depth_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    files.write(&SandboxPath::new("/a/b/c.txt"), b"c").expect("written");
    let names = |depth| -> Vec<String> {
        let found = files.list(&SandboxPath::new("/"), depth).expect("listed");
        found.into_iter().map(|info| info.path.0).collect()
    };
    assert_eq!(names(1), ["/a"]);
    assert_eq!(names(3), ["/a", "/a/b", "/a/b/c.txt"]);
    files.remove(&SandboxPath::new("/a")).expect("removed");
    assert!(names(1).is_empty());
}

#[test]
fn folders_are_not_nested_deeper_than_they_can_be_walked() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    let (one, other) = (SandboxPath::new(&"/a".repeat(200)), SandboxPath::new(&"/b".repeat(100)));
    files.make_dir(&one).expect("made");
    files.make_dir(&other).expect("made");
    let refused = files
        .rename(&SandboxPath::new("/a"), &other.join("a"))
        .expect_err("too deep");
    assert!(refused.to_string().contains("256 are the most"), "{refused}");
    assert!(files.make_dir(&SandboxPath::new(&"/c".repeat(300))).is_err());
    let long = format!("/{}", "n/".repeat(20) + &["m".repeat(250).as_str(); 9].join("/"));
    assert!(files.write(&SandboxPath::new(&long), b"").is_err());
    files.remove(&SandboxPath::new("/a")).expect("removed");
    assert_eq!(files.list(&SandboxPath::new("/"), 1).expect("listed").len(), 1);
}

#[test]
fn what_is_nested_deeper_than_the_stack_bears_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    // As a process in the sandbox can.
    std::fs::create_dir_all(dir.path().join("d/".repeat(1900))).expect("made");
    let listed = files.list(&SandboxPath::new("/"), u32::MAX).expect("listed");
    assert_eq!(listed.len(), paths::MAX_PARTS);
    let work = move || files.remove(&SandboxPath::new("/d"));
    let small = std::thread::Builder::new().stack_size(256 << 10).spawn(work);
    let removed = small.expect("a thread").join().expect("it ends");
    removed.expect("removed");
    assert!(!dir.path().join("d").exists());
}

#[test]
fn a_folder_goes_with_files_whose_names_are_no_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    let below = dir.path().join("d").join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir_all(&below).expect("made");
    std::fs::write(below.join(OsStr::from_bytes(b"\xff")), b"").expect("written");
    files.remove(&SandboxPath::new("/d")).expect("removed");
    assert!(!dir.path().join("d").exists());
}

#[test]
fn a_folder_with_names_that_are_no_text_is_listed_and_moved() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    let below = dir.path().join("d").join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir_all(&below).expect("made");
    std::fs::write(below.join(OsStr::from_bytes(b"\xff")), b"123").expect("written");
    std::os::unix::fs::symlink("target", below.join(OsStr::from_bytes(b"link\xff"))).expect("a link");
    files
        .rename(&SandboxPath::new("/d"), &SandboxPath::new("/moved"))
        .expect("moved");
    let found = files.list(&SandboxPath::new("/moved"), 2).expect("listed");
    let shown: Vec<(&str, &FileKind, u64)> = found
        .iter()
        .map(|info| (info.path.as_str(), &info.kind, info.size))
        .collect();
    let folder = ("/moved/caf\u{fffd}", &FileKind::Directory, shown[0].2);
    let target = "target".to_owned();
    let link = ("/moved/caf\u{fffd}/link\u{fffd}", &FileKind::Symlink { target }, 6);
    let file = ("/moved/caf\u{fffd}/\u{fffd}", &FileKind::File, 3);
    assert_eq!(shown, [folder, link, file]);
}

#[test]
fn what_goes_while_a_folder_is_listed_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    std::fs::write(dir.path().join("stays"), b"").expect("written");
    let (done, rest) = (
        std::sync::atomic::AtomicBool::new(false),
        std::sync::atomic::Ordering::Relaxed,
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(rest) {
                for nth in 0..50 {
                    std::fs::create_dir_all(dir.path().join(format!("goes-{nth}/below"))).expect("made");
                }
                for nth in 0..50 {
                    std::fs::remove_dir_all(dir.path().join(format!("goes-{nth}"))).expect("removed");
                }
            }
        });
        let listed: Vec<_> = (0..200).map(|_| files.list(&SandboxPath::new("/"), 3)).collect();
        done.store(true, rest);
        for found in listed {
            let found = found.expect("listed");
            assert!(found.iter().any(|info| info.path.as_str() == "/stays"));
        }
    });
}

#[test]
fn a_folder_that_stays_is_emptied_and_not_moved() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = SandboxFiles::open(dir.path()).expect("opens");
    let files = files.with_fixed(&["/home/user", "/tmp"]);
    let path = SandboxPath::new;
    for file in ["/home/user/a/b", "/home/other", "/tmp/c"] {
        files.write(&path(file), b"").expect("written");
    }
    std::fs::create_dir_all(dir.path().join("empty")).expect("made");
    for (from, to) in [
        ("/tmp", "/x"),
        ("/home", "/x"),
        ("/empty", "/tmp"),
        ("/home/user", "/tmp/x"),
    ] {
        let refused = files.rename(&path(from), &path(to)).expect_err("refused");
        assert!(refused.to_string().contains("stays where it is"), "{refused}");
    }
    files.remove(&path("/home")).expect("emptied");
    let left = |folder: &str| files.list(&path(folder), 9).expect("listed").len();
    assert_eq!((left("/home"), left("/home/user"), left("/tmp")), (1, 0, 1));
    files.remove(&path("/tmp")).expect("emptied");
    assert_eq!(left("/tmp"), 0);
}

/// What `work` on the files below a folder fails with. It may not wait for anybody.
fn refused_at_once(root: &Path, work: impl FnOnce(SandboxFiles) -> io::Result<()> + Send + 'static) -> String {
    let files = SandboxFiles::open(root).expect("opens");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(work(files)));
    let done = told.recv_timeout(Duration::from_secs(10)).expect("it does not wait");
    let error = done.expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    error.to_string()
}

#[test]
fn what_is_no_regular_file_is_neither_read_nor_written_and_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("a socket");
    let read = |path: &str| {
        let path = SandboxPath::new(path);
        move |files: SandboxFiles| files.open_file(&path).map(drop)
    };
    let write = |path: &str| {
        let path = SandboxPath::new(path);
        move |files: SandboxFiles| files.write(&path, b"1")
    };
    let devices = Path::new("/dev");
    let mut answers = vec![
        refused_at_once(dir.path(), read("/pipe")),
        refused_at_once(dir.path(), write("/pipe")),
        refused_at_once(dir.path(), read("/socket")),
        refused_at_once(devices, read("/null")),
        refused_at_once(devices, write("/null")),
    ];
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let reader = rustix::fs::open(&pipe, flags, Mode::empty()).expect("somebody who reads");
    answers.push(refused_at_once(dir.path(), write("/pipe")));
    drop(reader);
    assert!(
        answers.iter().all(|answer| answer.contains("no regular file")),
        "{answers:?}"
    );
}
