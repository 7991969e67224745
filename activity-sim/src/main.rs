//! The simulator as a program. The first line on the standard output names its address.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use activity_sim::{Options, Sim};
use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A simulator of the activity side of Amazon SWF and AWS Step Functions, for development and tests.
///
/// Set AWS_ENDPOINT_URL_SWF or AWS_ENDPOINT_URL_SFN of a worker to the address in the first line, with any credentials
/// and any region.
/// Schedule activities and read their records under /_sim/ of the same address; the README lists the
/// calls.
#[derive(Debug, Parser)]
#[command(name = "activity-sim", version)]
struct Cli {
    /// The address to listen on; port 0 means a free port.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ACTIVITY_SIM_LISTEN",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    )]
    listen: SocketAddr,

    /// How many seconds a poll is held before it is answered empty; fractions are allowed.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "ACTIVITY_SIM_HOLD_SECS",
        default_value = "60",
        value_parser = seconds
    )]
    hold_secs: Duration,

    /// A domain that exists from the start; can be given several times.
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<String>,

    /// The name of an activity of Step Functions that exists from the start; can be given several
    /// times. Its ARN is arn:aws:states:eu-west-1:123456789012:activity:NAME.
    #[arg(long = "activity", value_name = "NAME")]
    activities: Vec<String>,

    /// Maximum open polls for each task list or activity. A poll above it is answered with
    /// LimitExceededFault or ActivityWorkerLimitExceeded.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    max_open_polls: usize,

    /// Serve HTTPS with a certificate made at the start, and write the certificate to this file in PEM.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,

    /// The time without a call after which a connection is closed, in seconds; fractions are allowed. Without
    /// it, none is closed.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle_secs: Option<Duration>,

    /// Number of threads that serve.
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    threads: usize,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // Before the first line: its reader may send a signal at once.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let listen = cli.listen;
    let sim = Sim::start(Options {
        listen,
        hold: cli.hold_secs,
        domains: cli.domains,
        activities: cli.activities,
        max_open_polls: cli.max_open_polls,
        threads: cli.threads,
        tls: cli.tls.is_some(),
        idle: cli.idle_secs,
    })
    .await
    .with_context(|| format!("cannot listen on {listen}"))?;
    // Before the first line: its reader may read the file at once.
    if let (Some(path), Some(certificate)) = (&cli.tls, sim.certificate()) {
        std::fs::write(path, certificate)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "activity-sim listening on {}", sim.url())?;
    stdout.flush()?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    sim.stop().await;
    Ok(())
}
