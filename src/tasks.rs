//! What is in flight, for people and their machines: `/tasks` of the admin endpoint, and `activity-bridge tasks`.
//!
//! Of a task it tells the id, the route, how far it has come and how it is kept alive; never its token or its input.

use crate::{
    config::{Config, StoreConfig},
    flights::{Flights, Listed, Progress},
};
use anyhow::{Context, ensure};
use axum::body::{Body, to_bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    fmt::{self, Write as _},
    io::{self, ErrorKind, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// For the whole of the admin endpoint's answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// More than a list of a million tasks.
const LONGEST_ANSWER: usize = 400_000_000;
/// So many digits of an owner tell it from the others.
const OWNER_DIGITS: usize = 8;

/// What is in flight, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The process that was asked; `None` where the store was read instead.
    owner: Option<String>,
    tasks: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    route: String,
    state: Progress,
    age_secs: u64,
    last_heartbeat_secs_ago: Option<u64>,
    /// The process that has it; `None` where none does.
    owner: Option<String>,
}

impl Listing {
    /// What this process has.
    #[must_use]
    pub fn of_process(flights: &Flights, owner: &str) -> Self {
        let mut listed = flights.list();
        listed.sort_unstable_by_key(|one| (Reverse(one.age), one.id));
        let entry = |one: &Listed| Entry {
            id: one.id.to_string(),
            route: one.route.name().to_owned(),
            state: one.progress,
            age_secs: one.age.as_secs(),
            last_heartbeat_secs_ago: one.last_heartbeat.map(|ago| ago.as_secs()),
            owner: Some(owner.to_owned()),
        };
        Self {
            owner: Some(owner.to_owned()),
            tasks: listed.iter().map(entry).collect(),
        }
    }
}

/// `activity-bridge tasks`: prints what is in flight.
///
/// # Errors
///
/// Where that can't be told, and where standard output is gone.
pub async fn print(config: &Config, json: bool) -> anyhow::Result<bool> {
    let listing = find(config).await?;
    let text = match json {
        true => serde_json::to_string(&listing)? + "\n",
        false => listing.to_string(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads it has seen enough: `… | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        written => Ok(written.map(|()| true)?),
    }
}

async fn find(config: &Config) -> anyhow::Result<Listing> {
    match config.store {
        StoreConfig::Memory => ask(config.admin_listen).await.context(
            "with store.kind = \"memory\" only the running process knows its tasks; \
             start it, or give the configuration that it was started with",
        ),
    }
}

/// Asks the running process.
async fn ask(listen: SocketAddr) -> anyhow::Result<Listing> {
    let url = format!("http://{}/tasks", reachable(listen));
    let answer = timeout(ASK_TIMEOUT, get(&url)).await;
    let secs = ASK_TIMEOUT.as_secs();
    answer
        .with_context(|| format!("no answer within {secs} s"))
        .and_then(|answer| answer)
        .with_context(|| format!("the admin endpoint {url} (admin.listen)"))
}

async fn get(url: &str) -> anyhow::Result<Listing> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.get(url.parse()?).await?;
    let status = answer.status();
    ensure!(
        status.is_success(),
        "answered {status}; another program listens there, or another version of this one"
    );
    let body = to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await?;
    serde_json::from_slice(&body).context("answered something else than a list of tasks")
}

/// Where a server that listens there is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(_) if listen.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) if listen.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// A table for people, closed by the number of tasks.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tasks.is_empty() {
            return f.write_str("no tasks in flight\n");
        }
        let heading = ["ID", "ROUTE", "STATE", "AGE", "LAST HEARTBEAT", "OWNER"];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.tasks.iter().map(Entry::row));
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let mut line = String::new();
        for row in &rows {
            line.clear();
            for (width, cell) in widths.into_iter().zip(row) {
                write!(line, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match self.tasks.len() {
            1 => f.write_str("\n1 task in flight\n"),
            count => write!(f, "\n{count} tasks in flight\n"),
        }
    }
}

impl Entry {
    fn row(&self) -> [String; 6] {
        let beat = self.last_heartbeat_secs_ago;
        let owner = self.owner.as_deref().unwrap_or("-");
        [
            self.id.clone(),
            self.route.clone(),
            self.state.to_string(),
            span(self.age_secs),
            beat.map_or_else(|| "-".to_owned(), |secs| format!("{} ago", span(secs))),
            owner.chars().take(OWNER_DIGITS).collect(),
        ]
    }
}

/// The two largest units of a time, as people say it: `37 s`, `2 h 5 min`.
fn span(secs: u64) -> String {
    const UNITS: [(&str, u64, u64); 4] = [
        ("d", 86_400, u64::MAX),
        ("h", 3_600, 24),
        ("min", 60, 60),
        ("s", 1, 60),
    ];
    let mut parts = UNITS
        .iter()
        .map(|(name, size, most)| (name, secs / size % most))
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"));
    match (parts.next(), parts.next()) {
        (Some(large), Some(small)) => format!("{large} {small}"),
        (Some(one), None) => one,
        (None, _) => "0 s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 s")]
    #[case(37, "37 s")]
    #[case(60, "1 min")]
    #[case(61, "1 min 1 s")]
    #[case(3_599, "59 min 59 s")]
    #[case(3_600, "1 h")]
    #[case(3_637, "1 h")]
    #[case(7_537, "2 h 5 min")]
    #[case(86_399, "23 h 59 min")]
    #[case(90_000, "1 d 1 h")]
    #[case(400 * 86_400 + 59, "400 d")]
    fn a_time_is_told_in_its_two_largest_units(#[case] secs: u64, #[case] words: &str) {
        assert_eq!(span(secs), words);
    }

    #[rstest]
    #[case("0.0.0.0:9464", "127.0.0.1:9464")]
    #[case("[::]:9464", "[::1]:9464")]
    #[case("10.0.0.7:80", "10.0.0.7:80")]
    #[case("[fe80::1]:80", "[fe80::1]:80")]
    fn who_listens_everywhere_is_asked_on_loopback(#[case] listen: SocketAddr, #[case] to: &str) {
        assert_eq!(reachable(listen).to_string(), to);
    }

    fn entry(id: &str, route: &str, state: Progress) -> Entry {
        Entry {
            id: id.repeat(32),
            route: route.to_owned(),
            state,
            age_secs: 7_537,
            last_heartbeat_secs_ago: Some(37),
            owner: Some("0123456789abcdef".to_owned()),
        }
    }

    fn listing(tasks: Vec<Entry>) -> Listing {
        let owner = Some("0123456789abcdef".to_owned());
        Listing { owner, tasks }
    }

    #[test]
    fn the_table_is_aligned_and_closed_by_the_count() {
        let young = Entry {
            age_secs: 5,
            last_heartbeat_secs_ago: None,
            owner: None,
            ..entry("b", "thumbnails", Progress::Waiting)
        };
        let table = listing(vec![entry("a", "payments", Progress::Working), young]).to_string();
        let expected = "\
ID                                ROUTE       STATE    AGE        LAST HEARTBEAT  OWNER
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  payments    working  2 h 5 min  37 s ago        01234567
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  thumbnails  waiting  5 s        -               -

2 tasks in flight
";
        assert_eq!(table, expected);
    }

    #[test]
    fn one_task_and_none_are_counted_as_people_do() {
        let one = listing(vec![entry("a", "payments", Progress::Settling)]).to_string();
        assert!(one.ends_with("\n\n1 task in flight\n"), "{one}");
        assert_eq!(listing(Vec::new()).to_string(), "no tasks in flight\n");
    }

    #[test]
    fn the_json_has_the_fields_that_machines_rely_on() {
        let json =
            serde_json::to_value(listing(vec![entry("a", "payments", Progress::Publishing)]));
        let expected = serde_json::json!({
            "owner": "0123456789abcdef",
            "tasks": [{
                "id": "a".repeat(32), "route": "payments", "state": "publishing", "age_secs": 7_537,
                "last_heartbeat_secs_ago": 37, "owner": "0123456789abcdef",
            }],
        });
        assert_eq!(json.expect("JSON"), expected);
    }
}
