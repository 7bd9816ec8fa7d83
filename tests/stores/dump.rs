//! All that a store keeps, as somebody sees it who has stolen the whole of it.

use base64_simd::{STANDARD, URL_SAFE};

use super::places::Place;
use crate::stores::Any;

/// Everything under the test's own names, bytes as they are or in hex digits.
pub async fn dump(place: &Place, store: &Any) -> Vec<u8> {
    let _ = place;
    match store {
        Any::Map(map) => {
            let mut all = Vec::new();
            for (id, record) in map.records() {
                all.extend(id.as_bytes());
                all.extend(record.secret.as_bytes());
                if let Some(owner) = &record.owner {
                    all.extend(owner.id.as_bytes());
                    all.extend(owner.name.bytes());
                }
                all.extend(format!("{:?}", record.label).bytes());
                record
                    .values
                    .iter()
                    .for_each(|(key, json)| all.extend(format!("{key}={json};").bytes()));
            }
            all
        }
        #[cfg(feature = "memory")]
        Any::Memory(memory) => format!("{memory:?} {memory:#?}").into_bytes(),
        #[cfg(feature = "redis")]
        Any::Redis(_) => {
            let servers: Vec<_> = match place.kind {
                super::places::Kind::Cluster => super::places::cluster().unwrap().servers.iter().collect(),
                _ => vec![super::places::redis().unwrap()],
            };
            servers
                .into_iter()
                .flat_map(|server| of_redis(server, &place.prefix))
                .collect()
        }
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        Any::Sql(_) => of_tables(place).await,
    }
}

#[cfg(feature = "redis")]
fn of_redis(server: &crate::redis_server::Server, prefix: &str) -> Vec<u8> {
    use redis::{cmd, from_redis_value};
    let mut connection = server.connection();
    let keys: Vec<Vec<u8>> = cmd("KEYS").arg(format!("{prefix}*")).query(&mut connection).unwrap();
    let mut all = Vec::new();
    // A replica has them too, and sends the client elsewhere unless it says that it only reads.
    let _: Result<(), _> = cmd("READONLY").query(&mut connection);
    for key in keys {
        all.extend(&key);
        all.push(b'\n');
        let kind: String = cmd("TYPE").arg(&key).query(&mut connection).unwrap();
        let answer = match &*kind {
            "hash" => cmd("HGETALL").arg(&key).query(&mut connection),
            "zset" => cmd("ZRANGE")
                .arg(&key)
                .arg(0)
                .arg(-1)
                .arg("WITHSCORES")
                .query(&mut connection),
            "set" => cmd("SMEMBERS").arg(&key).query(&mut connection),
            "string" => cmd("GET").arg(&key).query(&mut connection),
            "none" => continue,
            other => panic!("{other}"),
        };
        let values: Vec<Vec<u8>> = from_redis_value(answer.unwrap()).unwrap();
        values.iter().for_each(|value| {
            all.extend(value);
            all.push(b'\n');
        });
    }
    all
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn of_tables(place: &Place) -> Vec<u8> {
    use crate::sql_servers::Raw;
    let raw = Raw::connect(&place.url).await;
    let columns = ["id", "secret", "owner", "label"];
    let others = ["created", "sent", "seen", "authenticated", "max_age", "expires"];
    let mut all = Vec::new();
    for (table, columns, others) in [
        ("sessions", &columns[..], &others[..]),
        ("session_values", &["session", "name", "value"], &[]),
    ] {
        let hex = |name: &&str| match &raw {
            #[cfg(feature = "postgres")]
            Raw::Postgres(_) => format!("encode({name}::bytea, 'hex')"),
            #[allow(unreachable_patterns)]
            _ => format!("lower(hex({name}))"),
        };
        let text = |name: &&str| match &raw {
            #[cfg(feature = "mysql")]
            Raw::MySql(_) => format!("cast({name} as char)"),
            #[allow(unreachable_patterns)]
            _ => format!("cast({name} as text)"),
        };
        let fields: Vec<String> = columns.iter().map(hex).chain(others.iter().map(text)).collect();
        for field in fields {
            let table = format!("{}{table}", place.prefix);
            let sql = sqlx::AssertSqlSafe(format!("SELECT coalesce({field}, '') FROM {table}"));
            let cells: Vec<String> = match &raw {
                #[cfg(feature = "sqlite")]
                Raw::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
                #[cfg(feature = "postgres")]
                Raw::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
                #[cfg(feature = "mysql")]
                Raw::MySql(pool) => {
                    let cells: Vec<Vec<u8>> = sqlx::query_scalar(sql).fetch_all(pool).await.unwrap();
                    cells.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect()
                }
            };
            all.extend(cells.join("\n").bytes());
        }
    }
    // The tables have no other columns.
    all
}

/// Whether these bytes are somewhere in there, as they are or in hex digits; from eight of them on in base64 as well, and spelled
/// twice.
pub fn holds(dump: &[u8], bytes: &[u8]) -> bool {
    let mut needles = spellings(bytes);
    if bytes.len() >= 8 {
        needles = needles.iter().flat_map(|text| spellings(text)).collect();
    }
    let finds = |needle: &Vec<u8>| dump.windows(needle.len()).any(|window| window == needle);
    needles.iter().any(finds)
}

fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    if bytes.len() < 8 {
        return all;
    }
    // Three ways in which three bytes meet four characters; without the ends, which depend on the neighbours.
    for skip in 0..3 {
        for way in [STANDARD, URL_SAFE] {
            let text = way.encode_to_string(&bytes[skip..]);
            let whole = text.trim_end_matches('=');
            all.push(whole[..whole.len() - 1].into());
        }
    }
    all
}
