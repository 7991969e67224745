//! The name of this machine.

/// The name of this machine; in a pod, the name of the pod. It is empty where the system does not tell it.
#[must_use]
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
