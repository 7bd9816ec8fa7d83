//! The cases: where sessions are kept, and what the handler does with one.

#[derive(Clone, Copy, PartialEq)]
pub enum Sessions {
    /// No layer at all.
    Bare,
    Signed,
    Encrypted,
    Memory,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Deed {
    /// Does not look at the session, and the request brings none.
    Anonymous,
    /// Does not look at the session that the request brings.
    Untouched,
    /// Gets a text and a number.
    Read,
    /// Gets a number and inserts the next one.
    Write,
}

#[derive(Clone, Copy, PartialEq)]
pub struct Case {
    pub sessions: Sessions,
    pub deed: Deed,
}

impl Case {
    pub fn all() -> Vec<Self> {
        let deeds = [Deed::Anonymous, Deed::Untouched, Deed::Read, Deed::Write];
        let kinds = [Sessions::Bare, Sessions::Signed, Sessions::Encrypted, Sessions::Memory];
        kinds
            .into_iter()
            .flat_map(|sessions| deeds.map(|deed| Self { sessions, deed }))
            .filter(|case| case.sessions != Sessions::Bare || matches!(case.deed, Deed::Anonymous | Deed::Untouched))
            .collect()
    }

    /// The same request, without a layer.
    pub fn bare(self) -> Self {
        let deed = match self.deed {
            Deed::Anonymous => Deed::Anonymous,
            Deed::Untouched | Deed::Read | Deed::Write => Deed::Untouched,
        };
        Self {
            sessions: Sessions::Bare,
            deed,
        }
    }

    pub fn name(self) -> String {
        let sessions = match self.sessions {
            Sessions::Bare => "bare",
            Sessions::Signed => "signed",
            Sessions::Encrypted => "encrypted",
            Sessions::Memory => "memory",
        };
        let deed = match self.deed {
            Deed::Anonymous => "anonymous",
            Deed::Untouched => "known",
            Deed::Read => "read",
            Deed::Write => "write",
        };
        format!("{sessions}-{deed}")
    }

    pub fn named(name: &str) -> Self {
        let case = Self::all().into_iter().find(|case| case.name() == name);
        case.unwrap_or_else(|| panic!("no case is called {name}"))
    }

    /// As the table says it.
    pub fn title(self) -> String {
        let deed = match (self.sessions, self.deed) {
            (Sessions::Bare, Deed::Anonymous) => return "no layer, anonymous".to_owned(),
            (Sessions::Bare, _) => return "no layer, known".to_owned(),
            (_, Deed::Anonymous) => "untouched, anonymous",
            (_, Deed::Untouched) => "untouched, known",
            (_, Deed::Read) => "read 2 keys",
            (_, Deed::Write) => "write 1 key",
        };
        let sessions = match self.sessions {
            Sessions::Memory => "`MemoryStore`",
            Sessions::Encrypted => "`encrypted`",
            _ => "`signed`",
        };
        format!("{sessions}, {deed}")
    }
}
