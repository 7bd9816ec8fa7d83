//! An address that leads to one Redis server and then to another, and loses connections and
//! answers.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
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
            if on.is_some_and(|on| bytes[..count].windows(on.len()).any(|part| part == on)) {
                shared.deaf.store(true, Ordering::SeqCst);
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
