//! The command line: parses the arguments, loads the configuration, runs one command, and maps its result to an exit
//! code. The commands themselves are in the library.

use activity_bridge::{
    app,
    cli::{check, tasks},
    config::{Config, DEFAULT_PATH},
    process::core_dumps,
    telemetry,
    util::log_queue,
};
use clap::{Args, Parser, Subcommand};
use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Hands activity tasks of Amazon SWF and AWS Step Functions to workers in any language over AMQP, and brings
/// their replies back.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the bridge until SIGTERM, SIGINT, SIGQUIT or SIGHUP, then drain and end
    ///
    /// AWS credentials, region and endpoints come from the usual AWS chain and variables. Every setting outside the
    /// routes can be overridden by the environment: ACTIVITY_BRIDGE_ADMIN__LISTEN sets admin.listen.
    ///
    /// Exit codes: 0 everything in flight was settled, or is kept in the token store; 1 it could not start, or the grace
    /// period ended with tasks that no other process will know, or a part of it broke, which is a bug; 78 the configuration is wrong; 130 ended at once by a second signal.
    Run(Configured),
    /// Check a configuration, and with --online everything that it names
    ///
    /// Exit codes: 0 all is well; 1 something named in the configuration does not work; 78 the configuration is wrong.
    Check {
        #[command(flatten)]
        configured: Configured,
        /// Also reach the token store, AWS and the broker, and print what works and what does not
        #[arg(long)]
        online: bool,
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
        /// Print JSON for machines, as /tasks on the admin address does
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Configured {
    /// The configuration: a TOML file, or a folder whose files *.toml are read in the order of their names
    ///
    /// May be given several times. Where files say different things, the last one counts. Lists of tables, such as the
    /// routes, are joined.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    config: Vec<PathBuf>,
}

/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let _last_lines = telemetry::LastLines;
    execute(Cli::parse().command)
}

/// Writes to stderr why the program ends, after what the log says. If stderr can't be written, the exit code still tells it.
fn complain(why: &dyn Display) {
    let line = format!("activity-bridge: {why}\n");
    if !log_queue::say(&line) {
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

fn execute(command: Command) -> ExitCode {
    let (Command::Run(configured)
    | Command::Check { configured, .. }
    | Command::Tasks { configured, .. }) = &command;
    let config = match Config::load(&configured.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    // This comes before anything that can fail, because the log tells it.
    if let Command::Run(_) = command {
        telemetry::start(config.log);
    }
    let forbidden = match config.core_dumps {
        true => Ok(()),
        false => core_dumps::forbid(),
    };
    // The bridge mostly waits. More threads would make each task more expensive. Work that blocks, on the disk, has its
    // own threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let json_log = config.log.json && matches!(command, Command::Run(_));
    let ended = match (runtime, command) {
        (Err(error), _) => Err(error.into()),
        (Ok(runtime), Command::Run(_)) => {
            if let Err(error) = forbidden {
                tracing::warn!(%error, "core dumps could not be switched off");
            }
            let ended = runtime.block_on(app::run(config));
            // A name look-up may hang, so this does not wait for it.
            runtime.shutdown_background();
            ended
        }
        (Ok(runtime), Command::Check { online, .. }) => {
            runtime.block_on(check::check(&config, online))
        }
        (Ok(runtime), Command::Tasks { json, .. }) => {
            runtime.block_on(tasks::print::print(&config, json))
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // The log's reader may understand only lines of JSON.
            match json_log {
                true => tracing::error!("activity-bridge could not start: {error:#}"),
                false => complain(&format_args!("{error:#}")),
            }
            ExitCode::FAILURE
        }
    }
}
