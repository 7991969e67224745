//! A small disk of a test's own, which can be frozen and filled.

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// An ext4 file system in a file. Thawed and unmounted when dropped.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Mounts one, for which one must be root or have `sudo` without a password. Elsewhere there is none, and why is said.
    pub async fn new() -> Option<Self> {
        match Self::mounted().await {
            Ok(disk) => Some(disk),
            Err(why) => {
                eprintln!(
                    "SKIPPED: this test needs a disk of its own, and may not mount one here: {why}"
                );
                None
            }
        }
    }

    async fn mounted() -> Result<Self, String> {
        let disk = Self {
            dir: TempDir::new().expect("a temporary folder"),
        };
        let image = disk.dir.path().join("image");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(24 << 20).expect("a sparse file");
        std::fs::create_dir(disk.path()).expect("a folder");
        let (image, path) = (text(&image), text(&disk.path()));
        as_root(&["mkfs.ext4", "-q", "-m", "0", &image]).await?;
        as_root(&["mount", "-o", "loop", &image, &path]).await?;
        as_root(&["chmod", "777", &path]).await?;
        Ok(disk)
    }

    /// Its folder.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// From here on whoever writes to it waits.
    pub async fn freeze(&self) {
        let frozen = as_root(&["fsfreeze", "-f", &text(&self.path())]).await;
        frozen.expect("the disk can be frozen");
    }

    /// Ends that.
    pub async fn thaw(&self) {
        let thawed = as_root(&["fsfreeze", "-u", &text(&self.path())]).await;
        thawed.expect("the disk can be thawed");
    }

    /// Writes a file that takes all the space.
    pub fn fill(&self) {
        let filler = std::fs::File::create(self.filler());
        let mut filler = filler.expect("a file on the disk");
        let full = std::io::copy(&mut std::io::repeat(b'x'), &mut filler);
        let full = full.expect_err("the disk has an end").kind();
        assert_eq!(full, std::io::ErrorKind::StorageFull);
    }

    /// Removes it.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("it can be removed");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may not be frozen, nor mounted. A process that is just being killed may still have a file on it.
        for command in [vec!["fsfreeze", "-u"], vec!["umount", "-l"]] {
            let mut program = with_rights(&command);
            drop(program.arg(self.path()).output());
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

async fn as_root(command: &[&str]) -> Result<(), String> {
    let ran = Command::from(with_rights(command)).output().await;
    let ran = ran.map_err(|error| format!("{command:?}: {error}"))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
    }
}

fn with_rights(command: &[&str]) -> std::process::Command {
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let words = match root {
        true => command.to_vec(),
        false => [&["sudo", "-n"], command].concat(),
    };
    let mut program = std::process::Command::new(words[0]);
    program.args(&words[1..]);
    program
}
