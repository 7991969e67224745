//! The metrics of the process itself, under the names that all programs use. They are read from the system with each scrape.
//!
//! The crate `prometheus` has a collector for them, which counts the processor's time in whole seconds. That is too coarse for a
//! process that takes little. What the system does not tell, as outside of Linux, has no series.

use prometheus::{
    Counter, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};
use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

/// The collector.
pub(super) struct Process {
    cpu: Counter,
    memory: IntGauge,
    open_files: IntGauge,
    max_files: IntGauge,
    started: IntGauge,
}

impl Process {
    /// The process counts as started now.
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let started = IntGauge::new(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(gauge(now.unwrap_or_default().as_secs()));
        Ok(Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Time of the processors that the process has used.",
            )?,
            memory: IntGauge::new(
                "process_resident_memory_bytes",
                "Memory of the process that is not swapped out.",
            )?,
            open_files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            max_files: IntGauge::new("process_max_fds", "The limit on open file descriptors.")?,
            started,
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [
            &self.memory,
            &self.open_files,
            &self.max_files,
            &self.started,
        ];
        let gauges = gauges.into_iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The clock never goes back, so neither does the counter.
        self.cpu.inc_by((cpu_seconds() - self.cpu.get()).max(0.0));
        let mut families = self.cpu.collect();
        for (family, value) in [
            (&self.memory, resident_bytes()),
            (&self.open_files, open_files()),
            (&self.max_files, getrlimit(Resource::Nofile).current),
        ] {
            if let Some(value) = value {
                family.set(gauge(value));
                families.extend(family.collect());
            }
        }
        families.extend(self.started.collect());
        families
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Linux answers such reads from memory.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn open_files() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the listing's own.
    u64::try_from(listed).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs::File, hint::black_box, process::Command};

    fn value(families: &[MetricFamily], name: &str) -> f64 {
        let family = families.iter().find(|family| family.name() == name);
        let series = &family.unwrap_or_else(|| panic!("no {name}")).get_metric()[0];
        series.get_counter().get_value() + series.get_gauge().get_value()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_tells_of_its_time_memory_and_descriptors() {
        let process = Process::new().expect("well-formed names");
        let before = process.collect();
        let mut sum = 0_u64;
        while cpu_seconds() < value(&before, "process_cpu_seconds_total") + 0.05 {
            sum = black_box(sum.wrapping_add(1));
        }
        let after = process.collect();
        let grown = |name| value(&after, name) - value(&before, name);
        assert!(grown("process_cpu_seconds_total") >= 0.05);
        assert!(value(&after, "process_max_fds") >= value(&after, "process_open_fds"));
        assert!(value(&after, "process_resident_memory_bytes") > 1e6);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let age = now.as_secs_f64() - value(&after, "process_start_time_seconds");
        assert!((0.0..60.0).contains(&age), "{age}");
    }

    /// Other tests of this process open and close files too, so it runs in a process of its own.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_open_descriptors_are_counted() {
        const ALONE: &str = "ACTIVITY_BRIDGE_TEST_ALONE";
        let this = concat!(module_path!(), "::the_open_descriptors_are_counted");
        if env::var_os(ALONE).is_none() {
            let (_, this) = this.split_once("::").expect("the crate and the test");
            let mut alone = Command::new(env::current_exe().expect("this program"));
            alone.args([this, "--exact", "--test-threads=1"]);
            let done = alone.env(ALONE, "1").output().expect("it runs");
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let process = Process::new().expect("well-formed names");
        let open = || value(&process.collect(), "process_open_fds");
        let before = open();
        let files = [(); 5].map(|()| File::open("/dev/null").expect("a file"));
        assert_eq!(open(), before + 5.0);
        drop(files);
        assert_eq!(open(), before);
    }
}
