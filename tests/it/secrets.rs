//! What the process leaves for others to read: the file of tokens, and dumps of its memory. The bridge is the broker.

use crate::harness::{BridgeProcess, File, HOLD, Route, World};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

const WARNING: &str = "the token store holds the tokens and inputs of tasks";

#[tokio::test]
async fn a_token_store_that_others_can_read_is_warned_of_and_a_new_one_is_not() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(File);
    let routes = [Route::new("payments")];
    let mut bridge = world.bridge(&routes).await;
    assert!(!bridge.log().contains(WARNING), "{}", bridge.log());
    assert!(bridge.terminate().await.success());

    let file = world.dir().join("tasks.redb");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("changed");
    let bridge = world.bridge(&routes).await;
    let line = bridge.logged(WARNING).await;
    assert!(
        line.contains("WARN") && line.contains("with mode 644"),
        "{line}"
    );
}

/// The soft and the hard limit on the size of core dumps.
fn limits(bridge: &BridgeProcess) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", bridge.pid())).expect("limits");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words = line.expect("a line").split_whitespace();
    words.take(2).map(str::to_owned).collect()
}

/// The starter lets the system write dumps as large as the hard limit.
#[tokio::test]
async fn core_dumps_are_off_unless_they_are_configured() {
    const ALLOWED: &str = "ulimit -S -c $(ulimit -H -c); exec \"$0\" \"$@\"";
    let world = World::of_the_endpoint(HOLD).await;
    let routes = [Route::new("payments")];
    let start = async |settings: &str| {
        let config = world.write_config(settings, &routes);
        BridgeProcess::start_by(&["sh", "-c", ALLOWED], &config, &world.sim.url()).await
    };
    let mut bridge = start("").await;
    assert_eq!(limits(&bridge), ["0", "0"]);
    assert!(bridge.terminate().await.success());

    let bridge = start("[process]\ncore_dumps = true").await;
    let [soft, hard] = &limits(&bridge)[..] else {
        panic!("two limits");
    };
    assert_eq!(soft, hard);
    assert_ne!(
        hard, "0",
        "this machine forbids core dumps, so the test shows nothing"
    );
}
