//! A layer's settings, checked, with everything computed that is the same for all requests.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use http::HeaderValue;

use super::accept::{Duplicates, Fallback, Until};
use super::layer::Settings;
use crate::{
    codec::{self, Binding, Codec, Format, Spelling},
    cookie::{Attributes, Chunks, Found, MAX_PARTS, is_cookie_text, is_name, line},
    error::Error,
    session::{Lifetime, Millis, Payload, duration_millis, millis},
};

pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

pub(crate) struct Built {
    pub(super) own: Reader,
    name: String,
    /// What follows `name=value`.
    live: String,
    sends_max_age: bool,
    pub(super) lifetime: Lifetime,
    pub(super) fallbacks: Vec<BuiltFallback>,
    /// All names that are looked for; everything else names them by their number.
    pub(super) names: Vec<Box<[u8]>>,
    removals: Vec<Removal>,
    pub(super) newest_wins: bool,
    pub(super) discard_on_server_error: bool,
    clock: Option<Clock>,
    pub(super) warned_of_shadow: AtomicBool,
    pub(super) warned_of_public: AtomicBool,
}

/// A codec and the numbers of the names that it reads.
pub(super) struct Reader {
    pub(super) codec: Box<dyn Codec>,
    pub(super) format: Format,
    pub(super) name: usize,
    pub(super) companions: Vec<usize>,
    /// From part 1 on.
    pub(super) parts: Vec<usize>,
    pub(super) chunks: Chunks,
}

pub(super) struct BuiltFallback {
    pub(super) reader: Reader,
    pub(super) until: Option<Millis>,
}

/// The line that removes a cookie of one of the names, if the request brought one.
struct Removal {
    name: usize,
    /// In the scope of the layer's own cookie.
    own: bool,
    /// A path keeps the cookie from some requests, so none can tell that it is not there.
    hidden: bool,
    line: HeaderValue,
}

impl Removal {
    fn is_due(&self, found: &Found) -> bool {
        self.hidden || found.has(self.name)
    }
}

impl Built {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut codec = (settings.codec)();
        let format = codec.format();
        let attributes = settings.attributes(&format);
        attributes.check()?;
        check_lifetime(settings, &format)?;
        let name = attributes.full_name();
        let binding = settings.binding(&attributes, &settings.app, &name);
        codec.bind(&binding)?;

        let (live, removal) = match codec.spelling(&binding) {
            Some(Spelling { live, removal }) => {
                if [&live, &removal].into_iter().any(|part| HeaderValue::from_str(part).is_err()) {
                    return Err(Error::config(
                        "the codec spells its cookie with characters that may not stand in a header",
                    ));
                }
                (live, removal)
            }
            None => (attributes.live(), attributes.removal()),
        };
        // Another framework's spelling says for itself whether there is a Max-Age.
        let sends_max_age = codec.spelling(&binding).is_none() && !settings.browser_session;

        let mut names = Names::default();
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
            let built = BuiltFallback::new(fallback, *until, settings, &attributes, &name, &mut names)?;
            let scope = attributes.with(&fallback.scope);
            let removal = scope.removal();
            let reader = &built.reader;
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
            fallbacks.push(built);
        }
        for scope in &settings.retired {
            let attributes = attributes.with(scope);
            attributes.check()?;
            for part in 0..settings.parts.max(1) {
                let number = names.number(&Chunks::name(&attributes.full_name(), part));
                let line = line(names.start(number), &attributes.removal(), None)?;
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
            sends_max_age,
            lifetime: lifetime(settings, &own.format),
            fallbacks,
            names: names.into_bytes(),
            removals,
            newest_wins: match settings.on_duplicates {
                Some(Duplicates::Newest) => true,
                Some(Duplicates::Reject) => false,
                None => attributes.is_host(),
            },
            discard_on_server_error: settings.discard_on_server_error,
            clock: settings.clock.clone(),
            warned_of_shadow: AtomicBool::new(false),
            warned_of_public: AtomicBool::new(false),
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

    /// Makes the lines of a live cookie, and of what has to go with it. Nothing is sent if that fails.
    pub(super) fn write(
        &self,
        payload: &Payload,
        found: &Found,
        mut send: impl FnMut(HeaderValue),
    ) -> Result<(), Error> {
        let max_age = if self.sends_max_age {
            self.lifetime.seconds_left(&payload.meta)
        } else {
            None
        };
        let Pairs { first, further } = self.pairs(payload)?;
        let first = line(first, &self.live, max_age)?;
        let further: Vec<_> =
            further.into_iter().map(|pair| line(pair, &self.live, max_age)).collect::<Result<_, _>>()?;
        // Removals first: where a browser does not tell the scopes apart, the live cookie has the last word.
        self.removals
            .iter()
            .filter(|removal| !(removal.own && self.is_live(removal.name, further.len())) && removal.is_due(found))
            .for_each(|removal| send(removal.line.clone()));
        send(first);
        further.into_iter().for_each(send);
        Ok(())
    }

    /// Removes every cookie of ours that the request brought, or may not have been able to bring.
    pub(super) fn remove(&self, found: &Found, send: impl FnMut(HeaderValue)) {
        let lines = self.removals.iter().filter(|removal| removal.is_due(found));
        lines.map(|removal| removal.line.clone()).for_each(send);
    }

    /// A `Cookie` header that holds this session.
    pub(super) fn cookie_header(&self, payload: &Payload) -> Result<HeaderValue, Error> {
        let Pairs { first, further } = self.pairs(payload)?;
        let pairs = [vec![first], further].concat().join("; ");
        let mut header = HeaderValue::try_from(pairs).map_err(Error::codec)?;
        header.set_sensitive(true);
        Ok(header)
    }

    pub(super) fn carries_id(&self) -> bool {
        self.own.format.id
    }

    /// The cookies of a session, as `name=value`.
    fn pairs(&self, payload: &Payload) -> Result<Pairs, Error> {
        let reader = &self.own;
        // Room for base64 of the longest frame and for the attributes.
        let room = self.name.len() + (payload.json.len() + 96) * 4 / 3 + self.live.len() + 32;
        let mut pair = String::with_capacity(room);
        pair.push_str(&self.name);
        pair.push('=');
        let value_at = pair.len();
        let mut companions = Vec::new();
        reader.codec.encode(
            payload,
            &mut codec::Outgoing {
                line: &mut pair,
                companions: &mut companions,
            },
        )?;
        let value = pair.get(value_at..).unwrap_or_default();
        if !is_cookie_text(value) || !companions.iter().all(|value| is_cookie_text(value)) {
            return Err(Error::codec(
                "the codec wrote characters that may not stand in a cookie's value",
            ));
        }
        if companions.len() != reader.companions.len() {
            return Err(Error::codec(
                "the codec wrote more or fewer cookies than its format says",
            ));
        }
        let too_large = |size| Error::TooLarge {
            size,
            limit: reader.chunks.limit(),
        };
        let Some(mut lengths) = reader.chunks.lengths(value.len()) else {
            return Err(too_large(reader.chunks.size(value.len())));
        };
        let first = lengths.next().unwrap_or(0);
        let mut further = Vec::new();
        let mut start = first;
        for (len, number) in lengths.zip(1..) {
            let part = value.get(start..start + len).unwrap_or_default();
            further.push(format!("{}={part}", Chunks::name(&self.name, number)));
            start += len;
        }
        pair.truncate(value_at + first);
        for (value, suffix) in companions.iter().zip(reader.format.companions) {
            let chunks = Chunks::new(self.name.len() + suffix.len(), 1);
            if value.len() > chunks.capacity() {
                return Err(too_large(chunks.size(value.len())));
            }
            further.push(format!("{}{suffix}={value}", self.name));
        }
        Ok(Pairs { first: pair, further })
    }

    /// Whether the cookie of this name is written, with this number of further parts.
    fn is_live(&self, name: usize, further: usize) -> bool {
        let reader = &self.own;
        name == reader.name
            || reader.companions.contains(&name)
            || reader.parts.iter().take(further).any(|&part| part == name)
    }
}

/// The cookies of a session as `name=value`: one, and seldom more.
struct Pairs {
    first: String,
    further: Vec<String>,
}

impl Reader {
    fn new(codec: Box<dyn Codec>, name: &str, parts: usize, names: &mut Names) -> Result<Self, Error> {
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
                "{suffix:?} may not stand in a cookie's name, and the codec wants a companion cookie of that name"
            )));
        }
        Ok(Self {
            name: names.number(name),
            companions: format
                .companions
                .iter()
                .map(|suffix| names.number(&format!("{name}{suffix}")))
                .collect(),
            parts: (1..parts).map(|part| names.number(&Chunks::name(name, part))).collect(),
            chunks: Chunks::new(name.len(), parts),
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
        names: &mut Names,
    ) -> Result<Self, Error> {
        let mut codec = (fallback.codec)();
        let format = codec.format();
        let name = fallback
            .cookie_name
            .as_deref()
            .or(format.cookie_name)
            .unwrap_or(own_name);
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
        if settings.max_age.is_some() && !format.issued && until.end().is_none() {
            return Err(Error::config(
                "the accepted codec does not carry when a cookie was written, so its cookies would never expire: give \
                 `also_accept` a date, or set `max_age(None)`",
            ));
        }
        codec.bind(&settings.binding(&attributes, fallback.app.as_deref().unwrap_or(&settings.app), name))?;
        let chunks = format.chunks && format.companions.is_empty();
        let parts = if chunks { settings.parts } else { 1 };
        Ok(Self {
            reader: Reader::new(codec, name, parts, names)?,
            until: until.end().map(millis),
        })
    }
}

/// Distinct names and their numbers.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
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

    fn into_bytes(self) -> Vec<Box<[u8]>> {
        self.0
            .into_iter()
            .map(|name| name.into_bytes().into_boxed_slice())
            .collect()
    }
}

impl Settings {
    fn attributes(&self, format: &Format) -> Attributes {
        let mut attributes = self.attributes.clone();
        if let Some(name) = format.cookie_name {
            attributes.prefixed = false;
            if !self.is_named {
                attributes.name = name.to_owned();
            }
        }
        attributes
    }

    fn binding<'a>(&self, attributes: &'a Attributes, app: &'a str, cookie_name: &'a str) -> Binding<'a> {
        Binding {
            app,
            cookie_name,
            path: &attributes.path,
            domain: attributes.domain.as_deref(),
            secure: attributes.secure,
            http_only: attributes.http_only,
            same_site: attributes.same_site,
            partitioned: attributes.partitioned,
            max_age: self.max_age.filter(|_| !self.browser_session),
        }
    }
}

fn lifetime(settings: &Settings, format: &Format) -> Lifetime {
    let foreign = format.foreign_max_age.map(|seconds| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    Lifetime {
        max_age: foreign.or(settings.max_age.map(duration_millis)),
        never: format.foreign_max_age.is_some_and(|seconds| seconds < 0),
        max_age_limit: settings.max_age_limit.map(duration_millis),
        absolute: settings.absolute_lifetime.map(duration_millis),
        rolling: settings.rolling,
        refresh_interval: settings.refresh_interval.map(duration_millis),
    }
}

fn check_lifetime(settings: &Settings, format: &Format) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::config(reason));
    let is_zero = |duration: Option<Duration>| duration.is_some_and(|duration| duration < Duration::from_secs(1));
    if is_zero(settings.max_age) || is_zero(settings.max_age_limit) || is_zero(settings.absolute_lifetime) {
        return refuse("a lifetime of less than one second ends every session at once");
    }
    if settings.max_age.is_some() && !format.issued {
        return refuse(
            "this codec does not carry when a cookie was written, so the server cannot enforce `max_age`: set \
             `max_age(None)` and know that its cookies never expire",
        );
    }
    if settings.absolute_lifetime.is_some() && !format.created {
        return refuse(
            "this codec does not carry when a session began, so `absolute_lifetime` cannot work: leave it out",
        );
    }
    if settings.max_age_limit.is_some() && !format.max_age {
        return refuse(
            "this codec has no place for a session's own lifetime, so `max_age_limit` cannot work: leave it out",
        );
    }
    if settings
        .max_age_limit
        .is_some_and(|limit| settings.max_age.is_none_or(|age| age > limit))
    {
        return refuse("`max_age_limit` is shorter than `max_age`: raise the limit or lower the age");
    }
    if settings.rolling && settings.max_age.is_none() {
        return refuse("`rolling` prolongs `max_age`, and there is none: set one, or leave `rolling` out");
    }
    if settings
        .refresh_interval
        .is_some_and(|interval| settings.max_age.is_some_and(|age| interval >= age))
    {
        return refuse(
            "`refresh_interval` is not shorter than `max_age`, so sessions in use would expire: make it shorter",
        );
    }
    Ok(())
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Built")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
