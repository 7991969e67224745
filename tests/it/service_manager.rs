//! What the bridge says to a service manager, such as systemd. The test is the service manager.

use crate::harness::{BridgeProcess, Route, TEST_TIMEOUT, World};
use tokio::{net::UnixDatagram, time::timeout};

/// The socket of a service manager, on which the bridge says how it is.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("bound");
        Self { socket, dir }
    }

    async fn start(&self, world: &World, more: &[(&str, &str)]) -> BridgeProcess {
        let config = world.write_config("", &[Route::new("payments")]);
        let path = self.dir.path().join("notify").display().to_string();
        let env = [&[("NOTIFY_SOCKET", path.as_str())], more].concat();
        BridgeProcess::start(&config, &world.sim.url(), &env).await
    }

    /// The next thing that is said but for signs of life.
    async fn other_than_life(&self) -> String {
        loop {
            let said = self.said().await;
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }

    /// The next thing that is said.
    async fn said(&self) -> String {
        let mut text = [0; 1_000];
        let said = timeout(TEST_TIMEOUT, self.socket.recv(&mut text)).await;
        let length = said.expect("something is said in time").expect("read");
        let said = std::str::from_utf8(&text[..length]).expect("UTF-8");
        said.trim_end().to_owned()
    }
}

#[tokio::test]
async fn the_service_manager_hears_of_the_start_of_life_and_of_the_end() {
    let (world, manager) = (World::new().await, Manager::new());
    let mut bridge = manager.start(&world, &[("WATCHDOG_USEC", "300000")]).await;
    assert_eq!(manager.said().await, "READY=1");
    assert_eq!(bridge.get("/livez").await.0, 200);
    for _ in 0..5 {
        assert_eq!(manager.said().await, "WATCHDOG=1");
    }
    bridge.signal("HUP");
    let reloading = manager.other_than_life().await;
    let (reloading, at) = reloading.split_once('\n').expect("two lines");
    assert_eq!(reloading, "RELOADING=1");
    assert!(at.starts_with("MONOTONIC_USEC="), "{at}");
    assert_eq!(manager.other_than_life().await, "READY=1");
    bridge.signal("TERM");
    assert_eq!(manager.other_than_life().await, "STOPPING=1");
    assert!(bridge.ended().await.success());
}

/// The signs of life come from the thread that does all the work. A process that is stopped has no such thread.
#[tokio::test]
async fn a_process_that_hangs_gives_no_sign_of_life() {
    let (world, manager) = (World::new().await, Manager::new());
    let bridge = manager.start(&world, &[("WATCHDOG_USEC", "300000")]).await;
    assert_eq!(manager.said().await, "READY=1");
    assert_eq!(manager.said().await, "WATCHDOG=1");
    bridge.signal("STOP");
    // What was said before the signal.
    let silence = std::time::Duration::from_secs(1);
    let mut text = [0; 1_000];
    let mut more = 0;
    while timeout(silence, manager.socket.recv(&mut text))
        .await
        .is_ok()
    {
        more += 1;
        assert!(more < 20, "a stopped process goes on");
    }
    bridge.signal("CONT");
    assert_eq!(manager.said().await, "WATCHDOG=1");
}

#[tokio::test]
async fn without_a_watchdog_no_signs_of_life_are_sent_and_without_a_socket_nothing() {
    let (world, manager) = (World::new().await, Manager::new());
    let mut bridge = manager.start(&world, &[]).await;
    assert_eq!(manager.said().await, "READY=1");
    bridge.signal("TERM");
    assert_eq!(manager.said().await, "STOPPING=1");
    assert!(bridge.ended().await.success());
    let mut alone = world.bridge(&[Route::new("payments")]).await;
    assert!(alone.terminate().await.success());
    assert!(!alone.log().contains("the service manager"));
}

#[tokio::test]
async fn a_loop_of_the_signs_of_life_that_panics_ends_the_process() {
    let (world, manager) = (World::new().await, Manager::new());
    let env = [
        ("WATCHDOG_USEC", "300000"),
        ("ACTIVITY_BRIDGE_PANIC_AT", "watchdog-loop:2"),
    ];
    let mut bridge = manager.start(&world, &env).await;
    assert_eq!(manager.said().await, "READY=1");
    assert_eq!(manager.said().await, "WATCHDOG=1");
    assert_eq!(bridge.ended().await.code(), Some(1));
    let line = bridge.logged("a loop panicked").await;
    let name = "the signs of life for the service manager";
    assert!(line.contains(&format!("{name:?}")), "{line}");
}
