//! An address that leads to one Redis server and then to another, and loses connections and
//! answers.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

/// Passes on what it hears. A clone is the same.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: AtomicU16,
    /// Answers are lost.
    deaf: AtomicBool,
    /// Answers are lost once this was sent.
    deaf_on: OnceLock<Vec<u8>>,
    /// The first command with this text waits.
    hold_on: Mutex<Option<Vec<u8>>>,
    held: Notify,
    go_on: Notify,
    cut: watch::Sender<u32>,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(Shared {
                server: AtomicU16::new(server),
                deaf: AtomicBool::new(false),
                deaf_on: OnceLock::new(),
                hold_on: Mutex::default(),
                held: Notify::new(),
                go_on: Notify::new(),
                cut: watch::channel(0).0,
            }),
        };
        let shared = proxy.shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = shared.server.load(Ordering::SeqCst);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    tokio::spawn(pass(client, server, shared.clone(), shared.cut.subscribe()));
                }
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// New connections lead there. Old ones stay.
    pub fn lead_to(&self, server: u16) {
        self.shared.server.store(server, Ordering::SeqCst);
    }

    /// From here on answers are lost, or not.
    pub fn deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Answers are lost once this text was sent, its own one included.
    pub fn deaf_on(&self, text: &str) {
        self.shared.deaf_on.set(text.as_bytes().to_vec()).unwrap();
    }

    /// The next command with this text waits for [`go_on`](Self::go_on).
    pub fn hold_on(&self, text: &str) {
        *self.shared.hold_on.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// Waits until it waits.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    pub fn go_on(&self) {
        self.shared.go_on.notify_one();
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }
}

async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>, mut cut: watch::Receiver<u32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            let on = shared.deaf_on.get();
            if on.is_some_and(|on| contains(&bytes[..count], on)) {
                shared.deaf.store(true, Ordering::SeqCst);
            }
            let held = shared
                .hold_on
                .lock()
                .unwrap()
                .take_if(|text| contains(&bytes[..count], text));
            if held.is_some() {
                shared.held.notify_one();
                shared.go_on.notified().await;
            }
            if to_server.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            if !shared.deaf.load(Ordering::SeqCst) && to_client.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = cut.changed() => {}
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}
