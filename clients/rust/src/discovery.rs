//! How a client finds the gateway of its machine: by the environment, or by the small file that each server writes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::error::{Error, Reason, Result};

/// Names the gateway: `unix:PATH` or `HOST:PORT`.
pub const TARGET_VARIABLE: &str = "FLOWSPAN_TARGET";
/// The token for it.
pub const TOKEN_VARIABLE: &str = "FLOWSPAN_TOKEN";

const MAX_FILE_BYTES: u64 = 65_536;

/// Where a gateway listens.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The nearest way in: `unix:PATH` or `HOST:PORT`.
    pub target: String,
    /// Its process.
    pub pid: i32,
    /// None where it wants none.
    #[serde(default)]
    pub token: Option<String>,
    /// All ways in.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The configuration that it serves, if there is a file.
    #[serde(default)]
    pub config: Option<PathBuf>,
}

/// The newest announced server of this user whose process is alive. `address`: only one that listens there.
pub fn find_server(address: Option<&str>) -> Option<ServerInfo> {
    find_server_in(&runtime_directory(|name| std::env::var(name).ok()), address)
}

/// Where to connect and with which token, for those who do not say it themselves.
pub(crate) fn find_target(target: Option<String>, token: Option<String>) -> Result<(String, Option<String>)> {
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let token = token.or_else(|| set(TOKEN_VARIABLE));
    if let Some(target) = target.or_else(|| set(TARGET_VARIABLE)) {
        let token = token.or_else(|| find_server(Some(&target)).and_then(|server| server.token));
        return Ok((target, token));
    }
    match find_server(None) {
        Some(server) => Ok((server.target, token.or(server.token))),
        None => Err(Error::new(
            Reason::Unavailable,
            format!("no gateway was found: start one with `flowspan serve`, or set {TARGET_VARIABLE}"),
        )),
    }
}

fn runtime_directory(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    if let Some(runtime) = absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir()) {
        return runtime.join("flowspan");
    }
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return state.join("flowspan");
    }
    match absolute("HOME").filter(|home| sys::is_writable(home)) {
        Some(home) => home.join(".local/state/flowspan"),
        None => std::env::temp_dir().join(format!("flowspan-{}", sys::user_id())),
    }
}

fn find_server_in(directory: &Path, address: Option<&str>) -> Option<ServerInfo> {
    let servers = directory.join("servers");
    for part in [directory, &servers] {
        if !is_owned(&fs::metadata(part).ok()?) {
            return None;
        }
    }
    let listed = fs::read_dir(servers).ok()?;
    let paths = listed.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let found = paths.filter_map(|path| read_server(&path)).filter(|(_, server)| match address {
        None => true,
        Some(address) => server.addresses.iter().any(|other| same_place(other) == same_place(address)),
    });
    found.max_by_key(|(written, _)| *written).map(|(_, server)| server)
}

/// Age and content of a server file, if it can be believed and its server is alive.
fn read_server(path: &Path) -> Option<(SystemTime, ServerInfo)> {
    // Looked at through the descriptor, so that what was checked is what is read.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let facts = file.metadata().ok()?;
    if !facts.is_file() || !is_owned(&facts) {
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).ok()?;
    let server: ServerInfo = serde_json::from_slice(&text).ok()?;
    (server.pid > 0 && sys::is_alive(server.pid)).then_some((facts.modified().ok()?, server))
}

/// Whether only this user can have written it.
fn is_owned(facts: &fs::Metadata) -> bool {
    facts.uid() == sys::user_id() && facts.mode() & 0o077 == 0
}

fn same_place(address: &str) -> String {
    address.strip_prefix("localhost:").map_or_else(|| address.to_owned(), |port| format!("127.0.0.1:{port}"))
}

#[allow(unsafe_code)]
mod sys {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    pub(super) fn user_id() -> u32 {
        // SAFETY: it takes nothing and cannot fail.
        unsafe { libc::getuid() }
    }

    /// A process of somebody else counts as gone: the number was given away again.
    pub(super) fn is_alive(pid: i32) -> bool {
        // SAFETY: signal 0 is only checked, never sent.
        unsafe { libc::kill(pid, 0) == 0 }
    }

    pub(super) fn is_writable(path: &Path) -> bool {
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
        // SAFETY: the text ends with NUL and outlives the call.
        unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory() -> PathBuf {
        let path = std::env::temp_dir().join(format!("flowspan-rust-{}", crate::retry::new_id()));
        let servers = path.join("servers");
        fs::create_dir_all(&servers).unwrap();
        for part in [&path, &servers] {
            fs::set_permissions(part, fs::Permissions::from_mode(0o700)).unwrap();
        }
        path
    }

    fn announce(directory: &Path, name: &str, text: &str, mode: u32) {
        let path = directory.join("servers").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_living_server_is_found_and_others_are_not_believed() {
        let path = directory();
        let own = std::process::id();
        announce(&path, "1.json", &format!(r#"{{"target":"unix:/x","pid":{own},"token":"t","addresses":["127.0.0.1:7"]}}"#), 0o600);
        announce(&path, "2.json", r#"{"target":"unix:/dead","pid":2147483646}"#, 0o600);
        announce(&path, "3.json", &format!(r#"{{"target":"unix:/open","pid":{own}}}"#), 0o644);
        announce(&path, "4.json", "nonsense", 0o600);
        let found = find_server_in(&path, None).unwrap();
        assert_eq!((found.target.as_str(), found.token.as_deref()), ("unix:/x", Some("t")));
        assert!(find_server_in(&path, Some("localhost:7")).is_some());
        assert!(find_server_in(&path, Some("localhost:8")).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(find_server_in(&path, None).is_none());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_directory_follows_the_environment() {
        let at = |pairs: &'static [(&str, &str)]| {
            runtime_directory(move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
        };
        assert_eq!(at(&[("XDG_RUNTIME_DIR", "/tmp"), ("XDG_STATE_HOME", "/s")]), Path::new("/tmp/flowspan"));
        assert_eq!(at(&[("XDG_RUNTIME_DIR", "relative"), ("XDG_STATE_HOME", "/s")]), Path::new("/s/flowspan"));
        assert_eq!(at(&[("HOME", "/tmp")]), Path::new("/tmp/.local/state/flowspan"));
    }
}
