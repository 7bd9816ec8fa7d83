//! How an owner's sessions end, one at a time or together.

use super::{
    failure::Failure,
    trial::{DAY, Trial, owner, ticket},
};
use crate::store::{Applied, HashedTicket, Record, Store, Which};

pub(super) async fn one_by_one<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owner = owner();
    let (one, first) = trial.owned(&owner).await?;
    let (two, _) = trial.owned(&owner).await?;
    trial.delete("a session with an owner", &two, true).await?;
    trial.lists("delete", &owner, &[(one, &first)]).await?;

    let (longer, mut third) = trial.record();
    (third.owner, third.expires) = (Some(owner.clone()), trial.now + 2 * DAY);
    trial.create("a session that lives longer", &longer, &third).await?;
    let last = Trial {
        now: first.expires,
        ..*trial
    };
    last.lists(
        "nothing, at the last millisecond",
        &owner,
        &[(one, &first), (longer, &third)],
    )
    .await?;
    let late = Trial {
        now: first.expires + 1,
        ..*trial
    };
    late.lists("one of two sessions expired", &owner, &[(longer, &third)])
        .await?;

    // The owner of what was there before does not get what is there now.
    let other = super::trial::owner();
    let mut new = Record::new(ticket().secret, late.now, late.now + DAY);
    new.owner = Some(other.clone());
    let new_ticket = HashedTicket {
        secret: new.secret,
        ..one
    };
    late.create("a session over one that has expired", &new_ticket, &new)
        .await?;
    late.lists("create over an expired session", &owner, &[(longer, &third)])
        .await?;
    late.lists("create over an expired session", &other, &[(new_ticket, &new)])
        .await?;
    late.delete_of("the owner of an expired session", &owner, Which::All, 1)
        .await?;
    late.holds("delete_of the owner of an expired session", &new_ticket, &new)
        .await
}

pub(super) async fn together<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (owner, other, unknown) = (owner(), owner(), owner());
    let (foreign, foreign_record) = trial.owned(&other).await?;
    let (nobodys, nobodys_record) = trial.stored(&[]).await?;
    let (one, first) = trial.owned(&owner).await?;
    let (two, second) = trial.owned(&owner).await?;
    let (three, third) = trial.owned(&owner).await?;
    let unchanged = [(one, &first), (two, &second), (three, &third)];
    for (what, id) in [
        ("Only another owner's session", foreign.id),
        ("Only a session without an owner", nobodys.id),
        ("Only an unknown session", ticket().id),
    ] {
        trial.delete_of(what, &owner, Which::Only(id), 0).await?;
        trial.lists(&format!("delete_of {what}"), &owner, &unchanged).await?;
    }
    trial
        .delete_of("All of an unknown owner", &unknown, Which::All, 0)
        .await?;
    trial.delete_of("Only one", &owner, Which::Only(two.id), 1).await?;
    trial
        .lists("delete_of Only one", &owner, &[(one, &first), (three, &third)])
        .await?;
    trial.missing("delete_of Only this one", &two).await?;
    let gone = trial.changes(&[("a", "1")], &[]);
    trial
        .apply("changes to a session that delete_of ended", &two, &gone, Applied::Gone)
        .await?;
    trial.delete("a session that delete_of ended", &two, false).await?;

    trial
        .delete_of("AllBut one", &owner, Which::AllBut(three.id), 1)
        .await?;
    trial.lists("delete_of AllBut one", &owner, &[(three, &third)]).await?;
    trial.missing("delete_of AllBut another one", &one).await?;
    trial
        .delete_of("AllBut the only one", &owner, Which::AllBut(three.id), 0)
        .await?;
    trial.holds("delete_of AllBut this one", &three, &third).await?;

    let (four, _) = trial.owned(&owner).await?;
    trial
        .delete_of("AllBut another owner's", &owner, Which::AllBut(foreign.id), 2)
        .await?;
    trial.missing("delete_of AllBut another owner's", &four).await?;
    let (five, _) = trial.owned(&owner).await?;
    let (six, _) = trial.owned(&owner).await?;
    trial.delete_of("All", &owner, Which::All, 2).await?;
    trial.missing("delete_of All", &five).await?;
    trial.missing("delete_of All", &six).await?;
    trial.lists("delete_of All", &owner, &[]).await?;
    trial.delete_of("All a second time", &owner, Which::All, 0).await?;
    trial
        .holds("delete_of another owner's sessions", &foreign, &foreign_record)
        .await?;
    trial.holds("delete_of other sessions", &nobodys, &nobodys_record).await
}
