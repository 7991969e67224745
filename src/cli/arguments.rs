//! The command line: its arguments, and their help.

use super::{parked::arguments::ParkedCommand, tasks::filter::TaskFilter};
use crate::{admin::release::Target, config::DEFAULT_PATH};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Hands activity tasks of Amazon SWF and AWS Step Functions to workers in any language over AMQP, and brings
/// their replies back.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: AnyCommand,
}

/// Any command.
#[derive(Subcommand)]
pub enum AnyCommand {
    /// One for a bridge that is configured.
    #[command(flatten)]
    Bridge(Command),
    /// Print the effective configuration, or the schema that editors complete a configuration from
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// The commands for a bridge that is configured.
#[derive(Subcommand)]
pub enum Command {
    /// Run the bridge until SIGTERM, SIGINT or SIGQUIT, then drain and end
    ///
    /// SIGHUP reloads the configuration, as `activity-bridge reload` does.
    ///
    /// AWS credentials, region and endpoints come from the usual AWS chain and variables. Every setting outside the
    /// routes can be overridden by the environment: ACTIVITY_BRIDGE_ADMIN__LISTEN sets admin.listen.
    ///
    /// Exit codes: 0 everything in flight was settled, or is kept in the token store; 1 it could not start, or the grace
    /// period ended with tasks that no other process will know, or a part of it broke, which is a bug; 78 the configuration is wrong; 130 ended at once by a second signal.
    Run {
        #[command(flatten)]
        configured: Configured,
        /// End as after SIGTERM once no task has come for SECS seconds and none was in flight, as a job or a script needs it
        ///
        /// The time counts while each route polls. It also counts when a route's workers have been there and have left. It does
        /// not count before the first worker has come, or while AWS, the broker or the token store does not answer or refuses.
        /// Then AWS holds the open polls for up to 60 s. A task that one brings must end within shutdown.grace_secs, as after SIGTERM.
        #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        until_idle: Option<u64>,
    },
    /// Check a configuration, and with --online everything that it names
    ///
    /// Each failure names the section of the documents that helps.
    ///
    /// Exit codes: 0 all is well; 1 something named in the configuration does not work; 78 the configuration is wrong.
    Check {
        #[command(flatten)]
        configured: Configured,
        /// Also reach the token store, AWS and the broker, and print what works and what does not
        #[arg(long)]
        online: bool,
        /// Try again until all checks pass, for at most SECS seconds, as an init container or a script needs it
        ///
        /// Says on standard error what it waits for, and prints the results once.
        #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        wait: Option<u64>,
        /// Let notes fail too
        #[arg(long)]
        strict: bool,
        /// Print JSON for machines: passed, and rows, each with what, mark, words and see
        #[arg(long)]
        json: bool,
    },
    /// Ask the running bridge whether it has started, for the health check of a container
    ///
    /// Asks on its admin address, and prints one line. Once the bridge has started, it stays so: if AWS or the broker is away
    /// later, a new process would wait for them too.
    ///
    /// Exit codes: 0 it has started, with --ready it is ready; 1 it has not, or it did not answer in time; 78 the configuration is wrong.
    Health {
        #[command(flatten)]
        configured: Configured,
        /// Ask whether it is ready: the broker, the token store and each route work
        #[arg(long)]
        ready: bool,
    },
    /// List the tasks in flight: id, route, state, age, last heartbeat, owner
    ///
    /// Asks the running bridge on its admin address, for the tasks of its routes. Where none runs, the store `file` is read
    /// instead; the store `redis` is always read, for the tasks of all replicas.
    ///
    /// Exit codes: 0 the list is complete; 1 it could not be told, or some records could not be read; 78 the configuration is wrong.
    Tasks {
        #[command(flatten)]
        configured: Configured,
        #[command(flatten)]
        filter: TaskFilter,
        /// Print JSON for machines, as /tasks on the admin address does
        #[arg(long)]
        json: bool,
    },
    /// Show the status page of the running bridge in the terminal: routes, tasks, rates, broker, store, warnings
    ///
    /// It ends with q or Ctrl-C. Where the output is no terminal, each look is printed below the one before, in plain text.
    ///
    /// Asks the running bridge on its admin address, or on admin.socket where that is set.
    ///
    /// Exit codes: 0 a person ended it, or it printed once; 1 no bridge answered; 78 the configuration is wrong.
    Top {
        #[command(flatten)]
        configured: Configured,
        /// Print once and end. It takes a second, from which the rates are
        #[arg(long)]
        once: bool,
        /// The time between two looks
        #[arg(long, value_name = "SECS", default_value = "2", value_parser = clap::value_parser!(u64).range(1..=3_600), conflicts_with = "once")]
        interval: u64,
    },
    /// Publish tasks again that wait for a worker, or fail them back to AWS
    ///
    /// For tasks whose messages are lost: somebody purged a queue of RabbitMQ, which the bridge can't see. Look first whether the queue
    /// is empty, and whether a worker has the tasks. A task that was not lost is in its queue twice afterwards, with the same id. Two
    /// workers may work on it; AWS takes the outcome of the first.
    ///
    /// Only tasks that no worker has begun are released. One whose worker has sent "started" or "heartbeat" is left alone, because
    /// that worker may still answer. A worker that has sent neither is not known: its task waits, as far as the bridge can tell.
    ///
    /// Where the bridge is the broker, it loses no message while it runs. So it publishes none again, and says which tasks are in
    /// their queue. With --fail it takes them out.
    ///
    /// Asks the running bridge on its local socket, as the bridge's user or as root. Without admin.socket it is a name made of
    /// admin.listen, on Linux. With the store `redis` each process releases its own tasks.
    ///
    /// Exit codes: 0 all of it is done; 1 something is left to be done, which is printed, or the bridge could not be asked, or it refused;
    /// 78 the configuration is wrong.
    #[command(after_help = RELEASE_EXAMPLES)]
    Release {
        #[command(flatten)]
        configured: Configured,
        #[command(flatten)]
        named: Named,
        /// Fail the tasks back to AWS, with the error ActivityBridge.FailedByOperator, instead of publishing them again
        #[arg(long)]
        fail: bool,
        /// What the workflow reads as the reason of the failure
        #[arg(long, value_name = "TEXT", requires = "fail")]
        reason: Option<String>,
        /// Print JSON for machines: owner, store and tasks, each with id, short_id, route and result
        #[arg(long)]
        json: bool,
    },
    /// Fail one task back to AWS, whether a worker has begun it or not
    ///
    /// The workflow reads the error ActivityBridge.FailedByOperator and the reason. The worker is told that the task is gone, once AWS
    /// has the failure. What the worker says afterwards is late. If AWS is away, the bridge goes on, and keeps it in the token store.
    ///
    /// Asks the running bridge on its local socket, as the bridge's user or as root. With the store `redis` each process fails its own
    /// tasks.
    ///
    /// Exit codes: 0 AWS has the failure, or the task has ended; 1 its outcome is on its way to AWS, or the bridge could not be asked, or it
    /// refused; 78 the configuration is wrong.
    Fail {
        #[command(flatten)]
        configured: Configured,
        /// The id of the task, or the first 8 digits of it or more, as the log shows them
        id: String,
        /// What the workflow reads as the reason of the failure
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Print JSON for machines, as `release` does
        #[arg(long)]
        json: bool,
    },
    /// List, show, replay or delete what the bridge has parked because it could not be used
    ///
    /// Asks the running bridge on its local socket, as the bridge's user or as root. It reads the first 1,000 messages at most.
    ///
    /// Exit codes: 0 all of it is done; 1 something stays parked that was to be replayed or dropped, or there is no such message, or the
    /// bridge could not be asked, or it refused; 78 the configuration is wrong.
    Parked {
        #[command(flatten)]
        configured: Configured,
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// Let one route take no more tasks
    ///
    /// The route's tasks in flight go on. A poll that is open may still bring a task. The bridge stays ready. `resume` with the route's name
    /// ends the pause, and so does a restart of the bridge: a pause is kept nowhere. With several processes each is paused alone.
    ///
    /// Exit codes: 0 the route is paused; 1 the bridge could not be asked, or it refused; 78 the configuration is wrong.
    Pause {
        #[command(flatten)]
        configured: Configured,
        /// The name of the route
        route: String,
    },
    /// Let the running bridge take no more tasks, and wait until nothing is in flight
    ///
    /// The bridge goes on with the tasks in flight, and does not end. SIGTERM then ends it at once, and `resume` lets it take
    /// tasks again. It is made for the preStop hook of a container. For how long it waits: shutdown.grace_secs, less a fifth of it
    /// (10 s at most). The grace period of a SIGTERM that follows begins with the drain.
    ///
    /// Asks the running bridge on its local socket, as the bridge's user or as root. Without admin.socket it is a name made of
    /// admin.listen, on Linux.
    ///
    /// Exit codes: 0 nothing is in flight; 1 something still is, which is printed, or the bridge could not be asked, or somebody took the
    /// drain back; 78 the configuration is wrong.
    Drain(Configured),
    /// Let a drained bridge, or a paused route, take tasks again
    ///
    /// Without a route it takes a drain back. Routes that are paused stay so.
    ///
    /// Exit codes: 0 the bridge, or the route, takes tasks; 1 the bridge could not be asked, or it is ending, or it refused; 78 the configuration
    /// is wrong.
    Resume {
        #[command(flatten)]
        configured: Configured,
        /// The name of the paused route
        route: Option<String>,
    },
    /// Let the running bridge read its configuration again, and print what has changed
    ///
    /// The bridge reads the files with which it was started. Routes are added, changed and removed, and the log gets its level. Tasks in
    /// flight are not touched: each keeps the settings of its route at the time of its poll. A removed route ends with its last task. What
    /// needs a restart is printed. A configuration with a problem changes nothing.
    ///
    /// Asks the running bridge on its local socket, as the bridge's user or as root. Without admin.socket it is a name made of
    /// admin.listen, on Linux. SIGHUP does the same, and only the log tells how it ended.
    ///
    /// Exit codes: 0 the configuration is in use, but for what needs a restart; 1 the bridge could not be asked, or it is starting, draining or
    /// ending; 78 the configuration is wrong, and the one before stays in use.
    Reload(Configured),
}

/// The commands of `config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print each setting, and whether it comes from a file, from the environment or is a default
    ///
    /// Prints TOML that can be read again. Defaults are comments. Passwords are printed as ***, and so are paths of secret files where
    /// there is no such file.
    ///
    /// Exit codes: 0 printed; 1 standard output could not be written; 78 the configuration is wrong.
    Print {
        #[command(flatten)]
        configured: Configured,
        /// Print JSON for machines: settings, each with key, value, source, and file and line or variable
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a configuration file
    ///
    /// An editor that knows it completes keys, shows what they are for, and marks mistakes. It is for one file. What concerns several
    /// keys, `activity-bridge check` says.
    Schema,
}

/// The tasks that a person names.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Named {
    /// All tasks of this route that wait for a worker
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// The task with this id, or whose id begins with these 8 digits or more, as the log shows them
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
}

const RELEASE_EXAMPLES: &str = "\
Examples:
  activity-bridge tasks   --config bridge.toml
  activity-bridge release --config bridge.toml --route payments
  activity-bridge release --config bridge.toml --task 0f8e1c7b --fail --reason \"purged by mistake\"";

/// Where the configuration is.
#[derive(Args)]
pub struct Configured {
    /// The configuration: a TOML file, or a folder whose files *.toml are read in the order of their names
    ///
    /// May be given several times. Where files say different things, the last one counts. Lists of tables, such as the
    /// routes, are joined.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH, global = true)]
    pub config: Vec<PathBuf>,
}

impl Named {
    /// What the arguments name. One of them is there, which the parser sees to.
    #[must_use]
    pub fn target(self) -> Target {
        match (self.route, self.task) {
            (Some(route), _) => Target::Route(route),
            (None, task) => Target::Task(task.unwrap_or_default()),
        }
    }
}
