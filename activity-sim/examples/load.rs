//! Measures how many calls a second the simulator answers. Each connection is kept alive, and polls and
//! completes one task after the other. The client writes its HTTP by hand, because it must not use much of
//! the processor that it shares with the simulator.
//!
//!     cargo run --release -p activity-sim --example load -- [tasks] [connections] [http://HOST:PORT]
//!
//! Without an address it starts a simulator in the same process. Every fourth task has a heartbeat.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use activity_sim::{Options, Sim};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let tasks: u64 = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let connections: usize = args.next().map_or(Ok(32), |text| text.parse())?;
    let (address, sim) = match args.next() {
        Some(url) => (url.trim_start_matches("http://").to_owned(), None),
        None => {
            let sim = Sim::start(Options::default()).await?;
            (sim.addr().to_string(), Some(sim))
        }
    };
    let mut admin = Client::connect(&address).await?;
    admin
        .call("/_sim/domains", "", json!({ "name": "load" }).to_string())
        .await?;
    let schedule = json!({
        "domain": "load", "task_list": "load", "count": tasks, "input": "x".repeat(200),
        "timeouts": { "heartbeat": 60, "start_to_close": 600, "schedule_to_close": 3600 },
    });
    let started = Instant::now();
    admin
        .call("/_sim/schedule", "", schedule.to_string())
        .await?;
    println!("scheduled {tasks} tasks in {:?}", started.elapsed());

    let started = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..connections as u64 {
        let share = tasks / connections as u64 + u64::from(worker < tasks % connections as u64);
        workers.spawn(work(address.clone(), share));
    }
    let mut calls = 0;
    while let Some(done) = workers.join_next().await {
        calls += done??;
    }
    report(calls, connections, started.elapsed());
    let (_, body) = admin.get("/_sim/summary?task_list=load").await?;
    let summary: Value = serde_json::from_slice(&body)?;
    println!(
        "completed {} of {}",
        summary["completed"], summary["scheduled"]
    );
    drop(sim);
    Ok(())
}

fn report(calls: u64, connections: usize, took: Duration) {
    let rate = calls as f64 / took.as_secs_f64();
    println!("{calls} calls over {connections} connections in {took:?}: {rate:.0} calls/s");
}

/// Polls and completes this many tasks and returns the number of calls.
async fn work(address: String, tasks: u64) -> Result<u64, Failure> {
    let mut client = Client::connect(&address).await?;
    let mut calls = 0;
    let poll =
        json!({ "domain": "load", "taskList": { "name": "load" }, "identity": "load" }).to_string();
    for no in 0..tasks {
        let answer = client.action("PollForActivityTask", poll.clone()).await?;
        let task: Value = serde_json::from_slice(&answer)?;
        if no % 4 == 0 {
            let beat = json!({ "taskToken": task["taskToken"], "details": "half" }).to_string();
            client.action("RecordActivityTaskHeartbeat", beat).await?;
            calls += 1;
        }
        let done = json!({ "taskToken": task["taskToken"], "result": "done" }).to_string();
        client.action("RespondActivityTaskCompleted", done).await?;
        calls += 2;
    }
    Ok(calls)
}

/// A connection that is kept alive.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    async fn action(&mut self, action: &str, body: String) -> Result<Vec<u8>, Failure> {
        let target = format!("x-amz-target: SimpleWorkflowService.{action}\r\n");
        let (status, answer) = self.call("/", &target, body).await?;
        if status != 200 {
            return Err(format!("{action}: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }

    async fn call(
        &mut self,
        path: &str,
        headers: &str,
        body: String,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: sim\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        self.exchange(&request).await
    }

    async fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: sim\r\n\r\n"))
            .await
    }

    async fn exchange(&mut self, request: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.stream.write_all(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text = std::str::from_utf8(&self.read[..head])?;
        let status = text.get(9..12).ok_or("no status")?.parse()?;
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let end = head + length.map_or(Ok(0), str::parse::<usize>)?;
        while self.read.len() < end {
            self.fill().await?;
        }
        let body = self.read[head..end].to_vec();
        self.read.drain(..end);
        Ok((status, body))
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("the connection was closed".into()),
            _ => Ok(()),
        }
    }
}
