//! Databases of the tests' own: PostgreSQL and MariaDB servers in a temporary folder, and SQLite files.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, Ordering::SeqCst},
    },
    thread,
};

use crate::daemon::{self, Daemon, Folder};

/// The user "nobody": PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Postgres,
    MariaDb,
}

/// A server. It is killed, and its folder removed, with the last test that uses it.
pub struct Server {
    kind: Kind,
    program: PathBuf,
    running: Mutex<Option<Daemon>>,
    pub port: u16,
    // Removed after the server is killed.
    folder: Folder,
}

impl Server {
    /// The one that tests running at the same time share.
    pub fn shared(kind: Kind) -> Option<Arc<Self>> {
        static SHARED: Mutex<[Weak<Server>; 2]> = Mutex::new([Weak::new(), Weak::new()]);
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let slot = &mut shared[usize::from(kind == Kind::MariaDb)];
        if let Some(server) = slot.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::new(kind)?);
        *slot = Arc::downgrade(&server);
        Some(server)
    }

    pub fn new(kind: Kind) -> Option<Self> {
        let (program, install) = match kind {
            Kind::Postgres => (daemon::find(&["postgres"])?, daemon::find(&["initdb"])?),
            Kind::MariaDb => (
                daemon::find(&["mariadbd", "mysqld"])?,
                daemon::find(&["mariadb-install-db", "mysql_install_db"])?,
            ),
        };
        let folder = Folder::new("sql");
        let data = folder.path().join("data");
        let mut command = as_nobody(&install, folder.path());
        match kind {
            Kind::Postgres => command.arg("-D").arg(&data).args([
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ]),
            Kind::MariaDb => command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", data.display()))
                // Each server that starts removes what it takes for its own temporary files.
                .arg(format!("--tmpdir={}", folder.path().display()))
                .args(["--auth-root-authentication-method=normal", "--skip-test-db"]),
        };
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let server = Self {
            kind,
            program,
            running: Mutex::new(None),
            port: daemon::free_port(),
            folder,
        };
        server.start();
        Some(server)
    }

    pub fn start(&self) {
        let mut running = self.running.lock().unwrap();
        // After kill -9 PostgreSQL does not start before the last of its children has noticed: so again and again.
        let mut begun = 0;
        daemon::until("the database", || {
            let up = running.as_mut().is_some_and(Daemon::is_running);
            if !up {
                begun = fs::metadata(self.log()).map_or(0, |log| log.len());
                *running = Some(Daemon::start(&mut self.command(), &self.log()));
            }
            up && self.answers(begun)
        });
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = as_nobody(&self.program, folder);
        let data = folder.join("data");
        // A killed process loses nothing that it has handed to the system, so the disk is not waited for.
        match self.kind {
            Kind::Postgres => command
                .arg("-D")
                .arg(data)
                .arg("-k")
                .arg(folder)
                .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
                .args([
                    "-c",
                    "fsync=off",
                    "-c",
                    "max_connections=300",
                    "-c",
                    "log_statement=all",
                ]),
            Kind::MariaDb => command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--tmpdir={}", folder.display()))
                .arg(format!("--socket={}", folder.join("socket").display()))
                .arg(format!("--pid-file={}", folder.join("pid").display()))
                .arg(format!("--port={}", self.port))
                .args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"])
                .args(["--max-connections=300", "--skip-name-resolve=0"]),
        };
        command
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn answers(&self, begun: u64) -> bool {
        if self.kind == Kind::MariaDb {
            return TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        }
        // It listens before it is ready, and says so in its log.
        let log = fs::read(self.log()).unwrap_or_default();
        let since = String::from_utf8_lossy(log.get(begun as usize..).unwrap_or_default());
        since.contains("ready to accept connections")
    }

    /// kill -9.
    pub fn kill(&self) {
        self.running.lock().unwrap().take().unwrap().kill();
    }

    /// The URL of the server, through another port if need be.
    pub fn url_at(&self, port: u16, database: &str) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@127.0.0.1:{port}/{database}"),
            Kind::MariaDb => format!("mysql://root@127.0.0.1:{port}/{database}"),
        }
    }

    /// A new database's name.
    pub async fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let system = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        // A name in Latin letters: text in it must not matter.
        let options = match self.kind {
            Kind::Postgres => "",
            Kind::MariaDb => " CHARACTER SET latin1",
        };
        let raw = Raw::connect(&self.url_at(self.port, system)).await;
        raw.run(&format!("CREATE DATABASE {name}{options}")).await;
        name
    }

    /// A new database's URL.
    pub async fn url(&self) -> String {
        self.url_at(self.port, &self.database().await)
    }
}

pub fn as_nobody(program: &Path, folder: &Path) -> Command {
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

/// Passes on what comes, unless it is told to be silent: then it keeps it.
pub struct Line {
    pub port: u16,
    pub silent: Arc<AtomicBool>,
    /// How many bytes came through, both ways.
    pub bytes: Arc<AtomicU64>,
}

impl Line {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            silent: Arc::default(),
            bytes: Arc::default(),
        };
        let (silent, passed) = (Arc::clone(&line.silent), Arc::clone(&line.bytes));
        // Ends with the process.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    let (silent, passed) = (Arc::clone(&silent), Arc::clone(&passed));
                    thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            // What came while it was silent is lost, and with it the connection.
                            if silent.load(SeqCst) {
                                continue;
                            }
                            passed.fetch_add(count as u64, SeqCst);
                            if to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        line
    }
}

/// The database itself, behind the store's back.
pub enum Raw {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlPool),
}

macro_rules! raw {
    ($raw:expr, $pool:ident => $step:expr) => {
        match $raw {
            #[cfg(feature = "sqlite")]
            Raw::Sqlite($pool) => $step,
            #[cfg(feature = "postgres")]
            Raw::Postgres($pool) => $step,
            #[cfg(feature = "mysql")]
            Raw::MySql($pool) => $step,
        }
    };
}

impl Raw {
    pub async fn connect(url: &str) -> Self {
        match url.split(':').next().unwrap() {
            #[cfg(feature = "sqlite")]
            "sqlite" => Self::Sqlite(sqlx::SqlitePool::connect(url).await.unwrap()),
            #[cfg(feature = "postgres")]
            "postgres" => Self::Postgres(sqlx::PgPool::connect(url).await.unwrap()),
            #[cfg(feature = "mysql")]
            "mysql" => Self::MySql(sqlx::MySqlPool::connect(url).await.unwrap()),
            other => panic!("{other}"),
        }
    }

    pub async fn run(&self, sql: &str) {
        raw!(self, pool => drop(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap()));
    }

    /// The same through one connection only.
    pub async fn alone(url: &str) -> Self {
        match url.split(':').next().unwrap() {
            #[cfg(feature = "postgres")]
            "postgres" => {
                let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
                Self::Postgres(options.connect(url).await.unwrap())
            }
            #[cfg(feature = "mysql")]
            "mysql" => {
                let options = sqlx::mysql::MySqlPoolOptions::new().max_connections(1);
                Self::MySql(options.connect(url).await.unwrap())
            }
            other => panic!("{other}"),
        }
    }

    /// Whether it could be run.
    pub async fn try_run(&self, sql: &str) -> bool {
        raw!(self, pool => sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.is_ok())
    }

    /// The first column of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        raw!(self, pool => sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await.unwrap())
    }
}
