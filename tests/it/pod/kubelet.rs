//! What the kubelet does when a pod is deleted: all preStop hooks at once. Each main container gets SIGTERM after its own hook. Each
//! sidecar gets it after its own hook and after the end of the main containers and of the sidecars that were started after it.

use futures_util::{
    FutureExt,
    future::{BoxFuture, join, join_all},
};
use std::{
    future::pending,
    process::{Command, ExitStatus},
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A container that runs.
pub struct Container<'c> {
    name: &'static str,
    pid: u32,
    hook: Option<BoxFuture<'c, ()>>,
    ended: BoxFuture<'c, ExitStatus>,
}

/// A pod.
pub struct Pod<'c> {
    /// In the order of their start. All of them start before the main containers.
    pub sidecars: Vec<Container<'c>>,
    /// The main containers.
    pub main: Vec<Container<'c>>,
}

/// The end of a pod.
pub struct Deleted {
    /// From the deletion to the end of the last container.
    pub took: Duration,
    happened: Vec<String>,
    statuses: Vec<(&'static str, ExitStatus)>,
}

/// What happened so far.
#[derive(Default)]
struct Course {
    happened: Mutex<Vec<String>>,
    ended: watch::Sender<usize>,
}

impl<'c> Container<'c> {
    /// A container without a hook.
    pub fn new(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            hook: None,
            ended: pending().boxed(),
        }
    }

    /// With what waits for its end.
    pub fn ended_by(self, ended: impl Future<Output = ExitStatus> + Send + 'c) -> Self {
        let ended = ended.boxed();
        Self { ended, ..self }
    }

    /// With a preStop hook.
    pub fn stopped_after(self, hook: impl Future<Output = ()> + Send + 'c) -> Self {
        let hook = Some(hook.boxed());
        Self { hook, ..self }
    }

    /// Ends it, when its turn has come: when so many others have ended.
    async fn end(self, course: &Course, others: usize) -> (&'static str, ExitStatus) {
        let Self { name, .. } = self;
        if let Some(hook) = self.hook {
            hook.await;
            course.note(name, "hook ended");
        }
        let mut ended = course.ended.subscribe();
        let turn = ended.wait_for(|ended| *ended >= others).await;
        drop(turn.expect("the course lives"));
        course.note(name, "SIGTERM");
        let killed = Command::new("kill")
            .args(["-TERM", &self.pid.to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
        let status = self.ended.await;
        course.note(name, "ended");
        course.ended.send_modify(|ended| *ended += 1);
        (name, status)
    }
}

impl Course {
    fn note(&self, name: &str, what: &str) {
        let mut happened = self.happened.lock().expect("no panic holds it");
        happened.push(format!("{name}: {what}"));
    }
}

impl Pod<'_> {
    /// Deletes it.
    pub async fn delete(self) -> Deleted {
        let begun = Instant::now();
        let course = Course::default();
        let mains = self.main.len();
        let main = self.main.into_iter().map(|one| one.end(&course, 0));
        let sidecars = self.sidecars.into_iter().rev().enumerate();
        let sidecars = sidecars.map(|(before, one)| one.end(&course, mains + before));
        let (main, sidecars) = join(join_all(main), join_all(sidecars)).await;
        Deleted {
            took: begun.elapsed(),
            happened: course.happened.into_inner().expect("no panic held it"),
            statuses: [main, sidecars].concat(),
        }
    }
}

impl Deleted {
    /// Asserts that these happened in this order, whatever happened between.
    #[track_caller]
    pub fn assert_order(&self, wanted: &[&str]) {
        let mut rest = self.happened.iter();
        for what in wanted {
            let found = rest.any(|other| other == what);
            assert!(found, "no {what:?} in its place: {:?}", self.happened);
        }
    }

    /// How a container ended.
    pub fn status(&self, name: &str) -> ExitStatus {
        let mut statuses = self.statuses.iter();
        let found = statuses.find(|(other, _)| *other == name);
        found.expect("a container of the pod").1
    }
}
