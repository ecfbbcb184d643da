//! From a request to its answer: the table of routes, and what all handlers share.

use std::sync::Arc;

use ferroflow_platform::{
    access::{Access, Asked},
    blob::Blobs,
    clock::SharedClock,
    gateway::Service,
    http::{
        body::{self, Body},
        route::{Found, Routes},
    },
    identity::{Identity, UNAUTHENTICATED},
    records::Records,
};
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use rand::RngExt;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    artifacts,
    call::Call,
    experiments,
    failure::{Code, Failure, Outcome},
    launcher::Launchers,
    pipelines, recurring, reply, runs, tasks, upload,
};
use crate::{controller::Engine, core::id};

/// The group that rights to pipelines are given in, as upstream.
pub const GROUP: &str = "pipelines.kubeflow.org";

/// What all handlers share.
pub struct Api {
    pub records: Records,
    pub blobs: Blobs,
    pub engine: Engine,
    pub launchers: Launchers<Engine>,
    pub access: Access,
    pub clock: SharedClock,
    /// The namespace of whatever names none.
    pub namespace: String,
    /// Rung when recurring runs change.
    pub schedules: Arc<Notify>,
}

/// What answers a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Health,
    Authorize,
    Experiment(OnExperiment),
    Pipeline(OnPipeline),
    Run(OnRun),
    Recurring(OnRecurring),
    Task(OnTask),
    Artifact(OnArtifact),
    /// Something of upstream that there is no need for here, and why.
    Needless(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnExperiment {
    Create,
    Get,
    List,
    Archive,
    Unarchive,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnPipeline {
    Create,
    CreateWithVersion,
    Upload,
    UploadVersion,
    Get,
    ByName,
    List,
    Update,
    Delete,
    CreateVersion,
    GetVersion,
    ListVersions,
    UpdateVersion,
    DeleteVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnRun {
    Create,
    Get,
    List,
    Archive,
    Unarchive,
    Terminate,
    Retry,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnRecurring {
    Create,
    Get,
    List,
    Enable,
    Disable,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnTask {
    Get,
    List,
    OfRun,
    Log,
    Artifacts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnArtifact {
    Get,
    List,
    Download,
    Read,
}

const NO_AGENT: &str = "no agent reports here: runs are carried out in this process";
const NO_PAGES: &str = "pages of this kind are made by no pod here; look at the artifacts of the run";

const ROUTES: Routes<Act> = Routes::new(&[
    ("GET", "/apis/v2beta1/healthz", Act::Health),
    ("GET", "/apis/v2beta1/auth", Act::Authorize),
    ("POST", "/apis/v2beta1/experiments", Act::Experiment(OnExperiment::Create)),
    ("GET", "/apis/v2beta1/experiments", Act::Experiment(OnExperiment::List)),
    ("GET", "/apis/v2beta1/experiments/{experiment_id}", Act::Experiment(OnExperiment::Get)),
    ("DELETE", "/apis/v2beta1/experiments/{experiment_id}", Act::Experiment(OnExperiment::Delete)),
    ("POST", "/apis/v2beta1/experiments/{experiment_id}:archive", Act::Experiment(OnExperiment::Archive)),
    ("POST", "/apis/v2beta1/experiments/{experiment_id}:unarchive", Act::Experiment(OnExperiment::Unarchive)),
    ("POST", "/apis/v2beta1/pipelines", Act::Pipeline(OnPipeline::Create)),
    ("GET", "/apis/v2beta1/pipelines", Act::Pipeline(OnPipeline::List)),
    ("POST", "/apis/v2beta1/pipelines/create", Act::Pipeline(OnPipeline::CreateWithVersion)),
    ("POST", "/apis/v2beta1/pipelines/upload", Act::Pipeline(OnPipeline::Upload)),
    ("POST", "/apis/v2beta1/pipelines/upload_version", Act::Pipeline(OnPipeline::UploadVersion)),
    ("GET", "/apis/v2beta1/pipelines/names/{name}", Act::Pipeline(OnPipeline::ByName)),
    ("GET", "/apis/v2beta1/pipelines/{pipeline_id}", Act::Pipeline(OnPipeline::Get)),
    ("PATCH", "/apis/v2beta1/pipelines/{pipeline_id}", Act::Pipeline(OnPipeline::Update)),
    ("DELETE", "/apis/v2beta1/pipelines/{pipeline_id}", Act::Pipeline(OnPipeline::Delete)),
    ("POST", "/apis/v2beta1/pipelines/{pipeline_id}/versions", Act::Pipeline(OnPipeline::CreateVersion)),
    ("GET", "/apis/v2beta1/pipelines/{pipeline_id}/versions", Act::Pipeline(OnPipeline::ListVersions)),
    (
        "GET",
        "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}",
        Act::Pipeline(OnPipeline::GetVersion),
    ),
    (
        "PATCH",
        "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}",
        Act::Pipeline(OnPipeline::UpdateVersion),
    ),
    (
        "DELETE",
        "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}",
        Act::Pipeline(OnPipeline::DeleteVersion),
    ),
    ("POST", "/apis/v2beta1/runs", Act::Run(OnRun::Create)),
    ("GET", "/apis/v2beta1/runs", Act::Run(OnRun::List)),
    ("GET", "/apis/v2beta1/runs/{run_id}", Act::Run(OnRun::Get)),
    ("DELETE", "/apis/v2beta1/runs/{run_id}", Act::Run(OnRun::Delete)),
    ("POST", "/apis/v2beta1/runs/{run_id}:archive", Act::Run(OnRun::Archive)),
    ("POST", "/apis/v2beta1/runs/{run_id}:unarchive", Act::Run(OnRun::Unarchive)),
    ("POST", "/apis/v2beta1/runs/{run_id}:terminate", Act::Run(OnRun::Terminate)),
    ("POST", "/apis/v2beta1/runs/{run_id}:retry", Act::Run(OnRun::Retry)),
    ("GET", "/apis/v2beta1/runs/{run_id}/tasks", Act::Task(OnTask::OfRun)),
    ("GET", "/apis/v2beta1/runs/{run_id}/tasks/{task_id}/log", Act::Task(OnTask::Log)),
    ("POST", "/apis/v2beta1/recurringruns", Act::Recurring(OnRecurring::Create)),
    ("GET", "/apis/v2beta1/recurringruns", Act::Recurring(OnRecurring::List)),
    ("GET", "/apis/v2beta1/recurringruns/{recurring_run_id}", Act::Recurring(OnRecurring::Get)),
    ("DELETE", "/apis/v2beta1/recurringruns/{recurring_run_id}", Act::Recurring(OnRecurring::Delete)),
    ("POST", "/apis/v2beta1/recurringruns/{recurring_run_id}:enable", Act::Recurring(OnRecurring::Enable)),
    ("POST", "/apis/v2beta1/recurringruns/{recurring_run_id}:disable", Act::Recurring(OnRecurring::Disable)),
    ("GET", "/apis/v2beta1/tasks", Act::Task(OnTask::List)),
    ("GET", "/apis/v2beta1/tasks/{task_id}", Act::Task(OnTask::Get)),
    ("GET", "/apis/v2beta1/artifact_tasks", Act::Task(OnTask::Artifacts)),
    ("GET", "/apis/v2beta1/artifacts", Act::Artifact(OnArtifact::List)),
    ("GET", "/apis/v2beta1/artifacts/{artifact_id}", Act::Artifact(OnArtifact::Get)),
    ("GET", "/apis/v2beta1/artifacts/{artifact_id}:download", Act::Artifact(OnArtifact::Download)),
    ("GET", "/apis/v1alpha1/runs/{run_id}/nodes/{task_id}/log", Act::Task(OnTask::Log)),
    ("GET", "/apis/v1alpha1/runs/{run_id}/nodes/{task_id}/artifacts/{name}:read", Act::Artifact(OnArtifact::Read)),
    ("POST", "/apis/v2beta1/workflows", Act::Needless(NO_AGENT)),
    ("POST", "/apis/v2beta1/scheduledworkflows", Act::Needless(NO_AGENT)),
    ("POST", "/apis/v2beta1/visualizations/{namespace}", Act::Needless(NO_PAGES)),
]);

/// Where a step's launcher finds the control plane.
const LAUNCHER: &str = "/launcher/";

impl Service for Api {
    fn answer(self: Arc<Self>, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>> {
        async move {
            if request.uri().path().starts_with(LAUNCHER) {
                return self.launchers.answer(request).await.map(body::boxed);
            }
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
            StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
            _ => Code::InvalidArgument,
        };
        reply::failure(&Failure::new(code, message))
    }
}

/// Whether only the replica that leads can answer: all that changes something, what launchers ask, and logs of steps that
/// still run.
pub fn is_for_leader(method: &Method, path: &str) -> bool {
    let is_read = method == Method::GET || method == Method::HEAD;
    let is_log = matches!(ROUTES.find(method, path), Found::Handler(Act::Task(OnTask::Log), _));
    !is_read || is_log || path.starts_with(LAUNCHER)
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
        let (parts, body) = request.into_parts();
        answer(act, Call::new(self, identity, arguments, parts), body).await
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// A new UUID, by chance.
    pub fn new_id(&self) -> String {
        let chance: u128 = rand::rng().random();
        id::derived(&[&format!("{chance:032x}")])
    }

    /// A namespace that is named, or that of whatever names none.
    pub fn namespace_or_default(&self, namespace: &str) -> String {
        if namespace.is_empty() { self.namespace.clone() } else { namespace.to_owned() }
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

async fn answer(act: Act, call: Call, body: Body) -> Outcome<Response<Body>> {
    match act {
        Act::Health => reply::object(&json!({"multi_user": false, "pipeline_store": "database"})),
        Act::Authorize => {
            call.may("get", "runs", &call.namespace()).await?;
            Ok(reply::empty())
        }
        Act::Experiment(act) => on_experiment(act, call, body).await,
        Act::Pipeline(act) => on_pipeline(act, call, body).await,
        Act::Run(act) => on_run(act, call, body).await,
        Act::Recurring(act) => on_recurring(act, call, body).await,
        Act::Task(act) => on_task(act, call).await,
        Act::Artifact(act) => on_artifact(act, call).await,
        Act::Needless(why) => Err(Failure::new(Code::Unimplemented, why)),
    }
}

async fn on_experiment(act: OnExperiment, call: Call, body: Body) -> Outcome<Response<Body>> {
    match act {
        OnExperiment::Create => experiments::create(call, body).await,
        OnExperiment::Get => experiments::get(call).await,
        OnExperiment::List => experiments::list(call).await,
        OnExperiment::Archive => experiments::archive(call).await,
        OnExperiment::Unarchive => experiments::unarchive(call).await,
        OnExperiment::Delete => experiments::delete(call).await,
    }
}

async fn on_pipeline(act: OnPipeline, call: Call, body: Body) -> Outcome<Response<Body>> {
    match act {
        OnPipeline::Create => pipelines::create(call, body).await,
        OnPipeline::CreateWithVersion => pipelines::create_with_version(call, body).await,
        OnPipeline::Upload => Ok(upload::pipeline(call, body).await),
        OnPipeline::UploadVersion => Ok(upload::version(call, body).await),
        OnPipeline::Get => pipelines::get(call).await,
        OnPipeline::ByName => pipelines::by_name(call).await,
        OnPipeline::List => pipelines::list(call).await,
        OnPipeline::Update => pipelines::update(call, body).await,
        OnPipeline::Delete => pipelines::delete(call).await,
        OnPipeline::CreateVersion => pipelines::create_version(call, body).await,
        OnPipeline::GetVersion => pipelines::get_version(call).await,
        OnPipeline::ListVersions => pipelines::list_versions(call).await,
        OnPipeline::UpdateVersion => pipelines::update_version(call, body).await,
        OnPipeline::DeleteVersion => pipelines::delete_version(call).await,
    }
}

async fn on_run(act: OnRun, call: Call, body: Body) -> Outcome<Response<Body>> {
    match act {
        OnRun::Create => runs::create(call, body).await,
        OnRun::Get => runs::get(call).await,
        OnRun::List => runs::list(call).await,
        OnRun::Archive => runs::archive(call).await,
        OnRun::Unarchive => runs::unarchive(call).await,
        OnRun::Terminate => runs::terminate(call).await,
        OnRun::Retry => runs::retry(call).await,
        OnRun::Delete => runs::delete(call).await,
    }
}

async fn on_recurring(act: OnRecurring, call: Call, body: Body) -> Outcome<Response<Body>> {
    match act {
        OnRecurring::Create => recurring::create(call, body).await,
        OnRecurring::Get => recurring::get(call).await,
        OnRecurring::List => recurring::list(call).await,
        OnRecurring::Enable => recurring::enable(call).await,
        OnRecurring::Disable => recurring::disable(call).await,
        OnRecurring::Delete => recurring::delete(call).await,
    }
}

async fn on_task(act: OnTask, call: Call) -> Outcome<Response<Body>> {
    match act {
        OnTask::Get => tasks::get(call).await,
        OnTask::List => tasks::list(call).await,
        OnTask::OfRun => tasks::of_run(call).await,
        OnTask::Log => tasks::log(call).await,
        OnTask::Artifacts => tasks::artifact_tasks(call).await,
    }
}

async fn on_artifact(act: OnArtifact, call: Call) -> Outcome<Response<Body>> {
    match act {
        OnArtifact::Get => artifacts::get(call).await,
        OnArtifact::List => artifacts::list(call).await,
        OnArtifact::Download => artifacts::download(call).await,
        OnArtifact::Read => artifacts::read(call).await,
    }
}

fn no_method(method: &Method, path: &str, others: &[&str]) -> Failure {
    Failure::new(Code::Unimplemented, format!("{method} is not for {path}; {} is", others.join(", ")))
}
