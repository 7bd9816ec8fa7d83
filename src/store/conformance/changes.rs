//! Changes are applied as [`Record::apply`] does it: that is the model.

use super::{
    failure::Failure,
    samples::texts,
    trial::{DAY, NEVER, Trial, owner, text},
};
use crate::store::{Applied, Changes, Field, Record, Store};

/// What is done to changes of nothing.
type Edit<'a> = &'a (dyn Fn(&mut Changes) + Sync);

/// The texts that keys must have, or that they must not be there.
type Expected<'a> = &'a [(&'a str, Option<&'a str>)];

pub(super) async fn values<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1"), ("b", "1"), ("c", "1")]).await?;
    let cleared = |set: &[(&str, &str)], removed: &[&str]| Changes {
        cleared: true,
        ..trial.changes(set, removed)
    };
    for (what, changes) in [
        ("nothing but times", trial.changes(&[], &[])),
        ("a key that is set", trial.changes(&[("d", "2")], &[])),
        ("a key that is set again", trial.changes(&[("d", "3")], &[])),
        ("a key that is set to what it is", trial.changes(&[("d", "3")], &[])),
        ("a key that is removed", trial.changes(&[], &["a"])),
        (
            "a key that is removed and was not there",
            trial.changes(&[], &["a", "none"]),
        ),
        (
            "keys that are set and removed",
            trial.changes(&[("e", "4"), ("a", "4")], &["b", "d"]),
        ),
        (
            "values that are cleared, with one set",
            cleared(&[("f", "5"), ("c", "5")], &["e"]),
        ),
        ("values that are cleared", cleared(&[], &[])),
        (
            "a key that is set after all were cleared",
            trial.changes(&[("a", "6")], &[]),
        ),
    ] {
        trial.change(what, &ticket, &mut record, &changes).await?;
    }
    Ok(())
}

pub(super) async fn emptied<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1")]).await?;
    let changes = trial.changes(&[], &["a"]);
    trial
        .change("the last key, which is removed", &ticket, &mut record, &changes)
        .await?;
    let changes = trial.changes(&[("a", "2")], &[]);
    trial
        .change(
            "a key that is set after the last was removed",
            &ticket,
            &mut record,
            &changes,
        )
        .await?;
    let changes = trial.changes(&[], &["a"]);
    trial
        .apply("the last key, which is removed", &ticket, &changes, Applied::Updated)
        .await?;
    trial.delete("a session without values", &ticket, true).await
}

/// What each request wrote stays, whoever read what before.
pub(super) async fn merge<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1"), ("b", "1")]).await?;
    for at in 0..20 {
        let (key, json) = (format!("key {at}"), at.to_string());
        let changes = trial.changes(&[(&key, &json)], &[]);
        let expected = record.apply(&ticket, &changes, trial.now);
        trial.apply("one key of many", &ticket, &changes, expected).await?;
    }
    trial.holds("20 changes of different keys", &ticket, &record).await
}

pub(super) async fn times<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1")]).await?;
    let now = trial.now;
    for (what, seen, sent, expires, may_shorten) in [
        ("later times", now + 10, Some(now + 20), now + 2 * DAY, false),
        (
            "earlier times, which do not count",
            now + 5,
            Some(now + 15),
            now + DAY,
            false,
        ),
        ("no time of sending", now + 11, None, now + 2 * DAY + 1, false),
        ("times of zero, which do not count", 0, Some(0), 0, false),
        ("an earlier end that counts", now + 11, None, now + DAY, true),
        ("a later end that counts", now + 11, None, now + 3 * DAY, true),
        ("the latest times there are", NEVER, Some(NEVER), NEVER, false),
        ("an earlier end than never", now, None, now + DAY, true),
    ] {
        let mut changes = Changes::new(seen, expires);
        (changes.sent, changes.may_shorten) = (sent, may_shorten);
        trial.change(what, &ticket, &mut record, &changes).await?;
    }
    // An end that is over ends the session, and it does not come back.
    let mut changes = Changes::new(now, now - 1);
    changes.may_shorten = true;
    trial
        .apply("an end that is over", &ticket, &changes, Applied::Updated)
        .await?;
    let what = "load after an end that is over";
    trial.load(what, &ticket, now, &crate::store::Loaded::Missing).await?;
    trial
        .apply(
            "changes after an end that is over",
            &ticket,
            &trial.changes(&[], &[]),
            Applied::Gone,
        )
        .await
}

pub(super) async fn fields<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[]).await?;
    let owners = trial.store.keeps_owners();
    let now = trial.now;
    let (first, second) = (owner(), owner());
    let edits: &[(&str, Edit<'_>)] = &[
        ("authenticated", &|changes| changes.authenticated = Field::Set(now + 1)),
        ("max_age", &|changes| changes.max_age = Field::Set(60)),
        ("label", &|changes| changes.label = text(Some("l'abel"))),
        ("an owner", &|changes| changes.owner = Field::Set(first.clone())),
        ("nothing", &|_| {}),
        ("another authenticated", &|changes| {
            changes.authenticated = Field::Set(now - 1);
        }),
        ("another max_age", &|changes| changes.max_age = Field::Set(u32::MAX)),
        ("an empty label", &|changes| changes.label = text(Some(""))),
        ("another owner", &|changes| changes.owner = Field::Set(second.clone())),
        ("no authenticated", &|changes| changes.authenticated = Field::Unset),
        ("no max_age", &|changes| changes.max_age = Field::Unset),
        ("no label", &|changes| changes.label = Field::Unset),
        ("no owner", &|changes| changes.owner = Field::Unset),
        ("no owner where there was none", &|changes| changes.owner = Field::Unset),
        ("everything", &|changes| {
            (changes.authenticated, changes.max_age) = (Field::Set(now - 2), Field::Set(1));
            (changes.label, changes.owner) = (text(Some("a")), Field::Set(first.clone()));
        }),
        ("nothing of everything", &|changes| {
            (changes.authenticated, changes.max_age) = (Field::Unset, Field::Unset);
            (changes.label, changes.owner) = (Field::Unset, Field::Unset);
        }),
    ];
    for (what, edit) in edits {
        let mut changes = trial.changes(&[], &[]);
        edit(&mut changes);
        // A store without owners is never given one.
        if !owners {
            changes.owner = Field::Keep;
        }
        if let Field::Set(owner) = &changes.owner {
            changes.login = Some(trial.login(&owner.id).await?);
        }
        trial
            .change(&format!("a change to {what}"), &ticket, &mut record, &changes)
            .await?;
    }
    Ok(())
}

pub(super) async fn expected<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1"), ("b", "\"é\""), ("empty", "\"\"")]).await?;
    let later = |expected: &[(&str, Option<&str>)]| {
        let mut changes = trial.changes(&[("a", "2"), ("new", "2")], &["b"]);
        changes.expected = expected
            .iter()
            .map(|&(key, json)| (key.into(), json.map(str::to_owned)))
            .collect();
        (changes.seen, changes.sent, changes.expires) = (trial.now + 9, Some(trial.now + 9), trial.now + 9 * DAY);
        (changes.authenticated, changes.max_age) = (Field::Set(trial.now + 9), Field::Set(9));
        changes.label = text(Some("other"));
        changes
    };
    let refused: &[(&str, Expected<'_>)] = &[
        ("another text", &[("a", Some("2"))]),
        ("a longer text", &[("a", Some("1 "))]),
        ("a number in another spelling", &[("a", Some("1.0"))]),
        ("a text with an escape instead", &[("b", Some("\"\\u00e9\""))]),
        ("another case", &[("b", Some("\"É\""))]),
        ("a key in another case", &[("A", Some("1"))]),
        ("no key where there is one", &[("a", None)]),
        ("a key where there is none", &[("none", Some("null"))]),
        ("an empty text where there is none", &[("none", Some(""))]),
        ("an empty text where there is an empty string", &[("empty", Some(""))]),
        ("one right and one wrong", &[("a", Some("1")), ("b", None)]),
        ("one wrong and one right", &[("b", None), ("a", Some("1"))]),
    ];
    for (what, one) in refused {
        let what = format!("a change that expects {what}");
        for cleared in [false, true] {
            let mut changes = later(one);
            changes.cleared = cleared;
            trial.apply(&what, &ticket, &changes, Applied::Conflict).await?;
            trial.holds(&what, &ticket, &record).await?;
        }
    }
    let right: &[(&str, Expected<'_>, bool)] = &[
        (
            "what is there",
            &[("a", Some("1")), ("b", Some("\"é\"")), ("none", None)],
            false,
        ),
        ("what an earlier change wrote", &[("a", Some("2")), ("b", None)], false),
        (
            "what is there, and clears",
            &[("a", Some("2")), ("empty", Some("\"\""))],
            true,
        ),
        (
            "what is there after clearing",
            &[("empty", None), ("new", Some("2"))],
            false,
        ),
    ];
    for (what, one, cleared) in right {
        let mut changes = later(one);
        changes.cleared = *cleared;
        let before: Record = record.clone();
        trial
            .change(&format!("a change that expects {what}"), &ticket, &mut record, &changes)
            .await?;
        trial.same("the session's secret", &true, &(before.secret == record.secret))?;
    }
    Ok(())
}

/// What is compared is the text, not what it means.
pub(super) async fn expected_texts<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let named = texts();
    let pairs: Vec<(&str, &str)> = named.iter().map(|(key, text)| (key.as_str(), *text)).collect();
    let (ticket, mut record) = trial.stored(&pairs).await?;
    let mut changes = trial.changes(&[("new", "1")], &[]);
    let all = named.iter().map(|(key, text)| (key.clone(), Some((*text).into())));
    changes.expected = all.collect();
    let what = "a change that expects JSON of every shape";
    trial.change(what, &ticket, &mut record, &changes).await?;
    for (key, text) in named {
        changes.expected = vec![(key, Some(format!("{text} ")))];
        let what = format!("a change that expects {text:?} with a space more");
        trial.apply(&what, &ticket, &changes, Applied::Conflict).await?;
    }
    Ok(())
}
