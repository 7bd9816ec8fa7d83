use super::*;
use crate::store::{Field, Owner, SecretHash};

#[test]
fn row_36_the_owner_index_does_not_grow_with_dead_sessions() {
    let store = MemoryStore::new().max_sessions(100);
    let mut most = 0;
    for at in 0..30_000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&at.to_be_bytes());
        let ticket = HashedTicket {
            id: SessionId::from_bytes(bytes),
            secret: SecretHash::from_bytes(bytes),
        };
        let mut record = Record::new(ticket.secret, 0, 1_000);
        let owner = |name: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&name.to_be_bytes());
            Owner::new(OwnerId::from_bytes(bytes), "name")
        };
        record.owner = Some(owner(at % 7));
        let login = Login::new(0);
        assert_eq!(
            now(store.create(&ticket.id, &record, Some(&login), 0)).unwrap(),
            Created::Created
        );
        // Some end, some get another owner, some expire and are cleaned up, most have to go for others.
        match at % 5 {
            0 => assert!(now(store.delete(&ticket, 0)).unwrap()),
            1 => {
                let mut changes = Changes::new(0, 0);
                changes.owner = if at % 2 == 0 {
                    Field::Unset
                } else {
                    changes.login = Some(login);
                    Field::Set(owner(at + 7))
                };
                assert_eq!(now(store.apply(&ticket, &changes, 0)).unwrap(), Applied::Updated);
            }
            2 if at % 100 == 2 => assert!(now(store.delete_expired(2_000)).unwrap() > 0),
            _ => {}
        }
        most = most.max(store.owners.len());
    }
    assert!(store.owners.len() >= 10, "{} lines", store.owners.len());
    assert!(most <= 100, "{most} lines");
}

pub(super) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
