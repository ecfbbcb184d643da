//! One request, and what handlers take from it.

use std::sync::Arc;

use ferroflow_platform::{
    http::{
        body::{self, Body},
        route::{self, Arguments},
    },
    identity::Identity,
};
use http::request::Parts;

use super::{api::Api, failure::Outcome};
use crate::core::{
    package::LIMIT_BYTES,
    query::{Listable, Page, Query},
    wire::Fields,
};

/// A run carries a whole pipeline, and its parameters beside it.
const BODY_BYTES: usize = LIMIT_BYTES + (8 << 20);

/// A request whose route is found.
pub struct Call {
    pub api: Arc<Api>,
    pub identity: Identity,
    pub arguments: Arguments,
    pub parts: Parts,
    query: Vec<(String, String)>,
}

impl Call {
    /// What a request's head says.
    pub fn new(api: Arc<Api>, identity: Identity, arguments: Arguments, parts: Parts) -> Self {
        let query = route::query(parts.uri.query().unwrap_or_default());
        Self { api, identity, arguments, parts, query }
    }

    /// A segment of the path.
    pub fn argument(&self, name: &str) -> &str {
        self.arguments.get(name)
    }

    /// A parameter of the query; empty where there is none.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter that may be given more than once, or with commas.
    pub fn parameters(&self, name: &str) -> Vec<String> {
        let given = self.query.iter().filter(|(own, _)| own == name);
        given.flat_map(|(_, value)| value.split(',')).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// The namespace that is asked for.
    pub fn namespace(&self) -> String {
        self.api.namespace_or_default(self.parameter("namespace"))
    }

    /// The page that is asked for.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn page(&self, listable: &Listable, default: &'static str) -> Outcome<Page> {
        let text = |name: &str| self.parameter(name).to_owned();
        let sort_by = if self.parameter("sort_by").is_empty() { text("order_by") } else { text("sort_by") };
        let (page_token, page_size, filter) = (text("page_token"), text("page_size"), text("filter"));
        Ok(Page::read(&Query { page_token, page_size, sort_by, filter }, listable, default)?)
    }

    /// Refuses what may not be done in a namespace.
    ///
    /// # Errors
    /// 403, code 7.
    pub async fn may(&self, verb: &'static str, resource: &'static str, namespace: &str) -> Outcome<()> {
        self.api.may(&self.identity, verb, resource, namespace).await
    }
}

/// The object in a body.
///
/// # Errors
/// 400 for what is too long or no object.
pub async fn fields(body: Body) -> Outcome<Fields> {
    Ok(Fields::parse(&body::read(body, BODY_BYTES).await?)?)
}
