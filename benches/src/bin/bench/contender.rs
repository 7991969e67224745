//! The processes that are compared.

use crate::{
    process::{self, Memory},
    side::{Broker, Side, Store},
};
use anyhow::{Context, bail};
use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The domain of all task lists.
pub(crate) const DOMAIN: &str = "bench";
/// The bound on tasks in flight, of all.
const IN_FLIGHT: u32 = 200;

/// Where a bridge that is the broker listens. The kernel gives none of these ports to an outgoing connection.
const PORTS: std::ops::RangeInclusive<u16> = 2_000..=11_999;

/// Where the contenders find what they need.
#[derive(Debug)]
pub(crate) struct Place {
    /// RabbitMQ, where a side needs one.
    pub(crate) amqp_uri: Option<String>,
    /// The process of RabbitMQ, where it counts as a part of its sides; with its descendants.
    pub(crate) rabbitmq: Option<u32>,
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

    /// The address of RabbitMQ.
    pub(crate) fn rabbitmq_uri(&self) -> anyhow::Result<&str> {
        self.amqp_uri
            .as_deref()
            .context("AMQP_URI; run this by `make bench`")
    }
}

/// A running process of ours; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) side: Side,
    pub(crate) task_list: String,
    /// Where its workers connect.
    pub(crate) amqp_uri: String,
    rabbitmq: Option<u32>,
    child: Child,
    log: PathBuf,
}

/// Open polls: the bridge moves between the two, the floor always holds `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pollers {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// How a contender is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) pollers: Pollers,
    /// More settings of the bridge's route.
    pub(crate) settings: &'a str,
}

impl Contender {
    /// Starts one on a task list of its own.
    pub(crate) fn start(
        place: &Place,
        side: Side,
        task_list: String,
        setup: Setup<'_>,
    ) -> anyhow::Result<Self> {
        let Setup { pollers, settings } = setup;
        match side {
            Side::Bridge(broker, store) => {
                let route = route(&side.queue(), &task_list, IN_FLIGHT, pollers);
                let routes = format!("{route}{settings}\n");
                Self::bridge(place, (broker, store), &task_list, &routes)
            }
            Side::Floor => {
                let amqp_uri = place.rabbitmq_uri()?;
                let mut command = Command::new(place.binaries.join("floor"));
                // As the bridge sets them.
                let uri = format!("{amqp_uri}?heartbeat=10&frame_max=131072");
                command.args([uri.as_str(), &side.queue(), DOMAIN, &task_list]);
                command.args([pollers.max.to_string(), IN_FLIGHT.to_string()]);
                Self::spawn(place, side, task_list, amqp_uri.to_owned(), command)
            }
        }
    }

    /// Starts a bridge with these routes.
    pub(crate) fn bridge(
        place: &Place,
        (broker, store): (Broker, Store),
        run: &str,
        routes: &str,
    ) -> anyhow::Result<Self> {
        let (amqp, amqp_uri) = match broker {
            Broker::RabbitMq => {
                let uri = place.rabbitmq_uri()?;
                (format!("uri = \"{uri}\""), uri.to_owned())
            }
            Broker::Endpoint => {
                let address = format!("127.0.0.1:{}", free_port()?);
                let uri = format!("amqp://guest:guest@{address}/%2f");
                (format!("listen = \"{address}\""), uri)
            }
        };
        let store_table = store.table(place, run)?;
        let config = format!(
            "[amqp]\n{amqp}\n[store]\n{store_table}\n[admin]\nlisten = \"127.0.0.1:0\"\n{routes}"
        );
        let file = place.scratch.join(format!("{run}.toml"));
        fs::write(&file, config)?;
        let mut command = Command::new(place.binaries.join("activity-bridge"));
        command.args(["run", "--config"]).arg(file);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ACTIVITY_BRIDGE_") {
                command.env_remove(name);
            }
        }
        let side = Side::Bridge(broker, store);
        Self::spawn(place, side, run.to_owned(), amqp_uri, command)
    }

    fn spawn(
        place: &Place,
        side: Side,
        task_list: String,
        amqp_uri: String,
        mut command: Command,
    ) -> anyhow::Result<Self> {
        let log = place.scratch.join(format!("{task_list}.log"));
        let child = command
            .env("AWS_ENDPOINT_URL_SWF", &place.swf_url)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("{:?} can't be started", command.get_program()))?;
        let uses_rabbitmq = !matches!(side, Side::Bridge(Broker::Endpoint, _));
        Ok(Self {
            side,
            task_list,
            amqp_uri,
            rabbitmq: place.rabbitmq.filter(|_| uses_rabbitmq),
            child,
            log,
        })
    }

    /// An error, with the last of its log, where it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let name = self.side.full_name();
        bail!("the {name} ended, {status}\n{}", self.words())
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

    /// User and system time so far of the process, and of its RabbitMQ where that counts.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut pids = vec![self.child.id()];
        pids.extend(self.rabbitmq_processes()?);
        process::processor_time(&pids)
    }

    /// The memory of the process itself.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        process::memory(&[self.child.id()])
    }

    /// See [`process::clear_used`].
    pub(crate) fn clear_used(&self) -> anyhow::Result<()> {
        process::clear_used(self.child.id())
    }

    /// See [`process::used`].
    pub(crate) fn used(&self) -> anyhow::Result<u64> {
        process::used(self.child.id())
    }

    /// The memory of its RabbitMQ; nothing where that does not count, or where there is none.
    pub(crate) fn rabbitmq_memory(&self) -> anyhow::Result<Memory> {
        process::memory(&self.rabbitmq_processes()?)
    }

    fn rabbitmq_processes(&self) -> anyhow::Result<Vec<u32>> {
        let family = self.rabbitmq.map(process::family).transpose()?;
        Ok(family.unwrap_or_default())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // One that has ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port on which nobody listens.
fn free_port() -> anyhow::Result<u16> {
    let from = RandomState::new().hash_one(()) as u16 % PORTS.len() as u16;
    let mut ports =
        PORTS.map(|port| PORTS.start() + (port - PORTS.start() + from) % PORTS.len() as u16);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).context("no port is free")
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
