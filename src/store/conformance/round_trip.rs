//! What goes in comes out, byte for byte.

use super::{
    failure::Failure,
    samples::{odd_keys, texts},
    trial::{DAY, NEVER, Trial, owner},
};
use crate::store::{Changes, Owner, Record, Store, Values};

pub(super) async fn json_texts<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let named = texts();
    let pairs: Vec<(&str, &str)> = named.iter().map(|(key, text)| (key.as_str(), *text)).collect();
    let (ticket, record) = trial.stored(&pairs).await?;
    trial.holds("create with JSON of every shape", &ticket, &record).await?;

    let (ticket, mut record) = trial.stored(&[]).await?;
    let changes = trial.changes(&pairs, &[]);
    trial
        .change("JSON of every shape", &ticket, &mut record, &changes)
        .await
}

pub(super) async fn record_fields<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owners = trial.store.keeps_owners();
    let base = |edit: &dyn Fn(&mut Record)| {
        let (ticket, mut record) = trial.record();
        edit(&mut record);
        // A store without owners is never given one.
        if !owners {
            record.owner = None;
            // And may have seen an epoch.
            record.created = record.created.max(trial.now - DAY);
            record.authenticated = record.authenticated.map(|at| at.max(trial.now));
        }
        (ticket, record)
    };
    let now = trial.now;
    for (what, (ticket, record)) in [
        ("a record without optional fields", base(&|_| {})),
        (
            "a record with all fields",
            base(&|record| {
                (record.created, record.sent, record.seen) = (now - 3 * DAY, now - 2 * DAY, now - DAY);
                (record.authenticated, record.max_age) = (Some(now - 5), Some(3_600));
                record.owner = Some(owner());
                record.label = Some("l'abel \"\\ é \u{1F600}\n".into());
            }),
        ),
        (
            "a record with authenticated",
            base(&|record| record.authenticated = Some(now + 1)),
        ),
        ("a record with max_age", base(&|record| record.max_age = Some(1))),
        ("a record with an owner", base(&|record| record.owner = Some(owner()))),
        (
            "a record with a label",
            base(&|record| record.label = Some("something".into())),
        ),
        (
            "a record with the least of everything",
            base(&|record| {
                (record.created, record.sent, record.seen) = (0, 0, 0);
                (record.authenticated, record.max_age) = (Some(0), Some(0));
                (record.owner, record.label) = (Some(Owner::new(owner().id, "")), Some(String::new()));
            }),
        ),
        (
            "a record with the most of everything",
            base(&|record| {
                (record.created, record.sent, record.seen, record.expires) = (NEVER, NEVER, NEVER, NEVER);
                (record.authenticated, record.max_age) = (Some(NEVER), Some(u32::MAX));
                record.label = Some("é".repeat(512));
                record.owner = Some(Owner::new(owner().id, "N".repeat(1_404)));
            }),
        ),
    ] {
        trial.create(what, &ticket, &record).await?;
        trial.holds(what, &ticket, &record).await?;
        trial.delete(what, &ticket, true).await?;
    }
    Ok(())
}

pub(super) async fn keys<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let keys = odd_keys();
    let texts: Vec<String> = (0..keys.len()).map(|at| at.to_string()).collect();
    let pairs: Vec<(&str, &str)> = keys
        .iter()
        .zip(&texts)
        .map(|(key, text)| (key.as_str(), text.as_str()))
        .collect();
    let (ticket, mut record) = trial.stored(&pairs).await?;
    trial.holds("create with odd keys", &ticket, &record).await?;
    for key in ["a", "A ", "é", "", "%", "_", "*", "a\0", "i", "K"] {
        let what = format!("setting the key {key:?} beside others like it");
        trial
            .change(&what, &ticket, &mut record, &trial.changes(&[(key, "\"new\"")], &[]))
            .await?;
    }
    for key in ["A", "a ", "e\u{301}", "*", "%", "\0", "I", "B"] {
        let what = format!("removing the key {key:?} beside others like it");
        trial
            .change(&what, &ticket, &mut record, &trial.changes(&[], &[key]))
            .await?;
    }
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    trial
        .change("removing all odd keys", &ticket, &mut record, &trial.changes(&[], &all))
        .await?;
    trial
        .change(
            "setting all odd keys",
            &ticket,
            &mut record,
            &trial.changes(&pairs, &[]),
        )
        .await
}

pub(super) async fn sizes<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[]).await?;
    trial.holds("create of an empty record", &ticket, &record).await?;

    let large = format!("\"{}\"", "0123456789abcdef".repeat(1 << 16));
    let changes = trial.changes(&[("large", &large)], &[]);
    trial.change("a value of 1 MiB", &ticket, &mut record, &changes).await?;
    trial.delete("a session with a value of 1 MiB", &ticket, true).await?;
    let (ticket, record) = trial.stored(&[("large", &large)]).await?;
    trial.holds("create with a value of 1 MiB", &ticket, &record).await?;
    trial.delete("a session with a value of 1 MiB", &ticket, true).await?;

    let keys: Vec<String> = (0..1_000).map(|at| format!("key {at}")).collect();
    let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "[1]")).collect();
    let (ticket, mut record) = trial.stored(&pairs).await?;
    trial.holds("create with 1,000 keys", &ticket, &record).await?;
    let half: Vec<&str> = keys.iter().map(String::as_str).step_by(2).collect();
    trial
        .change(
            "removing 500 of 1,000 keys",
            &ticket,
            &mut record,
            &trial.changes(&[], &half),
        )
        .await?;
    let mut changes = trial.changes(&pairs, &[]);
    changes.expected = keys
        .iter()
        .map(|key| (key.clone(), record.values.get(key).map(str::to_owned)))
        .collect();
    trial
        .change(
            "setting 1,000 keys and expecting as many",
            &ticket,
            &mut record,
            &changes,
        )
        .await?;
    let cleared = Changes {
        cleared: true,
        ..trial.changes(&[], &[])
    };
    trial
        .change("clearing 1,000 keys", &ticket, &mut record, &cleared)
        .await?;
    trial.same("the values after clearing", &Values::new(), &record.values)
}
