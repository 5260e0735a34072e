//! What is claimed of the files that a sandbox changes deep in the image of its container.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use libtest_mimic::Failed;

use crate::bench::{Bench, Claim, Verdict, claim, hold};

/// Folders of the image that nothing else changes.
const WRITTEN: &str = "/usr/share/base-files";
const REMOVED: &str = "/usr/share/keyrings";
const MOVED: &str = "/usr/share/common-licenses";

/// Each kind of change, every one far below the root.
const CHANGES: &str = "import os, shutil
with open('/usr/share/base-files/motd', 'a') as motd: motd.write('changed')
os.chmod('/usr/share/base-files/profile', 0o600)
os.utime('/usr/share/base-files/dot.bashrc', ns=(5, 1000000007))
os.remove('/usr/share/base-files/info.dir')
os.symlink('motd', '/usr/share/base-files/link')
os.makedirs('/usr/share/base-files/a/b')
open('/usr/share/base-files/a/b/empty', 'w').close()
shutil.rmtree('/usr/share/keyrings')
shutil.move('/usr/share/common-licenses', '/usr/share/licenses')
shutil.rmtree('/usr/share/debconf')
os.mkdir('/usr/share/debconf')
open('/usr/share/debconf/only', 'w').close()
";

/// Only an engine with processes has an image below its files.
pub(crate) const CLAIMS: &[Claim] =
    &[claim!(deep_in_the_image, "files_deep_in_the_image_survive", [Files, Processes], several: false)];

/// The container is the same before and after, so all that was changed is changed back or to something else.
async fn deep_in_the_image(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    let motd = fs::read_to_string(Path::new(WRITTEN).join("motd"))? + "changed";
    let licence = fs::read("/usr/share/common-licenses/BSD")?;
    let ran = subject.run(None, CHANGES).await?;
    hold(ran.len() == 1, "every change is made", ran)?;
    let payload = subject.checkpoint().await?;
    subject.sandbox.stop().await;
    spoil()?;
    let restored = bench.restore(payload).await?;
    let in_written = |name: &str| Path::new(WRITTEN).join(name);
    let seen = fs::read_to_string(in_written("motd"))?;
    hold(seen == motd, "a file has what was added to it", seen)?;
    let mode = fs::metadata(in_written("profile"))?.mode() & 0o7777;
    hold(mode == 0o600, "a file has its mode", format!("{mode:o}"))?;
    let time = fs::metadata(in_written("dot.bashrc"))?.modified()?;
    let set = SystemTime::UNIX_EPOCH + Duration::new(1, 7);
    hold(time == set, "a file has its time", time)?;
    hold(
        fs::read_link(in_written("link"))? == Path::new("motd"),
        "a link is there",
        (),
    )?;
    hold(
        fs::metadata(in_written("a/b/empty"))?.len() == 0,
        "a new folder is there",
        (),
    )?;
    let gone = !in_written("info.dir").exists() && !Path::new(REMOVED).exists() && !Path::new(MOVED).exists();
    hold(gone, "what was removed and moved away is gone", ())?;
    let moved = fs::read("/usr/share/licenses/BSD")?;
    hold(moved == licence, "what was moved is there", moved.len())?;
    let names = fs::read_dir("/usr/share/debconf")?.count();
    hold(names == 1, "a folder that was made again has only what it had", names)?;
    restored.end().await?;
    put_back()
}

fn spoil() -> Result<(), Failed> {
    let written = Path::new(WRITTEN);
    fs::write(written.join("motd"), "spoilt")?;
    fs::set_permissions(written.join("profile"), fs::Permissions::from_mode(0o644))?;
    fs::write(written.join("dot.bashrc"), "spoilt")?;
    fs::write(written.join("info.dir"), "spoilt")?;
    fs::remove_file(written.join("link"))?;
    fs::remove_dir_all(written.join("a"))?;
    for folder in [REMOVED, MOVED] {
        fs::create_dir(folder)?;
        fs::write(Path::new(folder).join("spoilt"), "")?;
    }
    fs::remove_dir_all("/usr/share/licenses")?;
    fs::write("/usr/share/debconf/confmodule", "spoilt")?;
    Ok(())
}

/// For whoever makes the claim again.
fn put_back() -> Result<(), Failed> {
    let written = Path::new(WRITTEN);
    fs::write(written.join("info.dir"), "")?;
    fs::remove_file(written.join("link"))?;
    fs::remove_dir_all(written.join("a"))?;
    fs::create_dir(REMOVED)?;
    fs::rename("/usr/share/licenses", MOVED)?;
    Ok(())
}
