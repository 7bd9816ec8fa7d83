//! A step that arrives twice is taken once, however late and after whatever else.

use std::time::Duration;

use http_session::store::{Applied, Created, Loaded, RedisStore, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    daemon,
    redis_proxy::Proxy,
    redis_server::Server,
    sessions::{Repeater, apply, create, live, now, session, set},
    store,
};

/// What a network delivers late.
async fn deliver(server: &Server, script: &[u8]) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    connection.write_all(script).await.unwrap();
    let mut answer = vec![0; 1_000];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn fault_a8_a_step_that_arrives_again_after_any_number_of_others_is_not_taken() {
    for server in Server::each(&[]) {
        // Learns the scripts, and says what was sent.
        let link = Repeater::start(server.port).await;
        let one = RedisStore::connect(&link.url()).await.unwrap();
        let (warm, record) = session("warm");
        create(&one, &warm, &record).await;
        apply(&one, &warm, &set("x", "0")).await;
        assert!(one.delete(&warm, now()).await.unwrap());

        let (ticket, record) = session("a");
        let before = link.scripts().len();
        create(&one, &ticket, &record).await;
        for x in 1..=40 {
            apply(&one, &ticket, &set("x", &x.to_string())).await;
        }
        let sent = link.scripts()[before..].to_vec();
        assert_eq!(sent.len(), 41);
        for script in &sent {
            deliver(&server, script).await;
        }
        assert_eq!(live(&one, &ticket, now()).await.values.get("x"), Some("40"));
        // After another server's steps, too.
        let other = store(&server).await;
        for x in 41..=50 {
            apply(&other, &ticket, &set("x", &x.to_string())).await;
        }
        for script in &sent {
            deliver(&server, script).await;
        }
        assert_eq!(live(&one, &ticket, now()).await.values.get("x"), Some("50"));
        // What began a session that has ended begins none.
        assert!(other.delete(&ticket, now()).await.unwrap());
        for script in &sent {
            deliver(&server, script).await;
        }
        assert_eq!(one.load(&ticket, now()).await.unwrap(), Loaded::Missing);
        assert_eq!(link.differences(), Vec::<String>::new());
    }
}

/// Sixteen requests at once, each of which counts on from the one before, and no answer to any of
/// them before the connection is cut.
#[tokio::test]
async fn fault_b4_after_a_cut_connection_each_of_many_changes_counts_once() {
    for server in Server::each(&[]) {
        let proxy = Proxy::start(server.port).await;
        let store = RedisStore::connect(&proxy.url()).await.unwrap();
        let (ticket, mut record) = session("a");
        record.values.set("n", "0");
        create(&store, &ticket, &record).await;
        apply(&store, &ticket, &set("warm", "1")).await;
        let key = format!("session:{}", ticket.id);
        for round in 0..10_u64 {
            proxy.deaf(true);
            let mut requests = JoinSet::new();
            for n in 16 * round..16 * (round + 1) {
                let store = store.clone();
                let mut changes = set("n", &(n + 1).to_string());
                changes.expected = vec![("n".into(), Some(n.to_string()))];
                requests.spawn(async move { store.apply(&ticket, &changes, now()).await });
            }
            let all = (16 * (round + 1)).to_string();
            let (server, key) = (&server, &key);
            for _ in 0..1_000 {
                if server.ask(&["HGET", key, "v:n"]) == redis::Value::BulkString(all.clone().into_bytes()) {
                    break;
                }
                tokio::task::yield_now().await;
                timeout(Duration::from_millis(5), std::future::pending::<()>())
                    .await
                    .ok();
            }
            proxy.deaf(false);
            proxy.cut();
            for answer in requests.join_all().await {
                assert_eq!(answer.unwrap(), Applied::Updated, "round {round}");
            }
            assert_eq!(live(&store, &ticket, now()).await.values.get("n"), Some(&*all));
        }
    }
}

#[tokio::test]
async fn fault_b4_what_was_given_up_is_taken_once_or_not_at_all() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    apply(&store, &ticket, &set("n", "0")).await;
    server.signal("STOP");
    for n in 0..20 {
        let given_up = set("n", &n.to_string());
        timeout(Duration::from_millis(5), store.apply(&ticket, &given_up, now()))
            .await
            .unwrap_err();
    }
    server.signal("CONT");
    apply(&store, &ticket, &set("n", "100")).await;
    daemon::until("all that was sent", || {
        server.ask(&["PING"]) == redis::Value::SimpleString("PONG".into())
    });
    assert_eq!(live(&store, &ticket, now()).await.values.get("n"), Some("100"));
    assert_eq!(
        store.create(&ticket.id, &record, None, now()).await.unwrap(),
        Created::Collision
    );
}
