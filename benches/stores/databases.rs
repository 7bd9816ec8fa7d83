//! Database servers with the settings they come with: what is committed is on the disk.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::daemon::{self, Daemon, Folder};

/// The user "nobody": PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// It is killed, and its folder removed, when it is dropped.
pub struct Server {
    daemon: Daemon,
    pub url: String,
    // Removed after the server is killed.
    folder: Folder,
}

impl Server {
    pub fn postgres() -> Option<Self> {
        let (program, install) = (daemon::find(&["postgres"])?, daemon::find(&["initdb"])?);
        let folder = Folder::new("bench-postgres");
        let data = folder.path().join("data");
        let mut init = as_nobody(&install, folder.path());
        init.arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C"]);
        run(&mut init);
        let port = daemon::free_port();
        let mut command = as_nobody(&program, folder.path());
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        let log = folder.path().join("log");
        let daemon = Daemon::start(&mut command, &log);
        // It listens before it is ready, and says so in its log.
        daemon::until("PostgreSQL", || {
            fs::read_to_string(&log)
                .unwrap_or_default()
                .contains("ready to accept connections")
        });
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Some(Self { daemon, url, folder })
    }

    pub fn mariadb() -> Option<Self> {
        let program = daemon::find(&["mariadbd", "mysqld"])?;
        let install = daemon::find(&["mariadb-install-db", "mysql_install_db"])?;
        let folder = Folder::new("bench-mariadb");
        let data = format!("--datadir={}", folder.path().join("data").display());
        let mut init = as_nobody(&install, folder.path());
        init.args(["--no-defaults", &data, "--auth-root-authentication-method=normal"]);
        run(&mut init);
        let port = daemon::free_port();
        let mut command = as_nobody(&program, folder.path());
        command
            .args(["--no-defaults", &data, "--bind-address=127.0.0.1"])
            .args([
                format!("--socket={}", folder.path().join("socket").display()),
                format!("--port={port}"),
            ]);
        let daemon = Daemon::start(&mut command, &folder.path().join("log"));
        daemon::until_listening(port);
        let url = format!("mysql://root@127.0.0.1:{port}/test");
        Some(Self { daemon, url, folder })
    }

    pub fn process(&self) -> u32 {
        self.daemon.id()
    }

    /// The file of a table, in which its indexes are.
    pub fn innodb_file(&self, table: &str) -> PathBuf {
        self.folder.path().join(format!("data/test/{table}.ibd"))
    }
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    // Only root may, and only root must.
    if chown(folder, Some(NOBODY), Some(NOBODY))
        .map_err(|_: io::Error| ())
        .is_ok()
    {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
