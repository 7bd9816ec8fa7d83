//! What handlers do with a session, the same for every row.

use std::{convert::Infallible, future::Future, hint::black_box};

use bytes::Bytes;
use http_body_util::Empty;
use serde::{Serialize, de::DeserializeOwned};

use crate::request::{Request, Size};

pub type Response = http::Response<Empty<Bytes>>;
pub type Answer = Result<Response, Infallible>;

/// A case of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Case {
    Anonymous,
    Known,
    Read,
    Write,
    Create,
    Forged,
}

impl Case {
    pub const ALL: [Self; 6] = [
        Self::Anonymous,
        Self::Known,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Forged,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "untouched, anonymous",
            Self::Known => "untouched, known",
            Self::Read => "read 2 keys",
            Self::Write => "write 1 key",
            Self::Create => "create",
            Self::Forged => "forged",
        }
    }

    pub fn task(self) -> Task {
        match self {
            Self::Anonymous | Self::Known => Task::Nothing,
            Self::Read => Task::Read,
            Self::Write => Task::Write,
            Self::Create => Task::Create,
            Self::Forged => Task::Reject,
        }
    }

    /// Without a session in the request, its size makes no difference.
    pub fn applies_to(self, size: Size) -> bool {
        size == Size::Small || !matches!(self, Self::Anonymous | Self::Create)
    }
}

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    Nothing,
    Read,
    Write,
    Create,
    Reject,
    /// Makes the session of a known client.
    Seed(Size),
    /// Checks that a write has come through.
    Verify,
}

/// A session as most rows have it. Asynchronous for those that are.
pub trait Dictionary: Send + Sync + 'static {
    fn get<T: DeserializeOwned + Send>(&self, key: &str) -> impl Future<Output = Option<T>> + Send;
    fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) -> impl Future<Output = ()> + Send;
}

pub const USER: &str = "5f3c9a72-8d1e-4b6a-9c05-2e7f4d8b1a63";
pub const CSRF: &str = "kX9vQ2mT7pL4wR8sZ1aB5d";

pub async fn read(session: &impl Dictionary) {
    assert!(black_box(session.get::<String>("user").await).is_some());
    assert!(black_box(session.get::<u64>("visits").await).is_some());
}

pub async fn write(session: &impl Dictionary) {
    let visits = session.get::<u64>("visits").await.unwrap_or(0);
    session.insert("visits", visits + 1).await;
}

pub async fn create(session: &impl Dictionary) {
    session.insert("user", USER).await;
    session.insert("visits", 1).await;
    session.insert("csrf", CSRF).await;
}

pub async fn reject(session: &impl Dictionary) {
    assert!(black_box(session.get::<u64>("visits").await).is_none());
}

pub async fn seed(session: &impl Dictionary, size: Size) {
    for (key, value) in size.map() {
        session.insert(&key, value).await;
    }
}

pub async fn verify(session: &impl Dictionary) {
    assert_eq!(session.get::<String>("user").await.as_deref(), Some(USER));
    assert_eq!(session.get::<u64>("visits").await, Some(18));
}

pub fn session<D: Dictionary>(request: &Request) -> &D {
    request.extensions().get().expect("a session")
}

pub fn answer() -> Answer {
    Ok(Response::default())
}

/// A runner of the layer's service around the handler for the task. One future for each task and not one for all: peers box
/// it, and should not have to box more than they need. Where a session has to be fetched first, the last argument does it.
macro_rules! runner {
    ($layer:expr, $session:ty, $task:expr $(, $load:path)?) => {{
        use $crate::{
            handlers::{self, Task, answer, session},
            request::Request,
            runner::tower,
        };
        let layer = $layer;
        match $task {
            Task::Nothing => tower(&layer, |request: Request| async move {
                drop(request);
                answer()
            }),
            Task::Read => tower(&layer, |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::read(session).await;
                answer()
            }),
            Task::Write => tower(&layer, |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::write(session).await;
                answer()
            }),
            Task::Create => tower(&layer, |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::create(session).await;
                answer()
            }),
            Task::Reject => tower(&layer, |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::reject(session).await;
                answer()
            }),
            Task::Seed(size) => tower(&layer, move |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::seed(session, size).await;
                answer()
            }),
            Task::Verify => tower(&layer, |request: Request| async move {
                let session = session::<$session>(&request);
                $($load(session).await;)?
                handlers::verify(session).await;
                answer()
            }),
        }
    }};
}
pub(crate) use runner;
