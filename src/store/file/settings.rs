//! The settings of the store `file`.

use crate::settings::Reader;
use std::path::PathBuf;

/// The settings of the store `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The path of the file. Its folder must exist.
    pub path: PathBuf,
}

const DEFAULT_PATH: &str = "/var/lib/activity-bridge/tasks.redb";

pub(crate) fn read_file(store: &mut Reader<'_>) -> FileConfig {
    let help = "The file of the store file.";
    let path = store.text("path", help, |text| match text {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    FileConfig {
        path: path.or(DEFAULT_PATH.into()),
    }
}
