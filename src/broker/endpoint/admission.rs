//! Who may connect, as the files say now: the users with their passwords, and TLS.
//!
//! The files are read anew when a client connects, and every few seconds, so that a mistake in them is told before a client needs
//! them. If they can't be used, what they said before stays. While their disk hangs, clients do not wait for it.

use super::{
    exchange::Name,
    files::{EndpointFiles, UserPassword},
    settings::EndpointConfig,
    tls,
    user_settings::UserConfig,
    users::{User, Users},
};
use crate::{
    broker::TaskQueue,
    settings::{Problem, in_one_line},
    util::{
        FileReads,
        crash_point::{CrashPoint, crash_point},
    },
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, sleep_until},
};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// Interval of reads while no client connects.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Minimum interval between two reads. Clients that connect meanwhile wait for one read together.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// What decides about a client that connects.
#[derive(Clone)]
pub(crate) struct Admission {
    /// The users.
    pub(crate) users: Arc<Users>,
    /// What accepts connections over TLS; `None` without TLS.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// See the module.
pub(crate) struct AdmissionFiles {
    config: Arc<EndpointConfig>,
    queues: Mutex<Vec<TaskQueue>>,
    reads: FileReads,
    admission: Mutex<Admission>,
    /// Whether the last read did not end in time.
    is_stuck: AtomicBool,
    state: AsyncMutex<State>,
}

struct State {
    files: EndpointFiles,
    /// When the last read began.
    read_at: Instant,
    /// What was wrong with the files at the last read, and is in the log.
    problem: Option<String>,
}

/// What can't be used of the files.
pub(crate) fn examine(config: &EndpointConfig) -> Vec<Problem> {
    match EndpointFiles::read(config) {
        Err(problems) => problems,
        Ok(files) => {
            let tls = files.tls.as_ref().map(tls::acceptor);
            tls.and_then(Result::err).into_iter().collect()
        }
    }
}

impl AdmissionFiles {
    /// With files that were just read.
    ///
    /// # Errors
    ///
    /// The first file that can't be used.
    pub(crate) fn new(
        config: &EndpointConfig,
        queues: Vec<TaskQueue>,
        files: EndpointFiles,
    ) -> Result<Self, Problem> {
        let admission = admission(config, &queues, &files)?;
        Ok(Self {
            config: Arc::new(config.clone()),
            queues: Mutex::new(queues),
            reads: FileReads::default(),
            admission: Mutex::new(admission),
            is_stuck: AtomicBool::new(false),
            state: AsyncMutex::new(State {
                files,
                read_at: Instant::now(),
                problem: None,
            }),
        })
    }

    /// Gives the users the queues of their routes as they are now. A client that is connected keeps the rights that it has.
    pub(crate) fn set_queues(&self, queues: Vec<TaskQueue>) {
        let mut known = self.queues.lock();
        *known = queues;
        let mut admission = self.admission.lock();
        let Users { all, anyone } = &*admission.users;
        let users = all.iter().zip(&self.config.users);
        let users = users.map(|(user, config)| User {
            queues: queues_of(config, &known),
            ..user.clone()
        });
        admission.users = Arc::new(Users {
            all: users.collect(),
            anyone: *anyone,
        });
    }

    fn has_files(&self) -> bool {
        let mut users = self.config.users.iter();
        self.config.tls.is_some() || users.any(|user| user.password_file.is_some())
    }

    /// What decides about a client that connects now.
    ///
    /// # Cancel safety
    ///
    /// A read that has begun goes on, and its result is dropped.
    pub(crate) async fn now(&self) -> Admission {
        if self.has_files() && !self.is_stuck() {
            self.update(false).await;
        }
        self.admission.lock().clone()
    }

    fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// Reads the files, unless a read has begun since this was called. `even_if_stuck`: also if the last read did not end in time.
    async fn update(&self, even_if_stuck: bool) {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if state.read_at < asked && (even_if_stuck || !self.is_stuck()) {
            sleep_until(state.read_at + MIN_INTERVAL).await;
            self.read(&mut state).await;
        }
    }

    /// Reads the files again and again.
    pub(crate) async fn run(self: Arc<Self>) {
        if !self.has_files() {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(CHECK_INTERVAL).await;
            crash_point(CrashPoint::FilesLoop);
            self.update(true).await;
        }
    }

    async fn read(&self, state: &mut State) {
        state.read_at = Instant::now();
        let config = Arc::clone(&self.config);
        let read = self.reads.run(move || EndpointFiles::read(&config)).await;
        self.is_stuck.store(read.is_err(), Ordering::Relaxed);
        let read = read.and_then(|read| read.map_err(|problems| in_one_line(&problems)));
        let taken = read.and_then(|files| self.take(state, files));
        match taken {
            Ok(()) => state.problem = None,
            Err(why) => {
                if state.problem.as_ref() != Some(&why) {
                    warn!(
                        why,
                        "a file of users or TLS can't be used; clients connect as the files said before"
                    );
                }
                state.problem = Some(why);
            }
        }
    }

    fn take(&self, state: &mut State, files: EndpointFiles) -> Result<(), String> {
        if files == state.files {
            return Ok(());
        }
        let admission = admission(&self.config, &self.queues.lock(), &files);
        *self.admission.lock() = admission.map_err(|problem| problem.to_string())?;
        let changed = files.changes_since(&state.files).join(", ");
        info!(
            changed,
            "files of users or TLS have changed; clients that connect from now on need what they say"
        );
        state.files = files;
        Ok(())
    }
}

fn admission(
    config: &EndpointConfig,
    queues: &[TaskQueue],
    files: &EndpointFiles,
) -> Result<Admission, Problem> {
    let tls = files.tls.as_ref().map(tls::acceptor).transpose()?;
    let users = Arc::new(users(config, &files.passwords, queues));
    Ok(Admission { users, tls })
}

fn users(
    config: &EndpointConfig,
    passwords: &[Option<UserPassword>],
    queues: &[TaskQueue],
) -> Users {
    let users = config.users.iter().zip(passwords);
    let users = users.map(|(user, password)| User {
        name: user.name.clone(),
        password: password.as_ref().map(|password| password.0.clone()),
        certificate_name: user.certificate_name.clone(),
        queues: queues_of(user, queues),
        parked: user.parked,
    });
    Users {
        all: users.collect(),
        anyone: config.users.is_empty(),
    }
}

/// The queues of a user's routes; `None` for all queues.
fn queues_of(user: &UserConfig, queues: &[TaskQueue]) -> Option<Arc<BTreeSet<Name>>> {
    let routes = user.routes.as_ref()?;
    let queues = queues.iter().filter(|queue| routes.contains(&queue.route));
    Some(Arc::new(
        queues.map(|queue| queue.name.as_str().into()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::endpoint::{UserConfig, settings::TlsConfig, users::Login};
    use futures_util::future::{join, join_all};
    use std::{path::Path, sync::mpsc};
    use tempfile::TempDir;
    use tokio::time::timeout;

    /// A folder with the files, and the settings that name them.
    fn place() -> (TempDir, EndpointConfig) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let config: crate::config::Config =
            "[[routes]]\nname = \"r\"\nqueue = \"q\"\nswf = { domain = \"d\", task_list = \"l\" }\n"
                .parse()
                .expect("valid");
        let crate::broker::BrokerConfig::Endpoint(mut config) = config.broker else {
            panic!("there is no address");
        };
        config.tls = Some(TlsConfig {
            cert_file: path("cert"),
            key_file: path("key"),
            client_ca_file: None,
        });
        config.users = vec![UserConfig {
            name: "worker".to_owned(),
            password_file: Some(path("password")),
            certificate_name: None,
            routes: None,
            parked: false,
        }];
        (folder, config)
    }

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("writable");
    }

    /// Writes another pair, and returns its key.
    fn write_pair(folder: &Path) -> String {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let pair = pair.expect("a certificate");
        write(folder, "cert", &pair.cert.pem());
        let key = pair.signing_key.serialize_pem();
        write(folder, "key", &key);
        key
    }

    fn admits(admission: &Admission, password: &str) -> bool {
        let login = Login {
            users: Arc::clone(&admission.users),
            certificate: None,
        };
        let response = format!("\0worker\0{password}");
        login.check("PLAIN", response.as_bytes()).is_ok()
    }

    fn files(config: &EndpointConfig) -> AdmissionFiles {
        let read = EndpointFiles::read(config).expect("readable");
        AdmissionFiles::new(config, Vec::new(), read)
            .map_err(|problem| problem.to_string())
            .expect("usable")
    }

    #[tokio::test]
    async fn the_next_client_needs_what_the_files_say_now() {
        let (folder, config) = place();
        let folder = folder.path();
        write(folder, "password", "old\n");
        write_pair(folder);
        let admissions = files(&config);
        let first = admissions.now().await;
        assert!(admits(&first, "old") && !admits(&first, "new"));
        write(folder, "password", "new\n");
        let second = admissions.now().await;
        assert!(!admits(&second, "old") && admits(&second, "new"));
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_leave_what_they_said_before() {
        let (folder, config) = place();
        let folder = folder.path();
        write(folder, "password", "old\n");
        write_pair(folder);
        let admissions = files(&config);
        // A rotation that is half done: a password is there, and the certificate has no key yet.
        let old_key = std::fs::read_to_string(folder.join("key")).expect("a key");
        let new_key = write_pair(folder);
        write(folder, "key", &old_key);
        write(folder, "password", "new\n");
        assert!(admits(&admissions.now().await, "old"));
        let problem = admissions.state.lock().await.problem.clone();
        let problem = problem.expect("a problem");
        assert!(problem.starts_with("amqp.tls.key_file: "), "{problem}");
        std::fs::remove_file(folder.join("password")).expect("removed");
        assert!(admits(&admissions.now().await, "old"));
        write(folder, "key", &new_key);
        write(folder, "password", "new\n");
        assert!(admits(&admissions.now().await, "new"));
        assert_eq!(admissions.state.lock().await.problem, None);
    }

    #[tokio::test]
    async fn while_a_disk_hangs_clients_connect_as_the_files_said_before() {
        let (folder, config) = place();
        write(folder.path(), "password", "old\n");
        write_pair(folder.path());
        let admissions = files(&config);
        let (goes_on, waits) = mpsc::channel::<()>();
        let hung = admissions.reads.run(move || waits.recv().is_ok());
        let clients = async {
            // The first one waits until the read has taken too long.
            assert!(admits(&admissions.now().await, "old"));
            assert!(admissions.is_stuck());
            let reading = admissions.state.lock().await;
            let next = timeout(Duration::from_secs(30), admissions.now()).await;
            assert!(admits(&next.expect("it waits for no read"), "old"));
            drop(reading);
        };
        let (ended, ()) = join(hung, clients).await;
        assert!(ended.is_err(), "it hung");
        write(folder.path(), "password", "new\n");
        goes_on.send(()).expect("it waits");
        admissions.update(true).await;
        assert!(!admissions.is_stuck());
        assert!(admits(&admissions.now().await, "new"));
    }

    #[tokio::test]
    async fn clients_that_connect_at_once_wait_for_few_reads() {
        let (folder, config) = place();
        write(folder.path(), "password", "old\n");
        write_pair(folder.path());
        let admissions = files(&config);
        // A read for each of them would take 100 s.
        let all = (0..1_000).map(|_| admissions.now());
        let all = timeout(Duration::from_secs(30), join_all(all)).await;
        assert_eq!(all.map(|all| all.len()).ok(), Some(1_000));
    }
}
