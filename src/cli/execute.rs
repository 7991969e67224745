//! Parses the arguments, loads the configuration, runs one command, and maps its result to an exit code.

use super::{
    arguments::{AnyCommand, Cli, Command, ConfigCommand},
    check, config, drain, health, parked, pause, release,
    reload::{self, Reload},
    tasks, top,
};
use crate::{
    admin::release::Target, app, config::Config, intake::release::Remedy, process::core_dumps,
    telemetry, util::log_queue,
};
use clap::Parser;
use futures_util::{FutureExt, future::LocalBoxFuture};
use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;

/// The program: from its arguments to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let _last_lines = telemetry::LastLines;
    match Cli::parse().command {
        AnyCommand::Bridge(command) => execute(command),
        AnyCommand::Config(command) => execute_config(command),
    }
}

/// Writes to stderr why the program ends, after what the log says. If stderr can't be written, the exit code still tells it.
fn complain(why: &dyn Display) {
    let line = format!("activity-bridge: {why}\n");
    if !log_queue::say(&line) {
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

fn execute_config(command: ConfigCommand) -> ExitCode {
    let printed = match command {
        ConfigCommand::Schema => config::schema::print(),
        ConfigCommand::Print { configured, json } => match Config::explained(&configured.config) {
            Ok((_, settings)) => config::print::print(&settings, json),
            Err(error) => {
                complain(&error);
                return ExitCode::from(EXIT_CONFIG);
            }
        },
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs a command to its end, on a runtime with one thread. The bridge mostly waits. More threads would make each task more expensive.
/// Work that blocks, on the disk, has its own threads.
fn finish<T>(work: LocalBoxFuture<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let ended = runtime.block_on(work);
    // A name look-up may hang, so this does not wait for it.
    runtime.shutdown_background();
    ended
}

/// Asks for a reload. The configuration may be wrong, so the bridge reads it.
fn reload(paths: &[PathBuf]) -> ExitCode {
    let admin = match Config::load_admin(paths) {
        Ok(admin) => admin,
        Err(error) => {
            complain(&error);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match finish(reload::reload(&admin).boxed_local()) {
        Ok(Reload::Done) => ExitCode::SUCCESS,
        Ok(Reload::Invalid(why)) => {
            complain(&why);
            ExitCode::from(EXIT_CONFIG)
        }
        Err(error) => {
            complain(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> ExitCode {
    let (Command::Run { configured, .. }
    | Command::Check { configured, .. }
    | Command::Health { configured, .. }
    | Command::Tasks { configured, .. }
    | Command::Top { configured, .. }
    | Command::Release { configured, .. }
    | Command::Fail { configured, .. }
    | Command::Parked { configured, .. }
    | Command::Pause { configured, .. }
    | Command::Drain(configured)
    | Command::Resume { configured, .. }
    | Command::Reload(configured)) = &command;
    if let Command::Reload(_) = command {
        return reload(&configured.config);
    }
    let config = match Config::load(&configured.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let runs = matches!(command, Command::Run { .. });
    // This comes before anything that can fail, because the log tells it.
    if runs {
        telemetry::start(config.log);
    }
    if !config.core_dumps
        && let Err(error) = core_dumps::forbid()
        && runs
    {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    let json_log = config.log.json && runs;
    match finish(work(command, config)) {
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

/// What a command does, and whether all of it could be done. It is on the heap, so the runtime is not compiled for each command.
fn work(command: Command, config: Config) -> LocalBoxFuture<'static, anyhow::Result<bool>> {
    match command {
        Command::Run {
            configured,
            until_idle,
        } => {
            let load = move || Config::load(&configured.config);
            app::run(config, load, until_idle.map(Duration::from_secs)).boxed_local()
        }
        Command::Check {
            online,
            wait,
            strict,
            json,
            ..
        } => {
            let options = check::command::Options {
                online,
                json,
                strict,
                wait: wait.map(Duration::from_secs),
            };
            async move { check::command::check(&config, options).await }.boxed_local()
        }
        Command::Health { ready, .. } => {
            async move { health::health(&config.admin, ready).await }.boxed_local()
        }
        Command::Tasks { filter, json, .. } => {
            async move { tasks::print::print(&config, &filter, json).await }.boxed_local()
        }
        Command::Top { once, interval, .. } => {
            let interval = Duration::from_secs(interval);
            async move { top::command::top(&config.admin, once, interval).await }.boxed_local()
        }
        Command::Release {
            named,
            fail,
            reason,
            json,
            ..
        } => release(config, named.target(), remedy(fail, reason), json),
        Command::Fail {
            id, reason, json, ..
        } => {
            let remedy = Remedy::End(format!("an operator failed it: {reason}"));
            release(config, Target::Task(id), remedy, json)
        }
        Command::Parked { command, .. } => {
            async move { parked::command::parked(&config, &command).await }.boxed_local()
        }
        Command::Pause { route, .. } => set_paused(config, route, true),
        Command::Resume {
            route: Some(route), ..
        } => set_paused(config, route, false),
        Command::Drain(_) => async move { drain::command::drain(&config).await }.boxed_local(),
        Command::Resume { .. } => {
            async move { drain::command::resume(&config).await }.boxed_local()
        }
        // See `execute`.
        Command::Reload(_) => async { Ok(true) }.boxed_local(),
    }
}

fn release(
    config: Config,
    target: Target,
    remedy: Remedy,
    json: bool,
) -> LocalBoxFuture<'static, anyhow::Result<bool>> {
    async move { release::command::release(&config, &target, remedy, json).await }.boxed_local()
}

fn remedy(fail: bool, reason: Option<String>) -> Remedy {
    const WHO: &str = "an operator failed it before a worker had begun";
    match (fail, reason) {
        (false, _) => Remedy::Publish,
        (true, None) => Remedy::Fail(WHO.to_owned()),
        (true, Some(reason)) => Remedy::Fail(format!("{WHO}: {reason}")),
    }
}

fn set_paused(
    config: Config,
    route: String,
    paused: bool,
) -> LocalBoxFuture<'static, anyhow::Result<bool>> {
    async move { pause::set_paused(&config, &route, paused).await }.boxed_local()
}
