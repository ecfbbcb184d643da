//! From a request to its answer: the table of routes, and what all handlers share.

use std::sync::Arc;

use ferroflow_platform::{
    access::{Access, Asked},
    clock::SharedClock,
    gateway::Service,
    http::{
        body::Body,
        route::{Arguments, Found, Routes},
    },
    identity::{Identity, UNAUTHENTICATED},
    records::Records,
};
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::{
    failure::{Code, Failure, Outcome},
    reply,
};

/// The group that rights to pipelines are given in, as upstream.
pub const GROUP: &str = "pipelines.kubeflow.org";

/// What all handlers share.
pub struct Api {
    pub records: Records,
    pub access: Access,
    pub clock: SharedClock,
    /// The namespace of whatever names none.
    pub namespace: String,
}

/// A request whose route is found.
pub struct Call {
    pub api: Arc<Api>,
    pub identity: Identity,
    pub arguments: Arguments,
    pub request: Request<Body>,
}

/// What answers a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Health,
}

const ROUTES: Routes<Act> = Routes::new(&[("GET", "/apis/v2beta1/healthz", Act::Health)]);

/// Where a step's launcher finds the control plane.
const LAUNCHER: &str = "/launcher/";

impl Service for Api {
    fn answer(self: Arc<Self>, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>> {
        async move {
            match self.route(request, identity).await {
                Ok(response) => response,
                Err(failure) => reply::failure(&failure),
            }
        }
        .boxed()
    }

    fn is_open(&self, path: &str) -> bool {
        path.starts_with(LAUNCHER)
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response<Body> {
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::InvalidArgument,
        };
        reply::failure(&Failure::new(code, message))
    }
}

impl Api {
    async fn route(self: Arc<Self>, request: Request<Body>, identity: Identity) -> Outcome<Response<Body>> {
        if identity.in_group(UNAUTHENTICATED) {
            return Err(Failure::new(Code::Unauthenticated, "who asks? give a bearer token"));
        }
        let path = request.uri().path();
        let (act, arguments) = match ROUTES.find(request.method(), path) {
            Found::Handler(act, arguments) => (*act, arguments),
            Found::Method(others) => return Err(no_method(request.method(), path, &others)),
            Found::Nothing => return Err(Failure::new(Code::NotFound, format!("nothing is at {path}"))),
        };
        let call = Call { api: self, identity, arguments, request };
        call.act(act).await
    }

    /// Refuses what `identity` may not do.
    ///
    /// # Errors
    /// 403, code 7; 503 where the cluster cannot be asked.
    pub async fn may(
        &self,
        identity: &Identity,
        verb: &'static str,
        resource: &'static str,
        namespace: &str,
    ) -> Outcome<()> {
        let asked = Asked { verb, group: GROUP, resource, namespace: namespace.to_owned(), ..Asked::default() };
        if self.access.may(identity, asked).await? {
            return Ok(());
        }
        let who = &identity.name;
        Err(Failure::new(
            Code::PermissionDenied,
            format!(
                "user {who:?} may not {verb} {resource}.{GROUP} in namespace {namespace:?}; ask for a RoleBinding to \
                 kubeflow-pipelines-edit or kubeflow-pipelines-view there"
            ),
        ))
    }
}

impl Call {
    async fn act(self, act: Act) -> Outcome<Response<Body>> {
        match act {
            Act::Health => reply::object(&json!({"multi_user": false, "pipeline_store": "database"})),
        }
    }
}

fn no_method(method: &Method, path: &str, others: &[&str]) -> Failure {
    Failure::new(Code::Unimplemented, format!("{method} is not for {path}; {} is", others.join(", ")))
}
