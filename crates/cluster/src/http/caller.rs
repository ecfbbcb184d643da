//! Who asks, and whether they may.

use ferroflow_platform::identity::Identity;
use http::{HeaderMap, Method, header, request::Parts};

use super::{
    connect,
    server::{Api, InProcess},
};
use crate::core::{
    rbac,
    status::{Failure, Outcome},
};

impl Api {
    /// Who asks.
    ///
    /// # Errors
    /// 401 for a token that is none, 403 for an identity that the caller may not take on.
    pub(super) fn identify(&self, parts: &Parts) -> Outcome<Identity> {
        if let Some(InProcess(identity)) = parts.extensions.get::<InProcess>() {
            return self.impersonated(identity.clone(), &parts.headers);
        }
        let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
            let Some(token) = connect::websocket_token(&parts.headers) else { return Ok(Identity::anonymous()) };
            return self.authenticator.token(&token, self.clock.now()).ok_or_else(Failure::unauthorized);
        };
        let value = value.to_str().map_err(|_| Failure::unauthorized())?;
        let (scheme, token) = value.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Failure::unauthorized());
        }
        let identity = self.authenticator.token(token.trim(), self.clock.now()).ok_or_else(Failure::unauthorized)?;
        self.impersonated(identity, &parts.headers)
    }

    /// The identity that `Impersonate-*` headers ask for, where the caller may.
    fn impersonated(&self, identity: Identity, headers: &HeaderMap) -> Outcome<Identity> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Some(user) = text("impersonate-user") else { return Ok(identity) };
        let groups = headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok());
        let groups: Vec<String> = groups.map(str::to_owned).collect();
        let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let mut wanted: Vec<(&str, &str, &str)> = vec![match account {
            Some((namespace, name)) => ("serviceaccounts", namespace, name),
            None => ("users", "", user.as_str()),
        }];
        wanted.extend(groups.iter().map(|group| ("groups", "", group.as_str())));
        for (resource, namespace, name) in wanted {
            let (verb, group, subresource) = ("impersonate", "", "");
            self.may(&identity, &rbac::Attributes::Resource { verb, group, resource, subresource, namespace, name })?;
        }
        let mut acting = match account {
            Some((namespace, name)) => Identity::service_account(namespace, name, ""),
            None => Identity::user(user, &[]),
        };
        for group in groups {
            if !acting.in_group(&group) {
                acting.groups.push(group);
            }
        }
        acting.uid = text("impersonate-uid").unwrap_or_default();
        Ok(acting)
    }

    /// Refuses what the identity may not do.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub fn may(&self, identity: &Identity, attributes: &rbac::Attributes<'_>) -> Outcome<()> {
        let user = rbac::User { name: &identity.name, groups: &identity.groups };
        let decision = rbac::authorize(&user, attributes, &self.lookup);
        if decision.allowed {
            return Ok(());
        }
        Err(Failure::from_status(&rbac::forbidden(&user, attributes, &decision.reason)))
    }

    /// Refuses a path that is no resource's and that the identity may not read.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub(super) fn may_read_path(&self, identity: &Identity, parts: &Parts) -> Outcome<()> {
        let verb = match parts.method {
            Method::HEAD => "get".to_owned(),
            ref method => method.as_str().to_ascii_lowercase(),
        };
        self.may(identity, &rbac::Attributes::Path { verb: &verb, path: parts.uri.path() })
    }
}
