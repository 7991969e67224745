//! The local socket of the admin endpoint: a Unix socket that only this user can connect to.

use super::{
    caller::Caller,
    settings::{AdminConfig, SocketName},
};
use crate::util::database_file::folder;
use anyhow::{Context, anyhow, bail};
use rustix::process::geteuid;
use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tracing::warn;

/// Timeout for finding out whether a process listens on a socket that is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who may write to a folder besides its owner: its group, and others.
const WRITE_OF_OTHERS: u32 = 0o022;

/// The socket.
#[derive(Debug)]
pub struct LocalSocket {
    pub(super) listener: UnixListener,
    pub(super) name: SocketName,
    _path: Option<SocketPath>,
}

/// The path of the socket, which is removed when this is dropped.
#[derive(Debug)]
struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Opens the local socket of these settings; `None` if there is none. A socket whose path is set must work. If another process has
/// the name that is used otherwise, the bridge works without a socket.
///
/// # Errors
///
/// See [`bind`].
pub async fn open(settings: &AdminConfig) -> anyhow::Result<Option<LocalSocket>> {
    match settings.local_socket() {
        Some(SocketName::Path(path)) => Ok(Some(bind(&path).await?)),
        Some(name @ SocketName::Abstract(_)) => {
            let bound = UnixListener::bind(name.to_path());
            let unusable = |error: &io::Error| {
                warn!(
                    socket = %name, %error,
                    "there is no local socket, so activity-bridge drain, resume, reload, pause, release, fail and parked do not work; set admin.socket"
                );
            };
            let listener = bound.inspect_err(unusable).ok();
            Ok(listener.map(|listener| LocalSocket {
                listener,
                name: name.clone(),
                _path: None,
            }))
        }
        None => Ok(None),
    }
}

/// Connects to the local socket of a bridge.
///
/// # Errors
///
/// If nobody listens. If it has no path, and a process of another user or of another container listens: only a path keeps them from
/// that.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path).await?;
    let is_trusted = || geteuid().is_root() || Caller::on_socket(&stream).may_know_ids;
    let has_path = stream.peer_addr()?.as_pathname().is_some();
    match has_path || is_trusted() {
        true => Ok(stream),
        false => Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "a process of another user, or of another container, listens there",
        )),
    }
}

/// Listens on this path. Makes the folder, for this user alone, if it is missing. Replaces a socket that a process left that
/// was killed.
///
/// # Errors
///
/// If others can write to the folder: they could put a socket of their own in its place. If another process listens. If the
/// system refuses.
pub async fn bind(path: &Path) -> anyhow::Result<LocalSocket> {
    let bound = try_bind(path).await;
    bound.with_context(|| format!("admin.socket = {path:?} can't be used"))
}

async fn try_bind(path: &Path) -> anyhow::Result<LocalSocket> {
    let folder = folder(path);
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let folder = folder.display();
            return Err(anyhow!(error).context(format!("the folder {folder} can't be made")));
        }
        Ok(()) | Err(_) => {}
    }
    let found = fs::metadata(folder)?;
    if found.uid() != geteuid().as_raw() || found.mode() & WRITE_OF_OTHERS != 0 {
        bail!(
            "others can write to the folder {}; use one that belongs to the bridge's user and that nobody else can write (chmod 700)",
            folder.display()
        );
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_unused(path).await?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    let socket = LocalSocket {
        listener,
        name: SocketName::Path(path.to_owned()),
        _path: Some(SocketPath(path.to_owned())),
    };
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Removes a socket that no process listens on.
async fn remove_unused(path: &Path) -> anyhow::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        bail!("there is something else than a socket");
    }
    let refused = |error: &io::Error| error.kind() == ErrorKind::ConnectionRefused;
    match timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(error)) if refused(&error) => Ok(fs::remove_file(path)?),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(_)) | Err(_) => bail!("another process listens on it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::tempdir;

    #[tokio::test]
    async fn the_socket_and_its_folder_are_for_this_user_alone_and_it_leaves_with_its_process() {
        let dir = tempdir().expect("a folder");
        let path = dir.path().join("run/admin.sock");
        let socket = bind(&path).await.expect("bound");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(folder(&path)), 0o700);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_is_refused() {
        for mode in [0o770, 0o702, 0o777, 0o1777] {
            let dir = tempdir().expect("a folder");
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("a mode");
            let path = dir.path().join("admin.sock");
            let error = bind(&path).await.expect_err("others can write to it");
            let said = format!("{error:#}");
            assert!(said.contains("others can write to the folder"), "{said}");
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
        let dir = tempdir().expect("a folder");
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "as a process leaves it that is killed");
        let _first = bind(&path).await.expect("nobody listens on it");
        let error = bind(&path).await.expect_err("the first one listens");
        let said = format!("{error:#}");
        assert!(said.contains("another process listens on it"), "{said}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn without_a_path_the_socket_needs_no_folder_and_ends_with_its_process() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let settings = AdminConfig {
            listen: free.local_addr().expect("an address"),
            socket: None,
        };
        let name = settings.local_socket().expect("a name").to_path();
        assert!(connect(&name).await.is_err(), "nobody listens");
        let socket = open(&settings).await.expect("no error").expect("a socket");
        let (here, there) = tokio::join!(connect(&name), socket.listener.accept());
        here.expect("connected");
        let (stream, _) = there.expect("accepted");
        assert!(Caller::on_socket(&stream).may_know_ids, "it is this user");
        let second = open(&settings).await.expect("no error");
        assert!(second.is_none(), "the first one has the name");
        drop(socket);
        assert!(open(&settings).await.expect("no error").is_some());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempdir().expect("a folder");
        let path = dir.path().join("notes.txt");
        fs::write(&path, "precious").expect("written");
        assert!(bind(&path).await.is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }
}
