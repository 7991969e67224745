//! The processes that are compared, and what the kernel says of each.

use anyhow::{Context, bail};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The domain of all task lists.
pub(crate) const DOMAIN: &str = "bench";
/// The bound on tasks in flight, of all.
const IN_FLIGHT: u32 = 200;

/// Which of them: the bridge with one of its stores, or the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Memory,
    File,
    Redis,
    Floor,
}

impl Side {
    /// All there are: with Redis where `REDIS_URL` names one.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Memory, Self::File];
        if std::env::var_os(REDIS_URL).is_some() {
            all.push(Self::Redis);
        }
        all.push(Self::Floor);
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File => "file",
            Self::Redis => "redis",
            Self::Floor => "floor",
        }
    }

    /// Its queue.
    pub(crate) fn queue(self) -> String {
        format!("bench-{}", self.name())
    }

    /// The table of the bridge's configuration; what is stored is this run's alone.
    fn store(self, place: &Place, run: &str) -> anyhow::Result<String> {
        Ok(match self {
            Self::Memory | Self::Floor => "kind = \"memory\"".to_owned(),
            Self::File => format!("kind = \"file\"\npath = {:?}", place.file(run)),
            Self::Redis => {
                let url = std::env::var(REDIS_URL).context(REDIS_URL)?;
                format!("kind = \"redis\"\nurl = {url:?}\nprefix = \"{run}\"")
            }
        })
    }
}

const REDIS_URL: &str = "REDIS_URL";

/// Where the contenders find what they need.
#[derive(Debug)]
pub(crate) struct Place {
    /// The broker.
    pub(crate) amqp_uri: String,
    /// The simulator.
    pub(crate) swf_url: String,
    /// For configurations and logs; somebody else removes it.
    pub(crate) scratch: PathBuf,
    /// Where the two binaries are.
    pub(crate) binaries: PathBuf,
}

impl Place {
    /// The file of the store of this run.
    pub(crate) fn file(&self, run: &str) -> PathBuf {
        self.scratch.join(format!("{run}.redb"))
    }
}

/// A running process of ours; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) side: Side,
    pub(crate) task_list: String,
    child: Child,
    log: PathBuf,
}

/// Open polls: the bridge moves between the two, the floor always holds `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pollers {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl Contender {
    /// Starts one on a task list of its own.
    pub(crate) fn start(
        place: &Place,
        side: Side,
        task_list: String,
        pollers: Pollers,
    ) -> anyhow::Result<Self> {
        let command = match side {
            Side::Memory | Side::File | Side::Redis => {
                let route = route(&side.queue(), &task_list, IN_FLIGHT, pollers);
                bridge(
                    place,
                    side,
                    &task_list,
                    &format!("{route}declare = false\n"),
                )?
            }
            Side::Floor => {
                let mut command = Command::new(place.binaries.join("floor"));
                // As the bridge sets them.
                let uri = format!("{}?heartbeat=10&frame_max=131072", place.amqp_uri);
                command.args([uri.as_str(), &side.queue(), DOMAIN, &task_list]);
                command.args([pollers.max.to_string(), IN_FLIGHT.to_string()]);
                command
            }
        };
        Self::spawn(place, side, task_list, command)
    }

    /// Starts a bridge with these routes.
    pub(crate) fn bridge(
        place: &Place,
        side: Side,
        run: &str,
        routes: &str,
    ) -> anyhow::Result<Self> {
        let command = bridge(place, side, run, routes)?;
        Self::spawn(place, side, run.to_owned(), command)
    }

    fn spawn(
        place: &Place,
        side: Side,
        task_list: String,
        mut command: Command,
    ) -> anyhow::Result<Self> {
        let log = place.scratch.join(format!("{task_list}.log"));
        let child = command
            .env("AWS_ENDPOINT_URL_SWF", &place.swf_url)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("{:?} can't be started", command.get_program()))?;
        Ok(Self {
            side,
            task_list,
            child,
            log,
        })
    }

    /// An error, with the last of its log, where it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        bail!("the {} ended, {status}\n{}", self.side.name(), self.words())
    }

    /// Where its log is.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// The last of its log.
    pub(crate) fn words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// User and system time of the process so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        // Fields 14 and 15 of proc(5), in ticks of 10 ms; the second field may hold anything, up to its bracket.
        let stat = fs::read_to_string(self.proc("stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("no bracket in stat")?;
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in KiB: now, and at its highest.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(self.proc("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .with_context(|| format!("no {name} in status"))?
                .parse::<u64>()
                .with_context(|| format!("{name} in status"))
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
            anonymous: field("RssAnon:")?,
            threads: field("Threads:")?,
        })
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Of `resident`, what is not a mapped file.
    pub(crate) anonymous: u64,
    pub(crate) threads: u64,
}

impl Drop for Contender {
    fn drop(&mut self) {
        // One that has ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A route of the bridge's configuration, to which more settings may be added.
pub(crate) fn route(queue: &str, task_list: &str, in_flight: u32, pollers: Pollers) -> String {
    let Pollers { min, max } = pollers;
    format!(
        r#"
[[routes]]
name = "{queue}"
queue = "{queue}"
max_in_flight = {in_flight}
pollers = {{ min = {min}, max = {max} }}
swf = {{ domain = "{DOMAIN}", task_list = "{task_list}" }}
"#
    )
}

fn bridge(place: &Place, side: Side, run: &str, routes: &str) -> anyhow::Result<Command> {
    let file = place.scratch.join(format!("{run}.toml"));
    let (uri, store) = (&place.amqp_uri, side.store(place, run)?);
    let config = format!(
        "[amqp]\nuri = \"{uri}\"\n[store]\n{store}\n[admin]\nlisten = \"127.0.0.1:0\"\n{routes}"
    );
    fs::write(&file, config)?;
    let mut command = Command::new(place.binaries.join("activity-bridge"));
    command.args(["run", "--config"]).arg(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ACTIVITY_BRIDGE_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}
