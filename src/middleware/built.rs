//! A layer's settings, checked, with everything computed that is the same for all requests.

use std::{fmt, sync::atomic::AtomicBool, time::SystemTime};

use http::HeaderValue;

use super::{
    accept::{Duplicates, Fallback, Until},
    alarms::Alarms,
    settings::{Clock, Settings, check_app, check_lifetime, lifetime},
    stored::Backend,
};
use crate::{
    codec::{Codec, Format, Spelling},
    cookie::{Attributes, Chunks, Found, MAX_PARTS, Names, is_name, line},
    error::Error,
    session::{Lifetime, Meta, Millis, millis},
};

pub(crate) struct Built {
    pub(super) own: Reader,
    pub(super) name: String,
    /// What follows `name=value`.
    pub(super) live: String,
    /// Another framework's spelling says for itself whether there is a `Max-Age`.
    pub(super) is_spelled: bool,
    pub(super) browser_session: bool,
    pub(super) lifetime: Lifetime,
    pub(super) fallbacks: Vec<BuiltFallback>,
    /// All names that are looked for; everything else names them by their number.
    pub(super) names: Names,
    pub(super) removals: Vec<Removal>,
    pub(super) newest_wins: bool,
    pub(super) keeps_on_server_error: bool,
    pub(super) store: Option<Box<dyn Backend>>,
    clock: Option<Clock>,
    pub(super) warned_of_shadow: AtomicBool,
    pub(super) warned_of_name: AtomicBool,
    pub(super) warned_of_public: AtomicBool,
    pub(super) alarms: Alarms,
}

/// A codec and the numbers of the names that it reads.
pub(super) struct Reader {
    pub(super) codec: Box<dyn Codec>,
    pub(super) format: Format,
    pub(super) name: usize,
    pub(super) companions: Vec<usize>,
    /// From part 1 on.
    pub(super) parts: Vec<usize>,
    pub(super) written: Chunks,
    pub(super) read: Chunks,
}

pub(super) struct BuiltFallback {
    pub(super) reader: Reader,
    pub(super) newest_wins: bool,
    pub(super) until: Option<Millis>,
    /// Of the layer that wrote it, if that is known. The reading layer's counts besides.
    pub(super) lifetime: Option<Lifetime>,
}

/// The line that removes a cookie of one of the names, if the request brought one.
pub(super) struct Removal {
    pub(super) name: usize,
    /// In the scope of the layer's own cookie.
    pub(super) own: bool,
    /// A path keeps the cookie from some requests, so none can tell that it is not there.
    hidden: bool,
    pub(super) line: HeaderValue,
}

impl Removal {
    pub(super) fn is_due(&self, found: &Found) -> bool {
        self.hidden || found.has(self.name)
    }
}

impl Built {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut codec = (settings.codec)();
        let format = codec.format();
        let attributes = settings.attributes(&format);
        attributes.check()?;
        check_app(&settings.app)?;
        check_lifetime(settings, &format)?;
        let name = attributes.full_name();
        let binding = settings.binding(&attributes, &settings.app, &name);
        codec.bind(&binding)?;

        let store = store(settings, &name)?;
        let (live, removal) = match codec.spelling(&binding) {
            Some(Spelling { live, removal }) => {
                if [&live, &removal]
                    .into_iter()
                    .any(|part| HeaderValue::from_str(part).is_err())
                {
                    return Err(Error::config(
                        "the codec spells its cookie with characters that may not stand in a header: change its `spelling`",
                    ));
                }
                (live, removal)
            }
            None => (attributes.live(), attributes.removal()),
        };
        let is_spelled = codec.spelling(&binding).is_some();

        let mut names = Numbered::default();
        let own = Reader::new(codec, &name, settings.parts, &mut names)?;
        let mut removals = Vec::new();
        for &number in [own.name].iter().chain(&own.parts).chain(&own.companions) {
            let line = line(names.start(number), &removal, None)?;
            removals.push(Removal {
                name: number,
                own: true,
                hidden: false,
                line,
            });
        }
        let mut fallbacks = Vec::new();
        for (fallback, until) in &settings.fallbacks {
            let (built, scope) = BuiltFallback::new(fallback, *until, settings, &attributes, &name, &mut names)?;
            let reader = &built.reader;
            let mut scopes = vec![scope];
            if fallback.before.is_none() && reader.name != own.name {
                for guess in fallback.scope.guesses() {
                    scopes.push(scopes[0].with(&guess));
                }
            }
            for scope in scopes {
                let removal = scope.removal();
                let in_own_scope = removal == attributes.removal();
                for &number in [reader.name].iter().chain(&reader.parts).chain(&reader.companions) {
                    let line = line(names.start(number), &removal, None)?;
                    let is_known =
                        |known: &Removal| known.line == line || (in_own_scope && known.own && known.name == number);
                    if !removals.iter().any(is_known) {
                        removals.push(Removal {
                            name: number,
                            own: false,
                            // Where the layer's own path shows its cookies, it shows these.
                            hidden: scope.path != "/" && scope.path != attributes.path,
                            line,
                        });
                    }
                }
            }
            fallbacks.push(built);
        }
        for scope in &settings.retired {
            let attributes = attributes.with(scope);
            attributes.check()?;
            for part in 0..=own.parts.len() {
                let number = names.number(&Chunks::name(&attributes.full_name(), part));
                let line = line(names.start(number), &attributes.removal(), None)?;
                if removals.iter().any(|known| known.line == line) {
                    continue;
                }
                removals.push(Removal {
                    name: number,
                    own: false,
                    // Under another name it would not be read.
                    hidden: attributes.path != "/" && number == own.name,
                    line,
                });
            }
        }
        Ok(Self {
            live,
            is_spelled,
            browser_session: settings.browser_session,
            lifetime: lifetime(settings, &own.format),
            fallbacks,
            names: names.sought(),
            removals,
            newest_wins: newest_wins(settings, &attributes),
            keeps_on_server_error: settings.keeps_on_server_error,
            store,
            clock: settings.clock.clone(),
            warned_of_shadow: AtomicBool::new(false),
            warned_of_name: AtomicBool::new(false),
            warned_of_public: AtomicBool::new(false),
            alarms: Alarms::default(),
            own,
            name,
        })
    }

    pub(super) fn now(&self) -> Millis {
        millis(match &self.clock {
            Some(clock) => clock(),
            None => SystemTime::now(),
        })
    }

    /// Tells whether the browser is told when the cookie of such a session expires.
    pub(super) fn sends_max_age(&self, meta: &Meta) -> bool {
        // A session that was given a lifetime of its own is to be remembered.
        !self.is_spelled && (!self.browser_session || meta.has_own_max_age())
    }

    pub(super) fn carries_id(&self) -> bool {
        self.own.format.id
    }
}

impl Reader {
    fn new(codec: Box<dyn Codec>, name: &str, parts: usize, names: &mut Numbered) -> Result<Self, Error> {
        let format = codec.format();
        if !(1..=MAX_PARTS).contains(&parts) {
            return Err(Error::config(format!(
                "`chunked({parts})` is out of range: 1 to {MAX_PARTS} cookies, since common servers and proxies refuse headers \
                 longer than that"
            )));
        }
        if parts > 1 && !(format.chunks && format.companions.is_empty()) {
            return Err(Error::config(
                "this codec cannot split a session over several cookies: leave `chunked` out",
            ));
        }
        if let Some(suffix) = format.companions.iter().find(|suffix| !is_name(suffix)) {
            return Err(Error::config(format!(
                "{suffix:?} may not stand in a cookie's name, and the codec wants a companion cookie of that name: change its \
                 `format`"
            )));
        }
        Ok(Self {
            name: names.number(name),
            companions: format
                .companions
                .iter()
                .map(|suffix| names.number(&format!("{name}{suffix}")))
                .collect(),
            // All that a higher setting may have written before.
            parts: (1..if parts > 1 { MAX_PARTS } else { 1 })
                .map(|part| names.number(&Chunks::name(name, part)))
                .collect(),
            written: Chunks::new(name.len(), parts),
            read: Chunks::new(name.len(), MAX_PARTS),
            codec,
            format,
        })
    }
}

impl BuiltFallback {
    fn new(
        fallback: &Fallback,
        until: Until,
        settings: &Settings,
        attributes: &Attributes,
        own_name: &str,
        names: &mut Numbered,
    ) -> Result<(Self, Attributes), Error> {
        let before = fallback.before.as_deref();
        if before.is_some_and(|before| before.store.is_some()) {
            return Err(Error::config(
                "`also_accept` reads sessions that are in cookies, and those of the layer that it was given are in a store: \
                 keep that store",
            ));
        }
        check_app(fallback.app.as_deref().unwrap_or_default())?;
        let mut codec = (fallback.codec)();
        let format = codec.format();
        let attributes = before.map_or_else(|| attributes.clone(), |before| before.attributes(&format));
        let own_name = before.map_or_else(|| own_name.to_owned(), |_| attributes.full_name());
        let name = fallback
            .cookie_name
            .as_deref()
            .or(format.cookie_name.filter(|_| before.is_none()))
            .unwrap_or(&own_name);
        let attributes = Attributes {
            name: name.to_owned(),
            prefixed: false,
            ..attributes.with(&fallback.scope)
        };
        // A prefix may promise more than its scope keeps; it is only read and removed.
        Attributes {
            path: "/".into(),
            domain: None,
            ..attributes.clone()
        }
        .check()?;
        attributes.check_scope()?;
        let attributes = attributes.where_promised();
        if settings.max_age.is_some() && !format.issued && until.end().is_none() {
            return Err(Error::config(
                "the accepted codec does not carry when a cookie was written, so its cookies would never expire: give \
                 `also_accept` a date, or set `max_age(None)`",
            ));
        }
        let lifetime = before.map(|before| lifetime(before, &format));
        codec.bind(&before.unwrap_or(settings).binding(
            &attributes,
            fallback.app.as_deref().unwrap_or(&settings.app),
            name,
        ))?;
        let chunks = format.chunks && format.companions.is_empty();
        let parts = if chunks {
            before.map_or(settings.parts, |before| before.parts)
        } else {
            1
        };
        let built = Self {
            reader: Reader::new(codec, name, parts, names)?,
            newest_wins: newest_wins(settings, &attributes),
            until: until.end().map(millis),
            lifetime,
        };
        Ok((built, attributes))
    }
}

fn store(settings: &Settings, name: &str) -> Result<Option<Box<dyn Backend>>, Error> {
    if settings.store.is_some() && settings.parts > 1 {
        return Err(Error::config(
            "the ticket of a stored session always fits in one cookie: leave `chunked` out",
        ));
    }
    let Some(store) = &settings.store else {
        return match settings.max_sessions {
            Some(_) => Err(Error::config(
                "only stored sessions have owners, so `max_sessions_per_owner` cannot work: use `with_store`, or leave it out",
            )),
            None => Ok(None),
        };
    };
    if settings.max_sessions == Some(0) {
        return Err(Error::config(
            "`max_sessions_per_owner(0)` would end every session at its own login: allow at least one",
        ));
    }
    store(settings, name).map(Some)
}

/// Whether different sessions under a name are one user's all the same: nobody else can set a `__Host-` cookie.
fn newest_wins(settings: &Settings, attributes: &Attributes) -> bool {
    match settings.on_duplicates {
        Some(Duplicates::Newest) => true,
        Some(Duplicates::Reject) => false,
        None => attributes.is_host(),
    }
}

/// Distinct names and their numbers.
#[derive(Default)]
struct Numbered(Vec<String>);

impl Numbered {
    fn number(&mut self, name: &str) -> usize {
        self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }

    /// The start of a line that sets the cookie to nothing.
    fn start(&self, number: usize) -> String {
        format!("{}=", self.0[number])
    }

    fn sought(self) -> Names {
        Names::new(self.0.into_iter().map(|name| name.into_bytes().into()).collect())
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Built")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
