//! Tasks of runs, as the proposal to replace MLMD (12147) has them, and their logs.

use ferroflow_api::pipelines as wire;
use ferroflow_platform::{
    http::body::{self, Body},
    records::Statement,
};
use futures::TryStreamExt;
use http::{HeaderValue, Response, StatusCode, header};

use super::{
    call::Call,
    failure::{Failure, Outcome},
    reply, runs,
    show::{self, Dialect},
    splice,
};
use crate::{
    controller::Follow,
    core::{query::TASK, task::TaskRow},
    store::{
        query::{self, Scope, Selected},
        shown, tasks,
    },
};

/// `GET /runs/{id}/tasks`
///
/// # Errors
/// 404; 400 for a page that cannot be had.
pub async fn of_run(call: Call) -> Outcome<Response<Body>> {
    let run = runs::find(&call, "get").await?;
    page(&call, &[("run_id", run.run_id)]).await
}

/// `GET /tasks?run_id=…` or `?parent_id=…`
///
/// # Errors
/// 400 without either, 404.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let (run_id, parent_id) = (call.parameter("run_id"), call.parameter("parent_id"));
    match (run_id, parent_id) {
        ("", "") => Err(Failure::invalid("run_id: missing; tasks are listed of one run, or by parent_id of one task")),
        (run_id, "") => {
            may_read(&call, run_id).await?;
            page(&call, &[("run_id", run_id.to_owned())]).await
        }
        (_, parent_id) => {
            let parent = row(&call, parent_id).await?;
            may_read(&call, &parent.run_id).await?;
            page(&call, &[("parent_id", parent_id.to_owned())]).await
        }
    }
}

/// `GET /tasks/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    let row = row(&call, call.argument("task_id")).await?;
    may_read(&call, &row.run_id).await?;
    let sql = format!("SELECT {} FROM pipelines_tasks WHERE parent_id = $1 ORDER BY path LIMIT 1000", tasks::COLUMNS);
    let rows = call.api.records.read(Statement::new(sql, [(&row.task_id).into()])).await?;
    let children: Result<Vec<TaskRow>, _> = rows.into_iter().map(tasks::task).collect();
    let children = children?;
    let children: Vec<&TaskRow> = children.iter().collect();
    reply::object(&show::task(&row, &children, Dialect::Proposed))
}

async fn page(call: &Call, scope: &[Scope]) -> Outcome<Response<Body>> {
    let page = call.page(&TASK, "path")?;
    let selected = Selected { columns: tasks::COLUMNS, joined: ("", "") };
    let found = query::list(&call.api.records, &TASK, scope, &page, selected, tasks::task).await?;
    let write = |json: &mut Vec<u8>, row: &TaskRow| splice::object(json, &show::task(row, &[], Dialect::Proposed), &[]);
    let json = splice::list("tasks", &found.rows, write, found.total, &found.next)?;
    Ok(reply::written(StatusCode::OK, json))
}

async fn row(call: &Call, task_id: &str) -> Outcome<TaskRow> {
    let sql = format!("SELECT {} FROM pipelines_tasks WHERE task_id = $1", tasks::COLUMNS);
    let rows = call.api.records.read(Statement::new(sql, [task_id.into()])).await?;
    let found = rows.into_iter().next().map(tasks::task).transpose()?;
    found.ok_or_else(|| Failure::missing("task", task_id))
}

async fn may_read(call: &Call, run_id: &str) -> Outcome<()> {
    let run = shown::get(&call.api.records, run_id).await?;
    let run = run.ok_or_else(|| Failure::missing("run", run_id))?;
    call.may("get", "runs", &run.namespace).await
}

/// `GET /runs/{id}/tasks/{task}/log`, and the older `/apis/v1alpha1/runs/{id}/nodes/{node}/log`, where a node is a pod.
///
/// # Errors
/// 404.
pub async fn log(call: Call) -> Outcome<Response<Body>> {
    let run = runs::find(&call, "get").await?;
    let task = find(&call, &run.run_id, call.argument("task_id")).await?;
    let follow = if call.parameter("follow") == "true" { Follow::UntilEnd } else { Follow::No };
    let log = call.api.engine.log(&run.run_id, &task.task_id, follow).await.map_err(runs::failure)?;
    let mut response = Response::new(body::stream(log.map_err(body::BoxError::from)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The task of a run by its id, its pod or its path.
///
/// # Errors
/// 404.
pub async fn find(call: &Call, run_id: &str, word: &str) -> Outcome<TaskRow> {
    let sql = format!(
        "SELECT {} FROM pipelines_tasks WHERE run_id = $1 AND (task_id = $2 OR pod_name = $2 OR path = $2) LIMIT 1",
        tasks::COLUMNS
    );
    let rows = call.api.records.read(Statement::new(sql, [run_id.into(), word.into()])).await?;
    let found = rows.into_iter().next().map(tasks::task).transpose()?;
    found.ok_or_else(|| Failure::missing("task", word))
}

/// Artifacts that tasks have taken and made: `GET /artifact_tasks`.
///
/// # Errors
/// 400 without a run or task, 404.
pub async fn artifact_tasks(call: Call) -> Outcome<Response<Body>> {
    let (run_ids, task_ids) = (call.parameters("run_ids"), call.parameters("task_ids"));
    let artifact_ids = call.parameters("artifact_ids");
    let mut rows = Vec::new();
    for id in &run_ids {
        may_read(&call, id).await?;
        rows.extend(tasks::of_run(&call.api.records, id).await?);
    }
    for id in &task_ids {
        let task = row(&call, id).await?;
        may_read(&call, &task.run_id).await?;
        rows.push(task);
    }
    if run_ids.is_empty() && task_ids.is_empty() {
        return Err(Failure::invalid("run_ids: missing; give run_ids or task_ids"));
    }
    let kind = call.parameter("type");
    let mut links = Vec::new();
    for task in &rows {
        for (direction, values) in [("INPUT", &task.inputs), ("OUTPUT", &task.outputs)] {
            if !kind.is_empty() && kind != direction {
                continue;
            }
            for (key, artifact) in values.artifacts.iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one)))
            {
                if !artifact_ids.is_empty() && !artifact_ids.contains(&artifact.id) {
                    continue;
                }
                links.push(wire::ArtifactTask {
                    id: crate::core::id::derived(&[&task.task_id, direction, key, &artifact.id]),
                    artifact_id: &artifact.id,
                    run_id: &task.run_id,
                    task_id: &task.task_id,
                    kind: direction,
                    artifact_key: key,
                });
            }
        }
    }
    let write = |json: &mut Vec<u8>, link: &wire::ArtifactTask<'_>| splice::object(json, link, &[]);
    let total = i64::try_from(links.len()).unwrap_or(i64::MAX);
    let json = splice::list("artifact_tasks", &links, write, total, "")?;
    Ok(reply::written(StatusCode::OK, json))
}
