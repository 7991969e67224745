//! The bridge as a process, and what the kernel says of it.

use anyhow::{Context, bail, ensure};
use std::{
    fmt,
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// The domain of the one task list.
pub(crate) const DOMAIN: &str = "soak";
/// The name of the route, its queue and its task list.
pub(crate) const ROUTE: &str = "soak";
const IN_FLIGHT: u32 = 500;
const MAX_POLLERS: u32 = 40;
/// For a shutdown. It includes the open polls.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A running bridge; dropping it kills it.
pub(crate) struct BridgeProcess {
    /// Where workers connect to.
    pub(crate) amqp_uri: String,
    child: Child,
    dir: TempDir,
}

/// What a bridge left when it had ended.
pub(crate) struct Left {
    status: ExitStatus,
    /// Lines of its log at warn or error.
    complaints: Vec<String>,
}

impl Left {
    pub(crate) fn is_clean(&self) -> bool {
        self.status.success() && self.complaints.is_empty()
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, complaints } = self;
        write!(
            f,
            "{status}, {} warnings or errors in its log",
            complaints.len()
        )?;
        for line in complaints.iter().take(5) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl BridgeProcess {
    /// Starts one with this kind of store. The binary lies beside this one.
    pub(crate) fn start(swf_url: &str, store: &str) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let store = match store {
            "memory" => "kind = \"memory\"".to_owned(),
            "file" => format!(
                "kind = \"file\"\npath = {:?}",
                dir.path().join("tasks.redb")
            ),
            other => bail!("SOAK_STORE={other}: there are \"file\" and \"memory\""),
        };
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            r#"
[amqp]
listen = "{listen}"
[store]
{store}
[admin]
listen = "127.0.0.1:0"
[[routes]]
name = "{ROUTE}"
queue = "{ROUTE}"
max_in_flight = {IN_FLIGHT}
pollers = {{ max = {MAX_POLLERS} }}
swf = {{ domain = "{DOMAIN}", task_list = "{ROUTE}" }}
heartbeat = {{ timeout_secs = 60 }}
"#
        );
        let file = dir.path().join("bridge.toml");
        fs::write(&file, config)?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("activity-bridge"));
        command.args(["run", "--config"]).arg(file);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ACTIVITY_BRIDGE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .env("AWS_ENDPOINT_URL_SWF", swf_url)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "soak")
            .env("AWS_SECRET_ACCESS_KEY", "soak")
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log(&dir))?)
            .spawn()
            .with_context(|| format!("{:?} can't be started", command.get_program()))?;
        Ok(Self {
            amqp_uri: format!("amqp://guest:guest@{listen}/%2f"),
            child,
            dir,
        })
    }

    /// An error, with the last of its log, where it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the bridge ended, {status}\n{}", self.words()),
        }
    }

    /// The last of its log.
    pub(crate) fn words(&self) -> String {
        let log = fs::read_to_string(log(&self.dir)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let number = number.context("no VmRSS in status")?;
        number.parse().context("VmRSS in status")
    }

    /// SIGTERM, and its end.
    pub(crate) async fn terminate(mut self) -> anyhow::Result<Left> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(sent.success(), "the bridge can't be told to end");
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if begun.elapsed() > END_LIMIT => bail!("it does not end\n{}", self.words()),
                None => sleep(Duration::from_millis(50)).await,
            }
        };
        let log = fs::read_to_string(log(&self.dir))?;
        let is_complaint = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let complaints = log.lines().filter(is_complaint).map(str::to_owned);
        Ok(Left {
            status,
            complaints: complaints.collect(),
        })
    }
}

fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("bridge.log")
}

impl Drop for BridgeProcess {
    fn drop(&mut self) {
        // One that has ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
