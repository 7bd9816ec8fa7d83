//! What errors say: what happened, to which thing, what to do; each cause once; nothing of the data; and the status of each.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[cfg(all(feature = "axum", feature = "tracing"))]
#[path = "support/events.rs"]
mod events;
mod support;

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as StdError,
    fmt, io,
};

use http::{Response, StatusCode};
use http_session::{DefaultErrorResponse, Error, ErrorResponse as _, Key, Session, SessionLayer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::*;

/// A value that may stand in no text.
const DATA: &str = "qZ7-the-users-secret-Wx4";

/// The whole chain in one line, as `{:#}` of `anyhow` prints it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A driver's error that prints its cause and gives it as its source, as most of them do.
#[derive(Debug)]
struct Driver(io::Error);

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "talking to the server failed: {}", self.0)
    }
}

impl StdError for Driver {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// One more around it.
#[derive(Debug)]
struct Pool(Driver);

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool gave up")
    }
}

impl StdError for Pool {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn refused() -> Driver {
    Driver(io::Error::other("connection refused"))
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Error {
    let session = Session::new();
    session.insert("user", value).unwrap();
    let Err(error) = session.get::<T>("user") else {
        panic!("it was read")
    };
    error
}

/// One of each variant that can be made from outside.
fn every_error() -> Vec<Error> {
    let large = SessionLayer::signed(Key::generate().unwrap()).build().unwrap();
    let mut errors = vec![
        Error::config("say what you want: `max_age` is there twice"),
        "ab".parse::<Key>().unwrap_err(),
        read::<i64>(json!(DATA)),
        Session::new().insert("a", HashMap::from([((1, 2), 3)])).unwrap_err(),
        Error::value("cart", "it is too large: keep it elsewhere"),
        Error::value("", "it is too large: keep less in it"),
        Error::HeadersSent,
        Error::Random,
        Error::codec("no tables left"),
        Error::codec(refused()),
        Error::store("the disk is full"),
        Error::store(refused()),
        Error::store(Pool(refused())),
        Error::NotLoaded,
        Error::Gone,
        Error::Unreadable,
    ];
    let response = send(&large, "", |session| {
        session.insert("user", "x".repeat(5_000)).unwrap();
        ok()
    });
    errors.push(response.extensions().get::<Error>().unwrap().clone());
    errors
}

#[test]
fn said_each_cause_once_in_every_variant() {
    for error in every_error() {
        let all = chain(&error);
        for said in [
            "connection refused",
            "talking to the server failed",
            "the disk is full",
            "no tables left",
        ] {
            assert!(all.matches(said).count() <= 1, "{all}");
        }
        let mut source = error.source();
        while let Some(cause) = source {
            assert!(!error.to_string().contains(&cause.to_string()), "{all}");
            source = cause.source();
        }
    }
    assert!(chain(&Error::store(refused())).ends_with(": talking to the server failed: connection refused"));
    let whole = chain(&Error::store(Pool(refused())));
    assert!(
        whole.ends_with(": the pool gave up: talking to the server failed: connection refused"),
        "{whole}"
    );
}

#[test]
fn said_a_drivers_own_error_can_still_be_had() {
    let Error::Store { source, .. } = Error::store(refused()) else {
        panic!()
    };
    assert_eq!(source.downcast_ref::<Driver>().unwrap().0.kind(), io::ErrorKind::Other);
    // One that says nothing twice is the source itself.
    assert!(Error::store(io::Error::other("x")).source().unwrap().is::<io::Error>());
    // `Debug`, which `main` prints, says why.
    assert!(format!("{:?}", Error::store(refused())).contains("connection refused"));
}

#[test]
fn said_what_to_do_in_every_variant() {
    for error in every_error() {
        let text = error.to_string();
        assert!(text.contains(": "), "what happened, then what to do: {text}");
        assert!(!text.contains("::"), "no paths: {text}");
        assert!(!text.contains(DATA) && !text.ends_with('.'), "{text}");
        assert!(!text.contains(" a i") && !text.contains(" a O"), "{text}");
    }
    // Fits a program that starts as well as a request.
    let text = Error::store("x").to_string();
    assert!(
        !text.contains("unknown") && text.contains("the session store failed"),
        "{text}"
    );
}

// --- The data is at fault, and not the store.

#[test]
fn said_the_status_of_each_kind_and_the_same_in_both_ways() {
    for (error, status) in [
        (Error::value("cart", "too large"), StatusCode::UNPROCESSABLE_ENTITY),
        (Error::store("away"), StatusCode::SERVICE_UNAVAILABLE),
        (Error::Gone, StatusCode::CONFLICT),
        (Error::Random, StatusCode::INTERNAL_SERVER_ERROR),
        (read::<i64>(json!("x")), StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        assert_eq!(error.status(), status);
        let made = DefaultErrorResponse::default().error_response(error.clone(), Response::new("text".to_owned()));
        assert_eq!((made.status(), &**made.body()), (status, ""));
        assert!(made.extensions().get::<Error>().is_some());
        #[cfg(feature = "axum")]
        {
            let made = axum::response::IntoResponse::into_response(error);
            assert_eq!(made.status(), status);
            assert!(made.extensions().get::<Error>().is_some());
        }
    }
}

#[cfg(feature = "memory")]
#[test]
fn said_a_session_above_the_stores_bound_is_no_outage() {
    let store = http_session::store::MemoryStore::new().max_bytes(2_000);
    let layer = SessionLayer::with_store(store).build().unwrap();
    let response = send(&layer, "", |session| {
        session.insert("cart", "x".repeat(5_000)).unwrap();
        let error = poll_now(session.save()).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
        ok()
    });
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(set_cookies(response.headers()).is_empty());
}

// --- A value of another type.

#[derive(Debug, Deserialize, Serialize)]
struct Grown {
    name: String,
    added: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Debug, Deserialize)]
enum Role {
    Admin,
    User,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(#[allow(dead_code)] i64),
    List(#[allow(dead_code)] Vec<i64>),
}

/// Its own error quotes the value, in every form that serde has.
#[derive(Debug)]
struct Quotes<const FORM: usize>;

impl<'de, const FORM: usize> Deserialize<'de> for Quotes<FORM> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(serde::de::Error::custom(match FORM {
            0 => format!("{text} is not good"),
            1 => format!("missing field `{text}`"),
            2 => format!("duplicate field `{text}`"),
            3 => format!("data did not match any variant of untagged enum {text}"),
            4 => format!("unknown field `{text}`"),
            5 => format!("invalid type: {text}"),
            6 => format!("unknown variant `{text}`"),
            _ => format!("{text} at line 3 column 4"),
        }))
    }
}

#[test]
fn said_why_a_value_is_not_of_the_type_and_nothing_of_the_value() {
    let text = format!("{DATA}, expected nothing at line 1");
    for (error, says) in [
        (
            read::<i64>(json!(text)),
            &["`i64`", "a string is there", "i64", "line 1"][..],
        ),
        (
            read::<Option<String>>(json!(7_265_312)),
            &["`Option<String>`", "an integer is there"],
        ),
        (read::<String>(json!(1.5)), &["a number with a fraction is there"]),
        (read::<String>(json!({"a": DATA})), &["an object is there", "a string"]),
        (read::<u8>(json!(7_265_312)), &["`u8`", "an integer", "u8"]),
        (
            read::<Grown>(json!({"name": text})),
            &["`Grown`", "no field `added`", "#[serde(default)]", "line 1, column "],
        ),
        (
            read::<Strict>(json!({"name": "x", DATA: 1})),
            &["a field that the type does not know"],
        ),
        (
            read::<Role>(json!(text)),
            &["a variant that the enum does not have", "`Admin` or `User`"],
        ),
        (
            read::<Role>(json!(format!("{DATA}`, expected x"))),
            &["`Admin` or `User`"],
        ),
        (read::<Either>(json!(text)), &["fits no variant of `Either`"]),
        (read::<(u8, u8)>(json!([1])), &["number of members"]),
        (read::<BTreeMap<u8, u8>>(json!({DATA: 1})), &["`BTreeMap<u8, u8>`"]),
        (read::<Quotes<0>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<1>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<2>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<3>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<4>>(json!(DATA)), &["does not know"]),
        (read::<Quotes<5>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<6>>(json!(DATA)), &["own rules"]),
        (read::<Quotes<7>>(json!(DATA)), &["own rules"]),
    ] {
        let all = format!("{error} {error:?} {}", chain(&error));
        for part in says {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(
            error
                .to_string()
                .starts_with("the session value under \"user\" cannot be read as `"),
            "{all}"
        );
        for secret in [DATA, "7265312", "::"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
        assert!(matches!(error, Error::Type { .. }) && error.source().is_none());
    }
    let _ = (Role::Admin, Role::User);
}

#[test]
fn said_of_the_whole_session_too() {
    let session = Session::new();
    session.insert("name", DATA).unwrap();
    let error = session.to_map::<i64>().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the session cannot be read as `"), "{text}");
    assert!(!text.contains(DATA) && !text.contains("::"), "{text}");
}

/// Refuses to be written, and quotes itself.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(DATA))
    }
}

#[test]
fn said_why_a_value_cannot_be_written_and_nothing_of_it() {
    let session = Session::new();
    let error = session.insert("map", HashMap::from([((1, 2), 3)])).unwrap_err();
    assert!(error.to_string().contains("keys are not strings"), "{error}");
    let error = session.insert("odd", Unwritable).unwrap_err();
    assert!(matches!(&error, Error::Serialize { key, .. } if key == "odd"));
    assert!(!format!("{error:?}{}", chain(&error)).contains(DATA));
    assert!(session.is_empty().unwrap());
}

// --- Extractors.

#[cfg(feature = "axum")]
mod extractors {
    use axum::{
        Router,
        body::{Body, to_bytes},
        extract::FromRequestParts,
        http::{Request, StatusCode, request::Parts},
        middleware::{Next, from_fn},
        response::{IntoResponse as _, Response},
        routing::get,
    };
    use http_session::{Error, ErrorResponse, Key, Session, SessionLayer, SessionRejection, Tagged};
    use tower::{ServiceBuilder, ServiceExt as _};
    use tower_http::trace::TraceLayer;

    use super::{DATA, Grown};

    struct Cart;
    struct Prefs;

    fn layer() -> SessionLayer {
        SessionLayer::encrypted(Key::generate().unwrap())
    }

    async fn ask(router: Router) -> (StatusCode, String, Option<Error>) {
        let response = router
            .oneshot(Request::get("/").body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let text = to_bytes(body, usize::MAX).await.unwrap();
        let error = parts.extensions.get().cloned();
        (parts.status, String::from_utf8(text.to_vec()).unwrap(), error)
    }

    async fn guard(_: Session, request: Request<Body>, next: Next) -> Response {
        next.run(request).await
    }

    #[tokio::test]
    async fn said_what_is_wrong_with_the_layers_in_each_case() {
        let plain = || Router::new().route("/", get(async |_: Session| ""));
        let cart = || Router::new().route("/", get(async |_: Tagged<Cart>| ""));
        let bare = Router::new().route("/", get(async || ""));
        for (case, router, says, not) in [
            ("no layer", plain(), "no session layer has seen it", "tag"),
            ("no layer, tag", cart(), "no session layer has seen it", "tag"),
            (
                "route after it",
                Router::new().layer(layer()).merge(plain()),
                "after this route",
                "tag",
            ),
            (
                "outside",
                bare.layer(layer()).layer(from_fn(guard)),
                "add the session layer after it",
                "tag",
            ),
            (
                "only tagged",
                plain().layer(layer().tagged::<Cart>()),
                "extract `Tagged<M>` with the type that its layer was given",
                "encrypted",
            ),
            (
                "untagged",
                cart().layer(layer()),
                "it has no tag: extract `Session`",
                "encrypted",
            ),
            (
                "other tag",
                cart().layer(layer().tagged::<Prefs>()),
                "no session with this tag",
                "encrypted",
            ),
        ] {
            #[cfg(feature = "tracing")]
            crate::events::listen();
            let (status, text, _) = ask(router).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{case}");
            // Its operator is told as well.
            #[cfg(feature = "tracing")]
            {
                let heard = crate::events::heard();
                assert_eq!(heard.len(), 1, "{case}: {heard:?}");
                assert!(heard[0].starts_with("ERROR") && heard[0].contains(says), "{heard:?}");
            }
            assert!(text.contains(says) && !text.contains(not), "{case}: {text}");
            assert!(!text.contains("::<") || text.contains(".tagged::<M>()"), "{text}");
        }
    }

    #[tokio::test]
    async fn said_by_a_rejection_what_its_response_says() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let rejection = <Session as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        let rejection = rejection.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(rejection.body_text(), rejection.to_string());
        let error = Error::from(rejection.clone());
        assert!(matches!(error, Error::Config { .. }));
        assert!(error.to_string().contains("no session layer has seen it"));
        let response = rejection.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

        let rejection = SessionRejection::from(Error::store("the disk is full"));
        assert_eq!(
            (rejection.status(), &*rejection.body_text()),
            (StatusCode::SERVICE_UNAVAILABLE, "")
        );
        assert_eq!(super::chain(&rejection).matches("the disk is full").count(), 1);
        assert_eq!(super::chain(&rejection).matches("the session store failed").count(), 1);
        assert!(matches!(rejection.clone().into_error(), Error::Store { .. }));
        let response = rejection.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.extensions().get::<Error>().is_some());
    }

    /// A typed extractor, whose rejection is one of ours.
    struct Me<R>(Grown, std::marker::PhantomData<R>);

    impl<S: Sync, R> FromRequestParts<S> for Me<R>
    where
        R: From<Error> + From<SessionRejection> + axum::response::IntoResponse,
    {
        type Rejection = R;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, R> {
            let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
            let me = session.get("me")?;
            Ok(Self(
                me.unwrap_or(Grown {
                    name: "nobody".to_owned(),
                    added: 0,
                }),
                std::marker::PhantomData,
            ))
        }
    }

    #[tokio::test]
    async fn said_by_typed_extractors_without_an_error_type_of_their_own() {
        async fn old(session: Session, request: Request<Body>, next: Next) -> Response {
            if let Err(error) = session.insert("me", serde_json::json!({"name": DATA})) {
                return error.into_response();
            }
            next.run(request).await
        }
        async fn name<R>(me: Me<R>) -> String {
            format!("{} {}", me.0.name, me.0.added)
        }
        let routers = || {
            [
                Router::new().route("/", get(name::<Error>)),
                Router::new().route("/", get(name::<SessionRejection>)),
            ]
        };
        for router in routers() {
            let (status, text, _) = ask(router.clone().layer(layer())).await;
            assert_eq!((status, &*text), (StatusCode::OK, "nobody 0"));
            assert_eq!(ask(router.clone()).await.0, StatusCode::INTERNAL_SERVER_ERROR);
            let (status, text, error) = ask(router.layer(from_fn(old)).layer(layer())).await;
            assert_eq!((status, &*text), (StatusCode::INTERNAL_SERVER_ERROR, ""));
            let error = error.unwrap().to_string();
            assert!(error.contains("no field `added`") && !error.contains(DATA), "{error}");
        }
    }

    #[derive(Clone)]
    struct KeepsBody;

    impl<B> ErrorResponse<B> for KeepsBody {
        fn error_response(&mut self, error: Error, mut response: http::Response<B>) -> http::Response<B> {
            *response.status_mut() = error.status();
            response
        }
    }

    #[tokio::test]
    async fn said_by_a_type_of_ones_own_over_a_body_without_default() {
        async fn large(session: Session) -> Result<&'static str, Error> {
            session.insert("large", "x".repeat(5_000))?;
            Ok("kept")
        }
        let router = Router::new().route("/", get(large));
        let named: SessionLayer<KeepsBody> = layer().error_response(KeepsBody);
        let outer = ServiceBuilder::new().layer(named).layer(TraceLayer::new_for_http());
        let (status, text, _) = ask(router.clone().layer(outer)).await;
        assert_eq!((status, &*text), (StatusCode::INTERNAL_SERVER_ERROR, "kept"));
        // The two ways out that the compiler names.
        let kept = layer().on_error(|_, response| response);
        let outer = ServiceBuilder::new().layer(kept).layer(TraceLayer::new_for_http());
        assert_eq!(ask(router.clone().layer(outer)).await.0, StatusCode::OK);
        let inner = ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(layer());
        assert_eq!(ask(router.layer(inner)).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
