//! What tasks in flight cost: memory, the file, and the way back after a crash.
//!
//! Puts so many tasks in flight (polled, published, no worker), looks at the process and at the file, kills the process
//! with signal 9, starts it again, and waits until `/readyz` says that it has them all, and then until AWS has heard
//! of each.

use crate::{
    contender::{Contender, DOMAIN, Place, Pollers, route},
    process::Memory,
    report::megabytes,
    side::{Broker, Store},
};
use activity_sim::{Schedule, Sim};
use anyhow::{Context, bail};
use axum::body::{Body, to_bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lapin::{Connection, ConnectionProperties, options::QueueDeleteOptions};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A route has no more than 60,000.
const ROUTES: u32 = 2;
/// Room for the polls that stay open.
const SPARE: u32 = 200;
const POLLERS: Pollers = Pollers { min: 20, max: 50 };
const INPUT_BYTES: usize = 600;
/// So many are scheduled at once.
const BATCH: u32 = 1_000;
/// For any one step.
const LIMIT: Duration = Duration::from_secs(300);
/// For what is written lazily, and for memory that is given back.
const REST: Duration = Duration::from_secs(3);
const LONGEST_ANSWER: usize = 400_000_000;

/// Measures each store of this machine.
pub(crate) async fn measure(sim: &Sim, place: &Place, tasks: u32) -> anyhow::Result<()> {
    println!(
        "\n  {tasks} tasks in flight, with inputs of {INPUT_BYTES} bytes and tokens of 600 characters"
    );
    let broker =
        Connection::connect(place.rabbitmq_uri()?, ConnectionProperties::default()).await?;
    for store in [Store::Memory, Store::File] {
        let run = Run {
            sim,
            place,
            broker: &broker,
            store,
            tasks: tasks.next_multiple_of(BATCH),
        };
        run.measure().await?;
    }
    broker.close(200, "done".into()).await?;
    Ok(())
}

struct Run<'a> {
    sim: &'a Sim,
    place: &'a Place,
    broker: &'a Connection,
    store: Store,
    tasks: u32,
}

impl Run<'_> {
    async fn measure(&self) -> anyhow::Result<()> {
        self.sim.reset();
        let begun = Instant::now();
        let mut process = self.start()?;
        self.ready(&mut process, 0).await?;
        let idle = process.memory()?;
        self.say("ready", &idle, begun.elapsed());

        let filling = Instant::now();
        // By and by, as tasks come: else what is measured is how many are on their way to the broker at once.
        for batch in 1..=self.tasks / BATCH {
            for number in 0..ROUTES {
                self.sim.schedule(Schedule {
                    count: BATCH / ROUTES,
                    input: Some("x".repeat(INPUT_BYTES)),
                    ..Schedule::new(DOMAIN, self.name(number))
                });
            }
            self.published(&mut process, batch * BATCH).await?;
        }
        let filled = filling.elapsed();
        sleep(REST).await;
        let full = process.memory()?;
        self.say("all in flight", &full, filled);
        self.list(&process).await?;
        let each = full.resident.saturating_sub(idle.resident) * 1024 / u64::from(self.tasks);
        println!(
            "  {:<7} memory for each task in flight: {each} bytes",
            self.store.name()
        );
        if self.store == Store::File {
            self.say_file("the file")?;
            process = self.crash(process).await?;
        }
        drop(process);
        self.delete_queues().await
    }

    /// Kills the process, and shows what the next one does with what it left.
    async fn crash(&self, process: Contender) -> anyhow::Result<Contender> {
        drop(process);
        let heard = self.heartbeats();
        let again = Instant::now();
        let mut process = self.start()?;
        self.ready(&mut process, self.tasks).await?;
        self.say("ready after kill -9", &process.memory()?, again.elapsed());
        self.wait(&mut process, "heartbeats for all", async || {
            Ok(self.heartbeats() >= heard + u64::from(self.tasks))
        })
        .await?;
        self.say("each heard of", &process.memory()?, again.elapsed());
        sleep(REST).await;
        self.say("at rest", &process.memory()?, again.elapsed());
        self.say_file("the file after that")?;
        Ok(process)
    }

    fn name(&self, number: u32) -> String {
        format!("in-flight-{}-{number}", self.store.name())
    }

    fn start(&self) -> anyhow::Result<Contender> {
        let routes = (0..ROUTES).map(|number| {
            let name = self.name(number);
            let route = route(&name, &name, self.tasks / ROUTES + SPARE, POLLERS);
            // The longest interval, so that what is measured is the tasks and not their heartbeats.
            format!(
                "{route}poll_without_consumers = true\nheartbeat = {{ timeout_secs = 86_400 }}\n"
            )
        });
        let run = format!("in-flight-{}", self.store.name());
        let side = (Broker::RabbitMq, self.store);
        Contender::bridge(self.place, side, &run, &routes.collect::<String>())
    }

    /// Waits until `/readyz` says yes, and has so many tasks.
    async fn ready(&self, process: &mut Contender, tasks: u32) -> anyhow::Result<()> {
        let count = format!("\"tasks_in_flight\":{tasks},");
        let log = process.log_path();
        self.wait(process, "/readyz", async || {
            let Some(admin) = admin(&log)? else {
                return Ok(false);
            };
            let (ready, body) = get(&format!("{admin}/readyz")).await?;
            if ready && !body.contains(&count) {
                bail!("ready with other than {tasks} tasks: {body}");
            }
            Ok(ready)
        })
        .await
    }

    /// Meanwhile the process does nothing else.
    async fn list(&self, process: &Contender) -> anyhow::Result<()> {
        let admin = admin(&process.log_path())?.context("no admin endpoint")?;
        let asked = Instant::now();
        let (_, list) = get(&format!("{admin}/tasks")).await?;
        println!(
            "  {:<7} /tasks: {} in {} ms",
            self.store.name(),
            megabytes(list.len() as u64 / 1024),
            asked.elapsed().as_millis()
        );
        Ok(())
    }

    /// Waits until the process knows of so many tasks that the broker has them.
    async fn published(&self, process: &mut Contender, tasks: u32) -> anyhow::Result<()> {
        let admin = admin(&process.log_path())?.context("no admin endpoint")?;
        self.wait(process, "the tasks being published", async || {
            let (_, metrics) = get(&format!("{admin}/metrics")).await?;
            let confirmed = metrics.lines().filter(|line| {
                line.starts_with("activity_bridge_publishes_total{")
                    && line.contains("outcome=\"confirmed\"")
            });
            let counts = confirmed.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok());
            Ok(counts.sum::<u32>() >= tasks)
        })
        .await
    }

    async fn delete_queues(&self) -> anyhow::Result<()> {
        let channel = self.broker.create_channel().await?;
        for number in 0..ROUTES {
            let options = QueueDeleteOptions::default();
            let deleted = channel.queue_delete(self.name(number).into(), options);
            deleted.await?;
        }
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    fn heartbeats(&self) -> u64 {
        self.sim.summary().ok("RecordActivityTaskHeartbeat")
    }

    async fn wait(
        &self,
        process: &mut Contender,
        what: &str,
        mut done: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !done().await? {
            process.check()?;
            if begun.elapsed() > LIMIT {
                bail!("{what}: not within {LIMIT:?}\n{}", process.words());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn say(&self, what: &str, memory: &Memory, after: Duration) {
        println!(
            "  {:<7} {what:<20} after {:>6.2} s: {} resident ({} of it anonymous), peak {}",
            self.store.name(),
            after.as_secs_f64(),
            megabytes(memory.resident),
            megabytes(memory.anonymous),
            megabytes(memory.peak)
        );
    }

    fn say_file(&self, what: &str) -> anyhow::Result<()> {
        let file = self.place.file(&format!("in-flight-{}", self.store.name()));
        let bytes = fs::metadata(&file).context("the store's file")?.len();
        println!(
            "  {:<7} {what}: {}, {} bytes for each task",
            self.store.name(),
            megabytes(bytes / 1024),
            bytes / u64::from(self.tasks)
        );
        Ok(())
    }
}

/// Where it is reached, as soon as it has said so.
fn admin(log: &Path) -> anyhow::Result<Option<String>> {
    let log = fs::read_to_string(log)?;
    let said = log.split_once("admin listening addr=");
    let addr = said.and_then(|(_, rest)| rest.split_once('\n'));
    Ok(addr.map(|(addr, _)| format!("http://{}", addr.trim())))
}

async fn get(url: &str) -> anyhow::Result<(bool, String)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.get(url.parse()?).await?;
    let ready = answer.status().is_success();
    let body = to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await?;
    Ok((ready, String::from_utf8_lossy(&body).into_owned()))
}
