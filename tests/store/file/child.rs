//! A process that has the store in one file, and does with it as it is told: it can be killed, and its disk can be full.

use crate::harness::{payments, task};
use activity_bridge::{
    store::{FileStore, Store},
    task::{Task, TaskId},
};
use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const FILE: &str = "STORE_OF_CHILD";

/// What the process does. It answers each line with one, after an `@`: what else there is, the test harness wrote.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "other tests run it, as a process of its own"]
async fn obeys() {
    let path = env::var(FILE).expect("other tests run this one");
    let store = match FileStore::open(Path::new(&path)) {
        Ok(store) => Arc::new(store),
        Err(error) => return println!("@failed {error:#}"),
    };
    println!("@opened");
    for line in io::stdin().lines() {
        let line = line.expect("the parent's words");
        match line.split_once(' ').expect("a command and what for") {
            ("insert", kilobytes) => {
                let kilobytes: usize = kilobytes.parse().expect("a number");
                println!("@{}", insert(&store, "x".repeat(kilobytes << 10)).await);
            }
            ("flood", inserters) => {
                for _ in 0..inserters.parse().expect("a number") {
                    tokio::spawn(flood(Arc::clone(&store)));
                }
            }
            ("remove", id) => {
                let id: TaskId = id.parse().expect("an id");
                println!("@removed {}", store.remove(id).await.is_ok());
            }
            ("close", _) => {
                store.close().await;
                println!("@closed");
            }
            ("trouble", _) => println!("@trouble {}", store.unavailable().unwrap_or_default()),
            (command, _) => panic!("no such command: {command}"),
        }
    }
}

async fn insert(store: &FileStore, input: String) -> String {
    let task = Task {
        input: input.into(),
        ..task()
    };
    match store.insert(&payments(), &task).await {
        Ok(()) => format!("inserted {}", task.id.reveal()),
        Err(error) => format!("refused {error}"),
    }
}

async fn flood(store: Arc<FileStore>) {
    loop {
        println!("@{}", insert(&store, "{}".to_owned()).await);
    }
}

/// The process.
pub struct Obedient {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Obedient {
    /// Starts it, on this file.
    pub async fn start(file: &Path) -> Self {
        let (child, answer) = Self::start_by(&[], &this(), file).await;
        assert_eq!(answer, "opened");
        child
    }

    /// Starts it where no file can become larger than this.
    pub async fn limited(file: &Path, kilobytes: u64) -> (Self, String) {
        // The shell counts in 512 bytes. Without the trap, the process would be killed instead of refused.
        let limit = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", kilobytes * 2);
        Self::start_by(&["sh", "-c", &limit, "sh"], &this(), file).await
    }

    /// Starts this binary by these words; and says what came of opening the store.
    pub async fn start_by(prefix: &[&str], binary: &Path, file: &Path) -> (Self, String) {
        let mut words = prefix.iter().map(AsRef::as_ref).chain([binary.as_os_str()]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command
            .args(words)
            .args(["--exact", "file::child::obeys", "--ignored", "--nocapture"]);
        command
            .env(FILE, file)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut child = Self {
            commands: child.stdin.take().expect("piped"),
            answers: BufReader::new(child.stdout.take().expect("piped")).lines(),
            child,
        };
        let answer = child.answer().await;
        (child, answer)
    }

    /// Tells it something.
    pub async fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
    }

    /// Its next answer.
    pub async fn answer(&mut self) -> String {
        self.last_answer().await.expect("it lives")
    }

    /// Its next answer, or none where it is dead.
    pub async fn last_answer(&mut self) -> Option<String> {
        loop {
            let line = timeout(Duration::from_secs(30), self.answers.next_line()).await;
            let line = line.expect("it answers in time").expect("its words")?;
            if let Some((_, answer)) = line.split_once('@') {
                return Some(answer.to_owned());
            }
        }
    }

    /// Tells it something, and hears what it answers.
    pub async fn ask(&mut self, command: &str) -> String {
        self.tell(command).await;
        self.answer().await
    }

    /// Kills it with signal 9. What it answered before can still be heard.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Its disk has room again.
    pub async fn lift_limit(&self) {
        let pid = self.child.id().expect("it lives").to_string();
        let lifted = Command::new("prlimit")
            .args(["--pid", &pid, "--fsize=unlimited"])
            .status()
            .await;
        assert!(lifted.expect("prlimit is there").success());
    }
}

/// This binary.
pub fn this() -> PathBuf {
    env::current_exe().expect("this binary")
}

/// The id in an answer that says `inserted`.
pub fn inserted(answer: &str) -> Option<TaskId> {
    let id = answer.strip_prefix("inserted ")?;
    Some(id.parse().expect("an id"))
}
