//! Several sessions on one service.

use std::{fmt, marker::PhantomData, ops::Deref};

#[cfg(feature = "axum")]
use http::Extensions;

use crate::session::Session;

/// The session of the layer that was marked [`.tagged::<M>()`](crate::SessionLayer::tagged), so that several layers can stand
/// on one service. `M` is any type of yours; it is only a name.
///
/// The layer puts it into the request's extensions instead of [`Session`]. It dereferences to
/// [`Session`].
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use http_session::{Error, Key, SessionLayer, Tagged};
///
/// struct Cart;
///
/// async fn add(cart: Tagged<Cart>) -> Result<(), Error> {
///     cart.insert("tea", 1)
/// }
/// # fn app() -> Result<axum::Router, Error> {
/// let router = axum::Router::new()
///     .route("/add", axum::routing::post(add))
///     .layer(SessionLayer::signed(Key::generate()?).cookie_name("cart").tagged::<Cart>().build()?)
///     .layer(SessionLayer::encrypted(Key::generate()?).build()?);
/// # Ok(router) }
/// # }
/// ```
#[must_use]
pub struct Tagged<M> {
    session: Session,
    // Neither owns nor borrows an `M`.
    tag: PhantomData<fn() -> M>,
}

impl<M> Tagged<M> {
    /// Marks a session, for tests of code that takes a marked one.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            tag: PhantomData,
        }
    }

    /// The session itself.
    pub fn into_inner(self) -> Session {
        self.session
    }
}

#[cfg(feature = "axum")]
impl<M> Tagged<M> {
    /// Tells whether the request has a tagged session, whatever its tag.
    pub(crate) fn is_any_in(extensions: &Extensions) -> bool {
        extensions.get::<InnermostTagged>().is_some()
    }
}

/// The innermost session of all layers that are tagged: another layer, or an extractor with another
/// tag, cannot look under a tag that it does not know.
#[derive(Clone)]
pub(super) struct InnermostTagged(pub(super) Session);

impl<M> Deref for Tagged<M> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

// By hand: `M` need not be `Clone`.
impl<M> Clone for Tagged<M> {
    fn clone(&self) -> Self {
        Self::new(self.session.clone())
    }
}

impl<M> fmt::Debug for Tagged<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tagged").field(&self.session).finish()
    }
}
