//! The command `top`: the status page in a terminal, or as plain text in a pipe.

use super::{Ended, NOBODY, ended};
use crate::harness::{Answer, Route, TEST_TIMEOUT, World, command, eventually};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

fn top(config: &Path, listen: &str, flags: &[&str]) -> Command {
    let mut command = command();
    command.args(["top", "--config"]).arg(config).args(flags);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    command
}

/// The cells of the line that begins with this word.
fn row<'o>(ended: &'o Ended, first: &str) -> Vec<&'o str> {
    let mut rows = ended
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = rows.find(|row| row.first() == Some(&first));
    found.unwrap_or_else(|| panic!("no {first} in\n{}", ended.out))
}

#[tokio::test]
async fn top_once_prints_the_routes_with_their_tasks_and_problems() {
    let world = World::new().await;
    let _worker = world
        .worker("payments", |_| vec![Answer::of("started", "")])
        .await;
    let routes = [
        Route::new("payments").with("max_in_flight = 7\npollers = { min = 1, max = 1 }"),
        Route::new("mail")
            .domain("nowhere")
            .with("poll_without_consumers = true"),
    ];
    let bridge = world.bridge(&routes).await;
    let config = world.write_config("", &routes);
    bridge.route_is("mail", "UnknownResourceFault").await;
    world.schedule("payments", 1);
    let shown = eventually("a look with the task and a poll", || async {
        let shown = ended(top(&config, bridge.admin_addr(), &["--once"])).await;
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        let row = row(&shown, "payments").join(" ");
        // Publishing, waiting, working, settling.
        (row.contains(" 0 0 1 0 ") && row.contains(" 2/7 ")).then_some(shown)
    })
    .await;
    assert!(shown.out.starts_with("activity-bridge "), "{}", shown.out);
    assert!(
        shown.out.contains("  not ready  running  up "),
        "{}",
        shown.out
    );
    assert_eq!(row(&shown, "payments")[1], "polling");
    assert_eq!(row(&shown, "mail")[1], "refused:");
    assert!(
        row(&shown, "tasks").join(" ").contains("1 in flight"),
        "{}",
        shown.out
    );
    for said in [
        "SWF: create the domain.",
        "AWS refuses to be polled for this route",
    ] {
        assert!(shown.out.contains(said), "no {said} in\n{}", shown.out);
    }
    assert!(!shown.out.contains('\x1b'), "colours in a pipe");
}

#[tokio::test]
async fn in_a_pipe_top_prints_on_until_its_reader_leaves() {
    let world = World::new().await;
    let routes = [Route::new("payments")];
    let bridge = world.bridge(&routes).await;
    let config = world.write_config("", &routes);
    let mut command = top(&config, bridge.admin_addr(), &["--interval", "1"]);
    let mut running = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("a pipe")).lines();
    let mut titles = 0;
    while titles < 3 {
        let line = timeout(TEST_TIMEOUT, lines.next_line())
            .await
            .expect("in time");
        let line = line.expect("readable").expect("it goes on");
        titles += usize::from(line.starts_with("activity-bridge "));
    }
    drop(lines);
    let status = timeout(TEST_TIMEOUT, running.wait())
        .await
        .expect("in time");
    assert!(status.expect("a status").success());
}

#[tokio::test]
async fn where_no_bridge_listens_top_says_so() {
    let world = World::new().await;
    let config = world.write_config("", &[Route::new("payments")]);
    let nobody = ended(top(&config, NOBODY, &[])).await;
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("no bridge listens at"),
        "{}",
        nobody.err
    );
}
