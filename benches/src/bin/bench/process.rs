//! What the kernel says of processes, from `/proc`.

use anyhow::Context;
use std::{
    collections::HashMap,
    fs, io,
    iter::Sum,
    ops::Add,
    path::{Path, PathBuf},
    time::Duration,
};

/// Memory in KiB, and threads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
    /// Of `resident`, what is not a mapped file.
    pub(crate) anonymous: u64,
    pub(crate) threads: u64,
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            peak: self.peak + other.peak,
            anonymous: self.anonymous + other.anonymous,
            threads: self.threads + other.threads,
        }
    }
}

impl Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// A process and its descendants, as they are now.
pub(crate) fn family(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(stat) = stat(pid)?
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(pid) = family.get(next) {
        next += 1;
        family.extend(children.remove(pid).unwrap_or_default());
    }
    Ok(family)
}

/// The name of a process's program; `None` if the process has ended.
pub(crate) fn program(pid: u32) -> anyhow::Result<Option<String>> {
    let name = read(pid, "comm")?;
    Ok(name.map(|name| name.trim().to_owned()))
}

/// User and system time of these processes so far, and of their children that have ended.
pub(crate) fn processor_time(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut ticks = 0;
    for &pid in pids {
        // The time of one that has ended is its parent's now.
        ticks += stat(pid)?.map_or(0, |stat| stat.ticks);
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// The memory of these processes together.
pub(crate) fn memory(pids: &[u32]) -> anyhow::Result<Memory> {
    let each = pids.iter().filter_map(|&pid| memory_of(pid).transpose());
    each.sum()
}

/// Lets the kernel note anew which pages a process uses. See proc(5), `clear_refs`.
pub(crate) fn clear_used(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "1").context(path)
}

/// The memory that a process has used since then, in KiB. The kernel may take back the rest of what is resident and of a file.
pub(crate) fn used(pid: u32) -> anyhow::Result<u64> {
    let rollup = read(pid, "smaps_rollup")?.context("the process has ended")?;
    number_of(&rollup, "smaps_rollup", "Referenced:")
}

/// The number of a line.
fn number_of(text: &str, file: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.with_context(|| format!("no {name} in {file}"))?;
    number.parse().with_context(|| format!("{name} in {file}"))
}

fn memory_of(pid: u32) -> anyhow::Result<Option<Memory>> {
    let Some(status) = read(pid, "status")? else {
        return Ok(None);
    };
    // One that has just ended has no memory.
    if !status.contains("VmRSS:") {
        return Ok(None);
    }
    let field = |name: &str| number_of(&status, "status", name);
    Ok(Some(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
        anonymous: field("RssAnon:")?,
        threads: field("Threads:")?,
    }))
}

struct Stat {
    parent: u32,
    /// Of 10 ms each.
    ticks: u64,
}

fn stat(pid: u32) -> anyhow::Result<Option<Stat>> {
    let Some(stat) = read(pid, "stat")? else {
        return Ok(None);
    };
    // See proc(5). The second field may hold anything, up to its bracket; the fourth is the parent, 14 to 17 are times.
    let (_, fields) = stat.rsplit_once(')').context("no bracket in stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let parent = fields.get(1).context("no parent in stat")?.parse()?;
    let times = fields.get(11..15).context("no times in stat")?.iter();
    let ticks = times
        .map(|field| field.parse::<u64>())
        .sum::<Result<_, _>>()?;
    Ok(Some(Stat { parent, ticks }))
}

/// A file of a process; `None` if the process has ended, or if it is not ours.
fn read(pid: u32, file: &str) -> anyhow::Result<Option<String>> {
    let path: PathBuf = Path::new("/proc").join(pid.to_string()).join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        // ESRCH, where it ended after the file was opened. A name that is not UTF-8 is no program of ours.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            ) || error.raw_os_error() == Some(3) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
