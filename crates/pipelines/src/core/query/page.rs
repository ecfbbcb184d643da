//! Orders, pages and their tokens.
//!
//! A token is base64 of JSON that says how the list was sorted and filtered, and the value and id that the next page begins
//! behind. So a page costs the same wherever it is, and nothing is skipped or shown twice while rows come and go.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::{Field, Kind, Listable, Predicate, filter};
use crate::core::fault::Fault;

/// Rows of a page that names no size, as upstream.
const DEFAULT_SIZE: usize = 20;
/// Rows of a page at the most, as upstream.
const MAX_SIZE: usize = 200;
/// A token holds a filter, a name and an id; longer ones are none of ours.
const TOKEN_BYTES: usize = 64 << 10;

/// How a list is sorted: by a field, then by id, both in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub field: &'static Field,
    pub direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// The row that a page begins behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    pub value: Sorted,
    pub id: String,
}

/// The value of the field that a list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sorted {
    Text(String),
    /// Milliseconds since 1970.
    Time(i64),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub size: usize,
    pub order: Order,
    pub predicates: Vec<Predicate>,
    pub after: Option<After>,
    /// The filter as it was given, which tokens carry.
    filter: String,
}

/// What a request says of a page.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub page_token: String,
    /// As it was given.
    pub page_size: String,
    pub sort_by: String,
    pub filter: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    of: String,
    sort: String,
    desc: bool,
    filter: String,
    after: Sorted,
    id: String,
}

impl Page {
    /// Reads what a request says.
    ///
    /// # Errors
    /// [`Fault`] that names the parameter.
    pub fn read(query: &Query, listable: &Listable, default: &'static str) -> Result<Self, Fault> {
        let size = size(&query.page_size)?;
        if query.page_token.is_empty() {
            let order = order(&query.sort_by, listable, default)?;
            let predicates = filter::parse(&query.filter, listable)?;
            return Ok(Self { size, order, predicates, after: None, filter: query.filter.clone() });
        }
        let token = token(&query.page_token, listable)?;
        let sort = if token.desc { format!("{} desc", token.sort) } else { token.sort.clone() };
        let from_token = order(&sort, listable, default)?;
        let predicates = filter::parse(&token.filter, listable)?;
        let other = |what: &str| {
            let text = format!("belongs to a list with another {what}; begin again without a token");
            Fault::new("page_token", text)
        };
        if !query.sort_by.trim().is_empty() && order(&query.sort_by, listable, default)? != from_token {
            return Err(other("sort_by"));
        }
        if !query.filter.trim().is_empty() && filter::parse(&query.filter, listable)? != predicates {
            return Err(other("filter"));
        }
        let fits = matches!(
            (from_token.field.kind, &token.after),
            (Kind::Text, Sorted::Text(_)) | (Kind::Time, Sorted::Time(_))
        );
        if !fits {
            return Err(no_token());
        }
        let after = Some(After { value: token.after, id: token.id });
        Ok(Self { size, order: from_token, predicates, after, filter: token.filter })
    }

    /// The token of the page behind a row.
    pub fn next(&self, listable: &Listable, value: Sorted, id: &str) -> String {
        let token = Token {
            of: listable.name.to_owned(),
            sort: self.order.field.key.to_owned(),
            desc: self.order.direction == Direction::Descending,
            filter: self.filter.clone(),
            after: value,
            id: id.to_owned(),
        };
        // Strings and numbers can always be written.
        BASE64.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

fn size(text: &str) -> Result<usize, Fault> {
    let size: i64 = match text {
        "" => 0,
        text => text.parse().map_err(|_| Fault::new("page_size", format!("{text:?} is no number")))?,
    };
    match usize::try_from(size) {
        Err(_) => {
            Err(Fault::new("page_size", format!("{size} is negative; give 0 for {DEFAULT_SIZE}, or 1 to {MAX_SIZE}")))
        }
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
    }
}

fn order(text: &str, listable: &Listable, default: &'static str) -> Result<Order, Fault> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let (key, direction) = match words[..] {
        [] => (default, Direction::Ascending),
        [key] | [key, "asc"] => (key, Direction::Ascending),
        [key, "desc"] => (key, Direction::Descending),
        _ => return Err(Fault::new("sort_by", format!("{text:?} is no order; write FIELD, FIELD asc or FIELD desc"))),
    };
    // Runs have had metrics of their own, which nothing reports any more: all are equal in it.
    let key = if listable.name == "run" && key.starts_with("metric:") { "run_id" } else { key };
    let field = listable.field(key).ok_or_else(|| {
        let keys: Vec<&str> = listable.fields.iter().map(|field| field.key).collect();
        Fault::new("sort_by", format!("no {} has a field {key:?}; there are {}", listable.name, keys.join(", ")))
    })?;
    Ok(Order { field, direction })
}

fn no_token() -> Fault {
    Fault::new("page_token", "is none that this list has given; begin again without one")
}

fn token(text: &str, listable: &Listable) -> Result<Token, Fault> {
    if text.len() > TOKEN_BYTES {
        return Err(no_token());
    }
    let bytes = BASE64.decode(text).map_err(|_| no_token())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| no_token())?;
    if token.of == listable.name { Ok(token) } else { Err(no_token()) }
}
