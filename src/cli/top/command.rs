//! Asks the running bridge again and again, and shows its status.

use super::{
    screen::{self, Screen},
    text::{Line, Style},
    view::lines,
};
use crate::{
    admin::{AdminConfig, status::Status},
    cli::tasks::ask,
};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write, stdout},
    time::Duration,
};
use tokio::time::sleep;

/// The time between the two looks of `--once`, from which its rates are.
const ONCE_INTERVAL: Duration = Duration::from_secs(1);

/// Number of looks that a rate is taken over, so that single tasks don't make it jump.
const RATE_LOOKS: usize = 5;

/// Shows the status of the running bridge until a person ends it; with `once`, once. Where the output is no terminal, each look
/// is printed below the one before.
///
/// # Errors
///
/// If no bridge answers at the beginning, or if the output can't be written.
pub async fn top(admin: &AdminConfig, once: bool, interval: Duration) -> anyhow::Result<bool> {
    let first = ask(admin).await?;
    if once {
        sleep(ONCE_INTERVAL).await;
        let now = ask(admin).await?;
        print(&lines(Some(&first), &now))?;
        return Ok(true);
    }
    let looks = Looks(VecDeque::from([first]));
    if !screen::is_there() {
        return print_all(admin, looks, interval).await;
    }
    let screen = Screen::open()?;
    tokio::select! {
        ended = draw_all(admin, looks, interval, &screen) => ended,
        asked = screen.quit() => Ok(asked.map(|()| true)?),
    }
}

/// The last looks.
struct Looks(VecDeque<Status>);

impl Looks {
    fn lines(&self) -> Vec<Line> {
        let now = self.0.back();
        let earlier = self.0.front().filter(|_| self.0.len() > 1);
        now.map(|now| lines(earlier, now)).unwrap_or_default()
    }

    fn add(&mut self, status: Status) {
        if self.0.len() == RATE_LOOKS + 1 {
            self.0.pop_front();
        }
        // Another process counts from zero.
        let restarted = |last: &Status| last.uptime_secs >= status.uptime_secs;
        if self.0.back().is_some_and(restarted) {
            self.0.clear();
        }
        self.0.push_back(status);
    }
}

async fn print_all(
    admin: &AdminConfig,
    mut looks: Looks,
    interval: Duration,
) -> anyhow::Result<bool> {
    loop {
        let mut block = looks.lines();
        block.push(Line::default());
        if !print(&block)? {
            return Ok(true);
        }
        sleep(interval).await;
        looks.add(ask(admin).await?);
    }
}

async fn draw_all(
    admin: &AdminConfig,
    mut looks: Looks,
    interval: Duration,
    screen: &Screen,
) -> anyhow::Result<bool> {
    loop {
        screen.draw(&looks.lines())?;
        sleep(interval).await;
        while let Err(error) = ask(admin).await.map(|status| looks.add(status)) {
            let why = format!("no answer: {error:#}; trying again. The last answer:");
            let mut shown = vec![Line::default().with(Style::Bad, why)];
            shown.extend(looks.lines());
            screen.draw(&shown)?;
            sleep(interval).await;
        }
    }
}

async fn ask(admin: &AdminConfig) -> anyhow::Result<Status> {
    ask::answer(admin, "/status.json", "the status of a bridge").await
}

/// Prints the lines. False if the reader has closed the pipe, as `head` does.
fn print(lines: &[Line]) -> io::Result<bool> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.render(false, usize::MAX));
        text.push('\n');
    }
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}
