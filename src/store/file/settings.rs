//! The settings of the store `file`.

use crate::settings::Reader;
use std::path::PathBuf;

/// Where the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The file; its folder must be there.
    pub path: PathBuf,
}

const DEFAULT_PATH: &str = "/var/lib/activity-bridge/tasks.redb";

pub(crate) fn read_file(store: &mut Reader<'_>) -> FileConfig {
    let path = store.text("path", |text| match text {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    FileConfig {
        path: path.unwrap_or_else(|| DEFAULT_PATH.into()),
    }
}
